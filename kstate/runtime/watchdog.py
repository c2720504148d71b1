"""Ends a process in which a worker's loop hangs: in a handler, or in a call of the log's client.

Nothing inside can be trusted to mend that.  The group gives the worker's partitions to others
meanwhile, a supervisor starts the process again, and a command that hangs each time counts as one
that kills its worker (`kstate.runtime.running`).
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence

from kstate.runtime.worker import Worker

EXIT_HUNG = 76
LOOK_S = 1.0
"""What one look counts for at most: a process that was stopped for an hour did not hang."""

logger = logging.getLogger("kstate.worker")


class Watchdog:
    """Looks at the loops of these workers; ``end`` ends the process with an exit code."""

    def __init__(
        self,
        workers: Sequence[Worker],
        patience_s: float,
        end: Callable[[int], object] = os._exit,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience_s = patience_s
        self._end = end
        self._monotonic = monotonic
        self._looked = monotonic()
        self._silent = {worker: (worker.beats, 0.0) for worker in workers}

    def look(self, working: Sequence[Worker]) -> None:
        """To be called often; ``working`` are those whose loops are to turn."""
        now = self._monotonic()
        passed_s, self._looked = min(now - self._looked, LOOK_S), now
        for worker in working:
            beats, silent_s = self._silent[worker]
            silent_s = silent_s + passed_s if beats == worker.beats else 0.0
            self._silent[worker] = worker.beats, silent_s
            if silent_s > self._patience_s:
                self._bark(worker)
                return

    def _bark(self, worker: Worker) -> None:
        logger.critical(
            "%s: the loop has not turned for %g s (hang_timeout_s); the process is ended, the "
            "batch under way runs again elsewhere. Where it hangs:",
            worker.name,
            self._patience_s,
        )
        faulthandler.dump_traceback(sys.__stderr__ or sys.stderr, all_threads=True)
        self._end(EXIT_HUNG)
