"""Several worker processes: started anew, never forked, and started again when one dies."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

MAX_QUICK_DEATHS = 5
QUICK_S = 30.0
FIRST_PAUSE_S = 0.5
LOOK_S = 0.1

logger = logging.getLogger("kstate.workers")


class _Slot:
    """One process and the history of its predecessors."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0
        self.quick_deaths = 0
        self.not_before = 0.0


class Workers:
    """Runs ``count`` processes of one command until `stop`, or until one cannot stay alive."""

    def __init__(self, command: Sequence[str], count: int, stop_timeout_s: float) -> None:
        self._command = list(command)
        self._slots = [_Slot() for _ in range(count)]
        self._stop_timeout_s = stop_timeout_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Asks every process to stop; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> int:
        """The exit code: 0 after `stop`, else that of the process that died again and again."""
        try:
            while not self._stopping.is_set():
                for slot in self._slots:
                    code = self._look_after(slot)
                    if code:
                        return code
                self._stopping.wait(LOOK_S)
            return 0
        finally:
            self._end()

    def _look_after(self, slot: _Slot) -> int:
        now = time.monotonic()
        if slot.process is None:
            if now >= slot.not_before:
                slot.process = subprocess.Popen(self._command)
                slot.began = now
            return 0
        code = slot.process.poll()
        if code is None:
            return 0
        slot.quick_deaths = slot.quick_deaths + 1 if now - slot.began < QUICK_S else 1
        if slot.quick_deaths >= MAX_QUICK_DEATHS:
            logger.error("a worker ended %d times in a row, last with %d", slot.quick_deaths, code)
            return code if code > 0 else 1
        pause = FIRST_PAUSE_S * 2 ** (slot.quick_deaths - 1)
        logger.warning("a worker ended with %d; another one starts in %g s", code, pause)
        slot.process = None
        slot.not_before = now + pause
        return 0

    def _end(self) -> None:
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_timeout_s
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("the worker with pid %d does not stop: killed", process.pid)
                process.kill()
                process.wait()
