"""Faults on demand: a clock to move, and a log whose members' commits go wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from kstate.core.messages import Write
from kstate.errors import OutcomeUnknown, TransactionAborted
from kstate.log.port import Committed, Log, Member, Polled


class Killed(BaseException):
    """A worker's sudden end."""


class Clock:
    """The workers' clock: the real one, until it is moved."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Moves the workers' time."""
        self._ahead_s += seconds


class Faults:
    """What is to happen to the next commits, one fault each."""

    def __init__(self) -> None:
        self._next: list[str] = []
        self.fired: list[str] = []

    def abort(self, times: int = 1) -> None:
        """The next commits with records are aborted: nothing is written."""
        self._next += ["abort"] * times

    def lose_answer(self) -> None:
        """The next commit with records succeeds, and its worker does not learn it."""
        self._next.append("answer lost")

    def lose_commit(self) -> None:
        """The next commit with records never reaches the log, and its worker does not learn it."""
        self._next.append("commit lost")

    def kill_before_commit(self) -> None:
        """The worker ends where it would commit records next."""
        self._next.append("killed before")

    def kill_after_commit(self) -> None:
        """The worker ends right after the next commit of records."""
        self._next.append("killed after")

    def take(self, writes: Sequence[Write]) -> str:
        """The fault of this commit."""
        if not writes or not self._next:
            return ""
        fault = self._next.pop(0)
        self.fired.append(fault)
        return fault


class FaultyMember:
    """A member whose commits go wrong on demand."""

    def __init__(self, member: Member, faults: Faults) -> None:
        self._member = member
        self._faults = faults

    @property
    def instance(self) -> str:
        return self._member.instance

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        return self._member.poll(max_records, timeout_s)

    def start(self, partition: int, offset: int) -> None:
        self._member.start(partition, offset)

    def committed(self, partition: int) -> Committed | None:
        return self._member.committed(partition)

    def write_ahead(self, writes: Sequence[Write]) -> None:
        self._member.write_ahead(writes)

    def abort(self) -> None:
        self._member.abort()

    def commit(
        self, writes: Sequence[Write], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        fault = self._faults.take(writes)
        if fault == "abort":
            self._member.abort()
            raise TransactionAborted("aborted on demand")
        if fault == "commit lost":
            raise OutcomeUnknown("lost on demand")
        if fault == "killed before":
            raise Killed
        ends = self._member.commit(writes, progress)
        if fault == "answer lost":
            raise OutcomeUnknown("the answer was lost on demand")
        if fault == "killed after":
            raise Killed
        return ends

    def close(self) -> None:
        self._member.close()


class FaultyLog:
    """A log whose members' commits go wrong on demand."""

    def __init__(self, log: Log, faults: Faults) -> None:
        self._log = log
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def join(self, group: str, topic: str, instance: str) -> FaultyMember:
        return FaultyMember(self._log.join(group, topic, instance), self._faults)
