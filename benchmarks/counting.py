"""How many commands were committed and when, seen from around a worker's log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kstate.core.messages import Write
from kstate.log.port import Committed, Log, Member, Polled


class Tally:
    """The commits of one run; ``first`` is called after the first of them, ``enough`` after that
    of the last command.

    Times are those of `time.perf_counter`.
    """

    def __init__(self, commands: int) -> None:
        self.first: Callable[[], None] = lambda: None
        self.enough: Callable[[], None] = lambda: None
        self.began = 0.0  # before the first poll that found commands
        self.commits: list[tuple[float, int]] = []  # when each ended, and its commands
        self._left = commands

    def count(self, commands: int) -> None:
        """Takes note of a commit that just ended."""
        self.commits.append((time.perf_counter(), commands))
        self._left -= commands
        if len(self.commits) == 1:
            self.first()
        if self._left <= 0:
            self.enough()

    @property
    def batches(self) -> int:
        """How many transactions it took."""
        return len(self.commits)

    @property
    def measured(self) -> tuple[float, int]:
        """Seconds from the end of the first commit to that of the last, and the commands between.

        What comes before the first commit is how a group forms and a partition is taken over.
        Raises `ValueError` when there was one commit only.
        """
        (first, _), *rest = self.commits
        if not rest:
            raise ValueError("all commands were in one batch: take smaller batches")
        return rest[-1][0] - first, sum(number for _, number in rest)

    @property
    def command_s(self) -> float:
        """Seconds per command, as `measured`."""
        seconds, commands = self.measured
        return seconds / commands


class CountingMember:
    """A member that tells a tally what it commits."""

    def __init__(self, member: Member, tally: Tally) -> None:
        self._member = member
        self._tally = tally
        self._done: dict[int, int] = {}
        self.instance = member.instance
        self.committed = member.committed
        self.close = member.close

    def start(self, partition: int, offset: int) -> None:
        """Starts a partition; what lies before ``offset`` does not count."""
        self._done[partition] = offset
        self._member.start(partition, offset)

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        """Polls; the first poll that finds commands begins the run."""
        began = time.perf_counter()
        polled = self._member.poll(max_records, timeout_s)
        if polled.records and not self._tally.began:
            self._tally.began = began
        return polled

    def commit(
        self, writes: Sequence[Write], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        """Commits and counts."""
        ends = self._member.commit(writes, progress)
        commands = 0
        for partition, done in progress.items():
            commands += done.offset - self._done[partition]
            self._done[partition] = done.offset
        self._tally.count(commands)
        return ends


class CountingLog:
    """A log whose members count what they commit."""

    def __init__(self, log: Log, tally: Tally) -> None:
        self._log = log
        self._tally = tally

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def join(self, group: str, topic: str, instance: str) -> CountingMember:
        """See `kstate.log.port.Log`."""
        return CountingMember(self._log.join(group, topic, instance), self._tally)
