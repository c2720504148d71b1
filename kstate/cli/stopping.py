"""SIGTERM and Ctrl-C for a process that runs workers: first politely, then at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from kstate.cli.errors import EXIT_LATE

logger = logging.getLogger("kstate.run")


class Stopping:
    """The first signal stops, the second one or the end of patience ends the process.

    Made in the main thread, before there is anything to stop; a signal that comes early is kept.
    Nothing here undoes it: whatever keeps the process from ending in time, it ends.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._asked = threading.Event()
        self._stop: Callable[[], None] | None = None
        self._at_once: Callable[[], None] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        threading.Thread(target=self._watch, name="kstate-stopping", daemon=True).start()

    @property
    def asked(self) -> bool:
        """Whether the process was asked to stop."""
        return self._asked.is_set()

    def serve(self, stop: Callable[[], None], at_once: Callable[[], None] | None = None) -> None:
        """Names what stops the work, and what is to be done before the process is ended.

        Both are called in a signal handler or in a thread, ``stop`` perhaps more than once.
        """
        self._at_once = at_once
        self._stop = stop
        if self.asked:
            stop()

    def ask(self) -> None:
        """Stops the work, as the first signal does."""
        self._asked.set()
        if self._stop is not None:
            self._stop()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            self._end(f"a second {signal.Signals(number).name}")
        self.ask()

    def _watch(self) -> None:
        """Runs in a thread: a handler may neither log nor wait."""
        self._asked.wait()
        logger.info("stopping: the batches under way are finished")
        # nobody ends this wait: the thread goes with the process
        threading.Event().wait(self._timeout_s)
        self._end(f"not stopped within {self._timeout_s:g} s")

    def _end(self, why: str) -> None:
        if self._at_once is not None:
            self._at_once()
        # not by way of the logging, whose lock the interrupted code may hold
        os.write(2, f"kstate: {why}: the process ends now; nothing committed is lost\n".encode())
        os._exit(EXIT_LATE)
