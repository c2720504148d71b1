"""A local index of a journal: queries by id, tag and type without reading all of it.

A query first brings the index up to date, which reads what the journal has got since the last time,
and is then answered from a SQLite file.  The file keeps the records themselves, not only where they
stand: one record in a hundred cannot be fetched from Kafka faster than all of them are read.

An index holds nothing that the journal does not: it may be deleted at any time, and is made anew
when it is damaged, of another journal or another format, or so old that tombstones may be gone
that it has not seen.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from kstate.core.messages import Record
from kstate.errors import StoreCorrupt, TopicError
from kstate.log.port import Ends, Log, TopicInfo
from kstate.query import scan
from kstate.query.events import StoredEvent, event_of
from kstate.query.index_file import Held, IndexFile, Stamp
from kstate.query.index_terms import Terms, place_of
from kstate.query.scan import Watch
from kstate.query.tail import moved
from kstate.query.wanted import Wanted

CHUNK = 5_000
BATCH = 10_000
"""Records of one transaction, about."""
PAGE = 500
"""Records that are taken from the file at once."""
FRESH_MS = 60_000
"""So often it is noted how fresh the file is: each time would be a write for each query."""

T = TypeVar("T")

logger = logging.getLogger("kstate.index")


class Index:
    """The index of one journal, in a file of a directory; may be used by many threads.

    Several processes may share the file.  Raises `StoreError` for a file that cannot be written,
    `ConfigError` for a directory that cannot be; the journal itself is only ever read.  ``clock``
    gives seconds since the epoch.
    """

    def __init__(
        self, directory: Path, log: Log, topic: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = directory / f"{quote(topic, safe='')}.index"
        self._log = log
        self._topic = topic
        self._clock = clock
        self._lock = threading.Lock()  # of who brings it up to date
        self._file = IndexFile(self.path)
        self._generation = -1

    def catch_up(self, watch: Watch | None = None) -> dict[int, int]:
        """Takes in what the journal has by now; per partition, how far that is.

        ``watch`` is called with the number of records read, chunk by chunk.
        """
        with self._lock:
            try:
                return self._caught_up(watch)
            except StoreCorrupt as error:
                self._throw_away(error)
                return self._caught_up(watch)

    def rebuild(self, watch: Watch | None = None) -> dict[int, int]:
        """Makes it anew from the journal; see `catch_up`."""
        with self._lock:
            if not self._file.discard():  # others use it: emptied where it stands
                info, _ = self._journal()
                try:
                    self._make(info, self._file.stamp())
                except StoreCorrupt as error:
                    raise _in_use(error) from error
            return self._caught_up(watch)

    def current(
        self, starts: Mapping[int, int], wanted: Wanted, watch: Watch | None = None
    ) -> Iterator[StoredEvent]:
        """What matches from these positions on and is there by now; as `scan.current`, but one
        partition after the other."""
        return self._found(starts, self.catch_up(watch), wanted)

    def in_time_order(
        self, starts: Mapping[int, int], wanted: Wanted, watch: Watch | None = None
    ) -> list[Iterator[StoredEvent]]:
        """`current` of each partition by itself, to be merged."""
        ends = self.catch_up(watch)
        return [self._found({p: start}, ends, wanted) for p, start in starts.items()]

    def held(self) -> dict[int, Held]:
        """What it has, per partition; nothing while it is to be made anew."""
        try:
            return self._file.held()
        except StoreCorrupt:  # `catch_up` throws it away, and says so
            return {}

    def size(self) -> int:
        """Its bytes on the disk."""
        return self._file.size()

    def close(self) -> None:
        """Releases the file; idempotent."""
        self._file.close()

    # -- up to date --------------------------------------------------------------------------

    def _caught_up(self, watch: Watch | None) -> dict[int, int]:
        while True:
            now_ms = int(self._clock() * 1000)
            info, ends = self._journal()
            stamp = self._ready(info, ends, now_ms)
            positions = self._read(stamp.generation, ends, watch)
            if positions is None:  # somebody has made it anew
                continue
            starts = {partition: each.start for partition, each in ends.items()}
            late = now_ms - stamp.fresh_ms >= FRESH_MS
            if late or self._file.has_before(starts):
                self._file.finish(stamp.generation, starts, now_ms if late else None)
            self._file.clean()
            self._generation = stamp.generation
            return positions

    def _journal(self) -> tuple[TopicInfo, Mapping[int, Ends]]:
        info = self._log.topics([self._topic]).get(self._topic)
        if info is None:
            raise TopicError(f"there is no topic {self._topic} on {self._log.url}")
        return info, self._log.ends(self._topic)

    def _ready(self, info: TopicInfo, ends: Mapping[int, Ends], now_ms: int) -> Stamp:
        """The stamp of the file, which is of this journal and can be brought up to date."""
        while True:
            stamp = self._file.stamp()
            reason = None
            if stamp is not None:
                reason = self._unfit(stamp, info, ends, now_ms)
                if reason is None:
                    return stamp
            elif not self._file.blank:
                reason = "it is of another format"
            if reason is not None:
                logger.warning("the index %s is made anew: %s", self.path, reason)
            self._make(info, stamp)

    def _unfit(
        self, stamp: Stamp, info: TopicInfo, ends: Mapping[int, Ends], now_ms: int
    ) -> str | None:
        """Why the file cannot be used; None for one that can."""
        if stamp.identity != info.identity:
            return "the topic was created anew, or is of another log"
        if stamp.partitions != info.partitions:
            return f"it is of {stamp.partitions} partitions, the journal has {info.partitions}"
        if now_ms - stamp.fresh_ms > info.delete_retention_ms >= 0:
            return "it is so old that the journal may have lost tombstones which it has not seen"
        held = self._file.held()
        if any(held[p].position > each.end for p, each in ends.items()):
            now = self._log.ends(self._topic)  # another process may have seen later ends
            if any(held[p].position > each.end for p, each in now.items()):
                return "the journal ends before it"
        return None

    def _make(self, info: TopicInfo, since: Stamp | None) -> None:
        now_ms = int(self._clock() * 1000)
        self._file.make(info.identity, info.partitions, now_ms, since)

    def _throw_away(self, error: StoreCorrupt) -> None:
        if not self._file.discard():
            raise _in_use(error) from error
        logger.warning("%s: it is made anew", error)

    def _read(
        self, generation: int, ends: Mapping[int, Ends], watch: Watch | None
    ) -> dict[int, int] | None:
        """Reads to these ends; the positions then, or None when the file was made anew."""
        positions = {partition: each.position for partition, each in self._file.held().items()}
        # not the stable ends: what was answered is decided, and may be visible a moment later
        targets = {p: each.end for p, each in ends.items()}
        left = _short_of(targets, positions)
        if not left:
            return positions
        reader = self._log.reader()
        try:
            reader.assign(self._topic, {p: positions[p] for p in left})
            while left:
                records: list[Record] = []
                behind = {p: positions[p] for p in left}
                while len(records) < BATCH and _short_of(targets, behind):
                    chunk = reader.poll(CHUNK, scan.WAIT_S)
                    behind = moved(behind, chunk)
                    records += chunk.records
                    if watch is not None:
                        watch(len(chunk.records))
                now = self._file.add(generation, records, behind)
                if now is None:
                    return None
                if ahead := any(now[p] > at for p, at in behind.items()):
                    behind = now  # another process has read further
                positions |= {**now, **behind}
                left = _short_of(targets, positions)
                if ahead and left:
                    reader.assign(self._topic, {p: positions[p] for p in left})
        finally:
            reader.close()
        return positions

    # -- answers -----------------------------------------------------------------------------

    def _found(
        self, starts: Mapping[int, int], ends: Mapping[int, int], wanted: Wanted
    ) -> Iterator[StoredEvent]:
        terms = Terms(wanted)
        behind = dict(starts)
        for partition in sorted(starts):
            low, high = starts[partition], ends.get(partition, 0)
            if low >= high:
                continue
            found = self._records(terms, place_of(partition, low), place_of(partition, high))
            for record in found:
                match = event_of(record, behind)
                if match is not None:
                    yield match
            behind = {**behind, partition: high}

    def _records(self, terms: Terms, low: int, high: int) -> Iterator[Record]:
        """The records that match, page by page: what is erased meanwhile is not among them."""
        while True:
            places = self._asked(partial(self._file.places, terms, low, high, PAGE))
            for at in range(0, len(places), PAGE):
                yield from self._asked(partial(self._file.records, places[at : at + PAGE]))
            if len(places) < PAGE or terms.wanted.key is not None:
                return
            low = places[-1] + 1

    def _asked(self, ask: Callable[[int], list[T] | None]) -> list[T]:
        """What the file says; brought up to date before, if it was made anew meanwhile."""
        thrown_away = False
        while True:
            try:
                found = ask(self._generation)
            except StoreCorrupt as error:
                if thrown_away:
                    raise
                with self._lock:
                    self._throw_away(error)
                thrown_away, found = True, None
            if found is not None:
                return found
            self.catch_up()


class Indexes:
    """The indexes of a client, in one directory; made when they are first asked for."""

    def __init__(self, directory: Path, log: Log) -> None:
        self._directory = directory
        self._log = log
        self._lock = threading.Lock()
        self._made: dict[str, Index] = {}

    def of(self, topic: str) -> Index:
        """The index of a journal."""
        with self._lock:
            if topic not in self._made:
                self._made[topic] = Index(self._directory, self._log, topic)
            return self._made[topic]

    def close(self) -> None:
        """Releases the files; idempotent."""
        with self._lock:
            for each in self._made.values():
                each.close()


def _in_use(error: StoreCorrupt) -> StoreCorrupt:
    """The same with the cure, for a damaged file that is not this process's alone."""
    return StoreCorrupt(f"{error}, and other processes use it: end them, and it is made anew")


def _short_of(targets: Mapping[int, int], positions: Mapping[int, int]) -> dict[int, int]:
    """The targets that are not reached yet."""
    return {p: end for p, end in targets.items() if positions.get(p, end) < end}
