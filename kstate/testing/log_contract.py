"""The contract of `kstate.log.port`, as tests that every log must pass.

Subclass `LogContract` as ``TestMyLog``, fill in the hooks of `LogHooks`, and pytest does the rest::

    class TestMyLog(LogContract):
        def open_log(self, directory: Path) -> Log:
            return MyLog(directory / "log")

Written for a broker as well as for a file: offsets may have holes, joining a group may take
seconds, and whatever takes time is waited for by polling, at most ``patience_s``.
"""

from __future__ import annotations

from kstate.testing.log_contract_members import MemberPromises
from kstate.testing.log_contract_records import RecordPromises
from kstate.testing.log_contract_senders import SenderPromises


class LogContract(RecordPromises, SenderPromises, MemberPromises):
    """All promises together."""


__all__ = ["LogContract"]
