"""Reading partitions up to ends that were fixed before, beside whoever writes there.

A reader stops at the first transaction that is open.  One that is open for a moment is somebody at
work and is waited for; one at which the stable end stands still for longer than any worker's
transaction may last is hanging: it holds up every reader, and what lies behind it is let alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kstate.core.messages import Record
from kstate.errors import LogUnavailable
from kstate.log.port import Ends, Log, Reader

CHUNK = 10_000
WAIT_S = 0.2
LOOK_S = 0.5
"""How often it is looked whether a transaction has ended."""
STALL_S = 60.0
"""After how long a partition that gives nothing, with no transaction open, is given up."""

Clock = Callable[[], float]
"""Seconds, as `time.monotonic` gives them."""


class Open(NamedTuple):
    """A transaction that was seen open in a partition."""

    stable: int  # its first offset
    since: float  # when it was seen first


class Reading:
    """Reads one partition after another; to be closed."""

    def __init__(self, log: Log, patience_s: float, monotonic: Clock = time.monotonic) -> None:
        self.cut: set[tuple[str, int]] = set()
        """Partitions that could not be read to the end asked for: a transaction hangs there."""
        self._log = log
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._began = monotonic()
        self._open: dict[tuple[str, int], Open] = {}
        self._reader: Reader | None = None

    def ends(self, topic: str) -> Mapping[int, Ends]:
        """The bounds of the partitions; takes note of the transactions open in them."""
        found = self._log.ends(topic)
        now = self._monotonic()
        for partition, ends in found.items():
            place = (topic, partition)
            known = self._open.get(place)
            if ends.stable >= ends.end:
                self._open.pop(place, None)
            elif known is None or known.stable != ends.stable:
                self._open[place] = Open(ends.stable, now)
        return found

    def records(
        self, topic: str, partition: int, start: int, end: int
    ) -> Iterator[Sequence[Record]]:
        """The records from ``start`` up to, and without, ``end``, chunk by chunk.

        Raises `LogUnavailable` when nothing comes for a minute and no transaction is the reason.
        """
        if start >= end:
            return
        if self._reader is None:
            self._reader = self._log.reader()
        self._reader.assign(topic, {partition: start})
        position, moved, looked = start, self._monotonic(), 0.0
        while position < end:
            chunk = self._reader.poll(CHUNK, WAIT_S)
            now = self._monotonic()
            if chunk.records:
                moved, position = now, chunk.records[-1].offset + 1
                within = position <= end
                yield chunk.records if within else [r for r in chunk.records if r.offset < end]
            position = max(position, chunk.ends.get(partition, 0))
            if chunk.records or position >= end or now - looked < LOOK_S:
                continue
            looked = now
            self.ends(topic)
            if self._hangs(topic, partition):
                self.cut.add((topic, partition))
                return
            if (topic, partition) not in self._open and now - moved > STALL_S:
                raise LogUnavailable(
                    f"{topic}:{partition} gave nothing from {position} on for {STALL_S:.0f} s, "
                    f"though it ends at {end}: see whether its brokers are well, and try again"
                )

    def hanging(self, topics: Iterable[str]) -> Iterator[tuple[str, int, int, float]]:
        """Topic, partition, offset and the seconds so far of each transaction that hangs.

        What was open when the reading began is waited for until it has ended or the patience is
        over; what was opened since is somebody at work.
        """
        looked_at = list(topics)
        while True:
            for topic in looked_at:
                self.ends(topic)
            waiting = [
                place
                for place, each in self._open.items()
                if each.since <= self._began and not self._hangs(*place)
            ]
            if not waiting:
                break
            time.sleep(min(LOOK_S, self._patience_s))
        now = self._monotonic()
        for (topic, partition), each in sorted(self._open.items()):
            if self._hangs(topic, partition):
                yield topic, partition, each.stable, now - each.since

    def begin(self, topics: Iterable[str]) -> None:
        """The first look at transactions that may be hanging."""
        for topic in topics:
            self.ends(topic)
        self._began = self._monotonic()

    def _hangs(self, topic: str, partition: int) -> bool:
        known = self._open.get((topic, partition))
        return known is not None and self._monotonic() - known.since >= self._patience_s

    def close(self) -> None:
        """Releases the reader; idempotent."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
