"""Several worker processes: started anew, never forked, and started again when one dies.

A process that was forked after a client of Kafka was made shares its sockets and has none of its
threads.  The processes are a group each, so that Ctrl-C on a terminal reaches the parent alone;
their standard input is a pipe that nothing is written to: when it ends, the parent is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from kstate.errors import ConfigError, DefinitionError, NameTaken, SchemaError

MAX_QUICK_DEATHS = 5
QUICK_S = 30.0
FIRST_PAUSE_S = 0.5
LOOK_S = 0.1
GRACE_S = 1.0
"""What a process gets beyond its own timeout to end by itself."""

HOPELESS = frozenset(
    {2, *(each.exit_code for each in (ConfigError, DefinitionError, NameTaken, SchemaError))}
)
"""Exit codes of what another try cannot mend: wrong usage, settings, names, code or schemas."""

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

    def kill(self) -> None:
        """Ends every process at once; safe in a signal handler."""
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()

    def run(self) -> int:
        """The exit code, as a shell has it: after `stop` 0, or that of a process that did not end
        well; else that of the process that died again and again."""
        try:
            while not self._stopping.is_set():
                for slot in self._slots:
                    code = self._look_after(slot)
                    if code:
                        return code
                self._stopping.wait(LOOK_S)
        except BaseException:
            self.kill()
            raise
        finally:
            ended = self._end()
        return ended

    def _look_after(self, slot: _Slot) -> int:
        now = time.monotonic()
        if slot.process is None:
            if now >= slot.not_before:
                slot.process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, process_group=0
                )
                slot.began = now
            return 0
        if slot.process.poll() is None:
            return 0
        code = _close(slot.process)
        slot.quick_deaths = slot.quick_deaths + 1 if now - slot.began < QUICK_S else 1
        pid, slot.process = slot.process.pid, None
        if code in HOPELESS:
            logger.error("the worker with pid %d ended with %d: giving up", pid, code)
            return code
        if slot.quick_deaths >= MAX_QUICK_DEATHS:
            logger.error(
                "the worker with pid %d ended with %d, like %d before it: giving up",
                pid, code, slot.quick_deaths - 1,
            )  # fmt: skip
            return code or 1
        pause = FIRST_PAUSE_S * 2 ** (slot.quick_deaths - 1)
        logger.warning(
            "the worker with pid %d ended with %d; another one starts in %g s", pid, code, pause
        )
        slot.not_before = now + pause
        return 0

    def _end(self) -> int:
        """Stops every process and waits for it; the first exit code that is not 0."""
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_timeout_s + GRACE_S
        codes = []
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("the worker with pid %d does not stop: killed", process.pid)
                process.kill()
                process.wait()
            codes.append(_close(process))
        # one that had not begun yet ends by the signal itself
        return next((code for code in codes if code not in (0, 128 + signal.SIGTERM)), 0)


def when_the_parent_is_gone(then: Callable[[], object]) -> None:
    """In a worker process: calls ``then``, in a thread, once the process that started it ended."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        then()

    threading.Thread(target=wait, name="kstate-parent", daemon=True).start()


def _close(process: subprocess.Popen[bytes]) -> int:
    """Releases an ended process; its exit code, of a signal 128 and its number."""
    if process.stdin is not None:
        process.stdin.close()
    code = process.wait()
    return code if code >= 0 else 128 - code
