"""Reading a journal's records: those that match, each with the positions behind it."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from kstate.core.messages import Record
from kstate.log.port import Choice, Chunk, Log
from kstate.query.events import StoredEvent, event_of
from kstate.query.tail import Tail, moved
from kstate.query.wanted import Wanted

CHUNK = 2_000
WAIT_S = 0.2
INFINITE = sys.maxsize

Stop = Callable[[], bool]
Watch = Callable[[int], object]
"""Called with the number of records read, chunk by chunk, whether they match or not."""


def current(
    log: Log,
    topic: str,
    starts: Mapping[int, int],
    wanted: Wanted,
    watch: Watch | None = None,
) -> Iterator[StoredEvent]:
    """What is there by now, from these positions on.

    Partitions are read at the same time; the order holds within each.
    """
    ends = log.ends(topic)
    # not the stable ends: what was answered is decided, and may be visible a moment later
    targets = {p: ends[p].end for p, start in starts.items() if start < ends[p].end}
    return _read(log, topic, dict(starts), targets, wanted, watch)


def live(
    log: Log,
    topic: str,
    starts: Mapping[int, int],
    wanted: Wanted,
    tail: Tail,
    stop: Stop,
    watch: Watch | None = None,
) -> Iterator[StoredEvent]:
    """What is there, and then what comes, until ``stop`` is true.

    A query that has come to the end is served by the tail, which all live queries of a journal
    share; one that falls too far behind reads by itself again.
    """
    positions = dict(starts)
    while not stop():
        seat = tail.sit(wanted)
        try:
            behind = {p: seat.starts[p] for p, at in positions.items() if at < seat.starts[p]}
            if behind:
                yield from _read(log, topic, positions, behind, wanted, watch, stop)
            while not stop() and (taken := seat.take(WAIT_S)) is not None:
                yield from _taken(*taken, positions, wanted)
        finally:
            seat.leave()


def _taken(
    records: Sequence[Record],
    reached: Mapping[int, int],
    positions: dict[int, int],
    wanted: Wanted,
) -> Iterator[StoredEvent]:
    """What the tail gave, but for other partitions and for what was had before."""
    new = [each for each in records if each.offset >= positions.get(each.partition, INFINITE)]
    yield from _matches(new, positions, wanted.key)
    for partition, position in positions.items():
        positions[partition] = max(position, reached[partition])


def records(log: Log, topic: str, partition: int) -> Iterator[Record]:
    """Every record of a partition that is there by now."""
    end = log.ends(topic)[partition].end
    targets = {partition: end} if end else {}
    for chunk, _ in _chunks(log, topic, {partition: 0}, targets, None):
        yield from chunk.records


def _read(
    log: Log,
    topic: str,
    positions: dict[int, int],
    targets: dict[int, int],
    wanted: Wanted,
    watch: Watch | None,
    stop: Stop = lambda: False,
) -> Iterator[StoredEvent]:
    """Reads until each partition has reached its target; moves ``positions``."""
    fits = None if wanted.key is None else wanted.filter()
    for chunk, behind in _chunks(log, topic, positions, targets, wanted.choice(), stop):
        found = chunk.records if fits is None else filter(fits, chunk.records)
        yield from _matches(found, positions, wanted.key)
        read = sum(behind[partition] - positions[partition] for partition in behind)
        positions.update(behind)
        if watch is not None:
            watch(read)


def _matches(
    records: Iterable[Record], positions: Mapping[int, int], key: bytes | None
) -> Iterator[StoredEvent]:
    """The events among records that were read from these positions on.

    Records of one partition mostly come one after another: how far the others are read is noted
    once for all of them.
    """
    behind = dict(positions)
    current, offset = -1, 0
    for record in records:
        partition = record[0]
        if partition != current:
            if current >= 0:
                behind = {**behind, current: offset + 1}
            current = partition
        offset = record[1]
        match = event_of(record, behind)
        if match is not None and (key is None or match.key == key):
            yield match


def _chunks(
    log: Log,
    topic: str,
    positions: Mapping[int, int],
    targets: dict[int, int],
    only: Choice | None,
    stop: Stop = lambda: False,
) -> Iterator[tuple[Chunk, dict[int, int]]]:
    """What is read from the positions until each target is reached, with the positions behind."""
    behind = {partition: positions[partition] for partition in targets}
    left = dict(targets)
    if not left:
        return
    reader = log.reader()
    try:
        reader.assign(topic, behind, only)
        while left and not stop():
            chunk = reader.poll(CHUNK, WAIT_S)
            behind = moved(behind, chunk)
            yield chunk, behind
            left = {p: end for p, end in left.items() if behind[p] < end}
    finally:
        reader.close()


def in_time_order(
    log: Log,
    topic: str,
    starts: Mapping[int, int],
    wanted: Wanted,
    watch: Watch | None = None,
) -> Iterator[StoredEvent]:
    """`current`, merged across partitions by the events' times.

    Each partition has a reader of its own: only the one that is next is read on.
    """
    found = [current(log, topic, {p: start}, wanted, watch) for p, start in starts.items()]
    return merged(found, starts)


def merged(
    found: Iterable[Iterator[StoredEvent]], starts: Mapping[int, int]
) -> Iterator[StoredEvent]:
    """What was found in each partition from these positions on, by the events' times."""
    behind = dict(starts)
    latest: StoredEvent | None = None
    for match in heapq.merge(*found, key=lambda match: match.record.timestamp):
        if latest is not None and latest.partition != match.partition:
            behind = {**behind, latest.partition: latest.offset + 1}
        match.behind = behind
        latest = match
        yield match
