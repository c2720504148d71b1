"""A worker that is made to stand still, killed, and watched by what it says."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from demo.worker_process import STOP_S, WorkerProcess
from kstate.errors import LogUnavailable

PATIENCE_S = 60.0
LOOK_S = 0.002
READY_TO_JOIN = "standing by until partitions are ready"
TARGET = "processors.bank:Bank"

_NOTE = struct.Struct("<qq")  # partition and offset of the command that is running


def until(
    condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S, look_s: float = LOOK_S
) -> None:
    """Waits until the condition holds; fails when it does not for too long.

    A log that does not answer, as one that is just starting, is asked again.
    """
    deadline = time.monotonic() + patience_s
    away: LogUnavailable | None = None
    while True:
        try:
            if condition():
                return
        except LogUnavailable as error:
            away = error
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}") from away
        time.sleep(look_s)


class Victim(WorkerProcess):
    """One ``kstate run`` with a data directory, and so a name, of its own."""

    def __init__(
        self,
        log: str,
        group: str,
        prefix: str,
        directory: Path,
        number: int,
        target: str = TARGET,
        options: Sequence[str] = (),
    ) -> None:
        self.number = number
        self.data = directory / f"data-{number}"
        self.gone_since: float | None = None  # monotonic; of the first death since it worked
        self._group = group
        self._said_before = 0  # bytes of output of its earlier lives
        output = directory / f"worker-{number}.log"
        super().__init__(target, log, prefix, self.data, output, options)

    @property
    def instance(self) -> str | None:
        """The name under which it owns partitions; None before it has one."""
        name = self.data / self._group / "instance"
        return f"{self._group}-{name.read_text()}-0" if name.exists() else None

    def start(self) -> None:
        self._said_before = self.output.stat().st_size if self.output.exists() else 0
        super().start()

    def kill(self) -> None:
        super().kill()
        if self.gone_since is None:
            self.gone_since = time.monotonic()

    def freeze(self) -> None:
        """SIGSTOP; returns when it stands still, or has ended."""
        pid = self._running().pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.check()

    def tell(self, what: signal.Signals) -> None:
        """Sends a signal; one that stands still gets it when it goes on."""
        os.kill(self._running().pid, what)

    def end(self) -> int:
        """SIGTERM to one that stands still, which gets it the moment it goes on; its exit code."""
        self.tell(signal.SIGTERM)
        self.thaw()
        process, self._process = self._running(), None
        return process.wait(STOP_S)

    def thaw(self) -> None:
        """SIGCONT."""
        self.tell(signal.SIGCONT)

    def stop(self) -> int | None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
        return super().stop()

    def said(self) -> str:
        """What this life has said so far."""
        with self.output.open("rb") as output:
            output.seek(self._said_before)
            return output.read().decode(errors="replace")

    def ready_to_join(self) -> bool:
        """Whether all is loaded and checked, and the seat in the group is next."""
        self.check()
        return READY_TO_JOIN in self.said()

    def running(self) -> tuple[int, int]:
        """Partition and offset of the command that was running when it stood still or died; -1
        without one."""
        note = (self.data / self._group / "0" / "running").read_bytes()
        partition, offset = _NOTE.unpack(note[: _NOTE.size])
        return partition, offset
