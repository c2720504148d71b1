"""Python's collector of cycles, set for a process that runs workers or reads a whole journal."""

from __future__ import annotations

import gc

YOUNG = 300_000
"""Objects beyond those that were freed before the collector looks at them."""
MIDDLE = 20
OLD = 10


def relax_collector() -> None:
    """Lets the collector come rarely; for the process of a worker, which owns it.

    A batch holds some hundred thousand objects until it is committed, none of them in a cycle.  By
    default the collector comes for every 700 and, since so many survive, looks through all
    entities again and again: a third of a command's time.  What is in cycles, like the tracebacks
    of handlers that failed, is still collected, some ten megabytes later.
    """
    gc.freeze()  # modules and classes stay for good
    gc.set_threshold(YOUNG, MIDDLE, OLD)
