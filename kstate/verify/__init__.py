"""Whether a processor's journal is what its rules promise: a check beside the running system.

`kstate.verify.check.verify` begins it; `kstate.verify.findings.Finding` is what it yields.
"""
