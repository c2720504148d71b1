"""When partitions were assigned and answered, and what was read, seen from around a log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kstate.core.messages import WriteRow
from kstate.log.port import Chunk, Committed, Log, Member, Polled, Reader


class Watch:
    """One worker's takeover; ``answered_all`` is called when each partition has run commands."""

    def __init__(self, partitions: Iterable[int], replies: str) -> None:
        self.answered_all: Callable[[], None] = lambda: None
        self.assigned_s = 0.0  # `time.perf_counter` when the first partition was assigned
        self.answered: dict[int, float] = {}  # when a partition's first commands were committed
        self.replies: list[bytes] = []
        self.read: Counter[str] = Counter()  # topic → records
        self._open = set(partitions)
        self._topic = replies

    def answer(self, partitions: Iterable[int], writes: Sequence[WriteRow]) -> None:
        """Takes note of a commit with commands of these partitions, which just ended."""
        now = time.perf_counter()
        for partition in partitions:
            self.answered.setdefault(partition, now)
            self._open.discard(partition)
        self.replies += (w[3] or b"" for w in writes if w[0] == self._topic)
        if not self._open:
            self.answered_all()


class WatchingMember:
    """A member that tells a watch."""

    def __init__(self, member: Member, watch: Watch) -> None:
        self._member = member
        self._watch = watch
        self._started: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        """Polls."""
        polled = self._member.poll(max_records, timeout_s)
        if polled.assigned and not self._watch.assigned_s:
            self._watch.assigned_s = time.perf_counter()
        return polled

    def start(self, partition: int, offset: int) -> None:
        """Starts a partition."""
        self._started[partition] = offset
        self._member.start(partition, offset)

    def commit(
        self, writes: Sequence[WriteRow], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        """Commits; a recovery's own commits have no commands."""
        ends = self._member.commit(writes, progress)
        moved = [p for p, done in progress.items() if done.offset > self._started.get(p, 2**63)]
        self._watch.answer(moved, writes)
        return ends


class WatchingReader:
    """A reader whose records are counted."""

    def __init__(self, reader: Reader, watch: Watch) -> None:
        self._reader = reader
        self._watch = watch
        self._topic = ""
        self.close = reader.close

    def assign(self, topic: str, positions: Mapping[int, int]) -> None:
        """Assigns."""
        self._topic = topic
        self._reader.assign(topic, positions)

    def poll(self, max_records: int, timeout_s: float) -> Chunk:
        """Polls and counts."""
        chunk = self._reader.poll(max_records, timeout_s)
        self._watch.read[self._topic] += len(chunk.records)
        return chunk


class WatchingLog:
    """A log whose members and readers tell a watch."""

    def __init__(self, log: Log, watch: Watch) -> None:
        self._log = log
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def join(self, group: str, topic: str, instance: str) -> WatchingMember:
        """See `kstate.log.port.Log`."""
        return WatchingMember(self._log.join(group, topic, instance), self._watch)

    def reader(self, *, follows: bool = False) -> WatchingReader:
        """See `kstate.log.port.Log`."""
        return WatchingReader(self._log.reader(follows=follows), self._watch)
