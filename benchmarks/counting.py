"""How many commands were committed and when, seen from around a worker's log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kstate.core.messages import WriteRow
from kstate.log.port import Committed, Log, Member, Polled


class Commit(NamedTuple):
    """The end of a transaction."""

    at_s: float  # `time.perf_counter`
    cpu_s: float  # processor time of this process so far, librdkafka's threads included
    commands: int


class Measured(NamedTuple):
    """What a number of commands took."""

    seconds: float
    cpu_s: float
    commands: int

    @property
    def command_us(self) -> float:
        """Microseconds per command."""
        return self.seconds * 1e6 / self.commands

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time per command."""
        return self.cpu_s * 1e6 / self.commands

    @property
    def rate(self) -> float:
        """Commands per second."""
        return self.commands / self.seconds


class Tally:
    """The commits of one run; ``first`` is called after the first of them, ``enough`` after that
    of the last command."""

    def __init__(self, commands: int) -> None:
        self.first: Callable[[], None] = lambda: None
        self.enough: Callable[[], None] = lambda: None
        self.began = 0.0  # `time.perf_counter` before the first poll that found commands
        self.commits: list[Commit] = []
        self._left = commands

    def count(self, commands: int) -> None:
        """Takes note of a commit that just ended."""
        self.commits.append(Commit(time.perf_counter(), time.process_time(), commands))
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
    def measured(self) -> Measured:
        """From the end of the first commit to that of the last, with the commands between.

        What comes before the first commit is how a group forms and a partition is taken over.
        Raises `ValueError` when there was one commit only.
        """
        first, *rest = self.commits
        if not rest:
            raise ValueError("all commands were in one batch: take smaller batches")
        return Measured(
            rest[-1].at_s - first.at_s,
            rest[-1].cpu_s - first.cpu_s,
            sum(commit.commands for commit in rest),
        )


class CountingMember:
    """A member that tells a tally what it commits."""

    def __init__(self, member: Member, tally: Tally) -> None:
        self._member = member
        self._tally = tally
        self._done: dict[int, int] = {}
        self.instance = member.instance
        self.committed = member.committed
        self.close = member.close
        self.write_ahead = member.write_ahead
        self.abort = member.abort

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
        self, writes: Sequence[WriteRow], progress: Mapping[int, Committed]
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
