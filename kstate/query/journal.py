"""The journal of one processor, to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from kstate.codec.port import Messages
from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.messages import Record
from kstate.core.partition import partition_for
from kstate.core.positions import Skip, parse_position
from kstate.core.replay import fold_event
from kstate.core.topics import Topics, encode_persist_id
from kstate.errors import TopicError
from kstate.log.port import Log
from kstate.query.events import DELETED, Match, StoredEvent, match_of, stored_events
from kstate.query.processors import missing

CHUNK = 2_000
LIVE_WAIT_S = 0.2

Stop = Callable[[], bool]


class Journal:
    """The journal of one processor, to be read."""

    def __init__(self, log: Log, topics: Topics, messages: Messages) -> None:
        self._log = log
        self._topics = topics
        self._messages = messages
        self.watch: Callable[[int], object] | None = None
        """Called with the number of records read, chunk by chunk, whether they match or not."""

    # -- queries -----------------------------------------------------------------------------

    def by_id(
        self,
        persist_id: str,
        *,
        from_seq: int = 1,
        to_seq: int | None = None,
        live: bool = False,
        stop: Stop | None = None,
    ) -> Iterator[StoredEvent]:
        """The events of one persist id in seq order; with ``live`` it waits for further ones."""
        key = encode_persist_id(persist_id)
        partition = partition_for(key, self.partitions())
        for match, positions in self._scan({partition: 0}, live, stop, key=key):
            if match.seq < from_seq:
                continue
            if to_seq is not None and match.seq > to_seq:
                return
            yield from self._stored(match, positions)
            if match.seq == to_seq:
                return

    def by_tag(
        self,
        tag: str,
        *,
        after: str | None = None,
        live: bool = False,
        stop: Stop | None = None,
    ) -> Iterator[StoredEvent]:
        """The events with a tag: in seq order per persist id, ``after`` a position if given."""
        starts, skip = self._resume(after)
        for match, positions in self._scan(starts, live, stop, tag=tag):
            yield from self._stored(match, positions, skip)

    def all(
        self,
        *,
        after: str | None = None,
        from_offset: int = 0,
        since: datetime | None = None,
        live: bool = False,
        stop: Stop | None = None,
    ) -> Iterator[StoredEvent]:
        """Every event, from a position, an offset in each partition, or about a time on."""
        starts, skip = self._resume(after)
        if since is not None:
            found = self._log.offsets_at(self._topics.journal, int(since.timestamp() * 1000))
            starts = {partition: max(starts[partition], found[partition]) for partition in starts}
        starts = {partition: max(start, from_offset) for partition, start in starts.items()}
        for match, positions in self._scan(starts, live, stop):
            yield from self._stored(match, positions, skip)

    def ids(self) -> list[str]:
        """The persist ids that exist: those with events, but for the deleted; sorted."""
        alive: dict[bytes, bool] = {}
        for match, _ in self._scan(self._resume(None)[0], False, None):
            alive[match.key] = match.type != DELETED
        return sorted(key.decode() for key, yes in alive.items() if yes)

    def states(
        self, machine: Machine, persist_id: str, to_seq: int | None = None
    ) -> Iterator[tuple[StoredEvent, Any]]:
        """Each event of a persist id with the state after it, folded from the first event on.

        Events that adapters made of one stored record come with the state after all of them.
        """
        entity = Entity(persist_id, machine.init(persist_id))
        key = encode_persist_id(persist_id)
        partition = partition_for(key, self.partitions())
        for match, positions in self._scan({partition: 0}, False, None, key=key):
            if to_seq is not None and match.seq > to_seq:
                return
            fold_event(machine, entity, match.seq, match.record.value)
            for stored in self._stored(match, positions):
                yield stored, entity.state

    def state_at(self, machine: Machine, persist_id: str, seq: int) -> tuple[int, Any]:
        """The state after ``seq``, or after the last event before it, and the seq it is of."""
        entity = Entity(persist_id, machine.init(persist_id))
        key = encode_persist_id(persist_id)
        partition = partition_for(key, self.partitions())
        for match, _ in self._scan({partition: 0}, False, None, key=key):
            if match.seq > seq:
                break
            fold_event(machine, entity, match.seq, match.record.value)
        return entity.seq, entity.state

    def final_states(
        self, machine: Machine, within: Callable[[int, Record], bool] | None = None
    ) -> Iterator[tuple[str, int, Any]]:
        """The persist ids that exist, each with its last seq and its state, folded in one pass.

        They come partition by partition, sorted: the states of one partition are in memory at a
        time.  An id's fold ends before the first event for whose seq and record ``within`` is
        false.
        """
        for partition in range(self.partitions()):
            entities: dict[bytes, Entity] = {}
            ended: set[bytes] = set()
            for match, _ in self._scan({partition: 0}, False, None):
                key = match.key
                if key in ended:
                    continue
                if within is not None and not within(match.seq, match.record):
                    ended.add(key)
                    continue
                entity = entities.get(key)
                if entity is None:
                    persist_id = key.decode()
                    entity = entities[key] = Entity(persist_id, machine.init(persist_id))
                fold_event(machine, entity, match.seq, match.record.value)
            for _, entity in sorted(entities.items()):
                if not entity.deleted:
                    yield entity.persist_id, entity.seq, entity.state

    def partitions(self) -> int:
        """The partition count; raises `TopicError` when the processor is not on this log."""
        info = self._log.topics([self._topics.journal]).get(self._topics.journal)
        if info is None:
            raise TopicError(missing(self._topics))
        return info.partitions

    def size(self, persist_id: str | None = None) -> int:
        """About how many records the journal has, or the partition of a persist id: offsets from
        start to end."""
        count = self.partitions()
        ends = self._log.ends(self._topics.journal)
        if persist_id is not None:
            partition = partition_for(encode_persist_id(persist_id), count)
            ends = {partition: ends[partition]}
        return sum(each.end - each.start for each in ends.values())

    # -- reading -----------------------------------------------------------------------------

    def _resume(self, after: str | None) -> tuple[dict[int, int], Mapping[int, Skip]]:
        """Where to read from, and what was had already of the first record of a partition."""
        starts = dict.fromkeys(range(self.partitions()), 0)
        if after is None:
            return starts, {}
        offsets, skip = parse_position(after, len(starts))
        return starts | offsets, skip

    def _scan(
        self,
        starts: Mapping[int, int],
        live: bool,
        stop: Stop | None,
        key: bytes | None = None,
        tag: str | None = None,
    ) -> Iterator[tuple[Match, dict[int, int]]]:
        """The matching records, each with the positions behind it."""
        ends = self._log.ends(self._topics.journal)
        # not the stable ends: what was answered is decided, and may be visible a moment later
        open_ends = {p: ends[p].end for p, start in starts.items() if start < ends[p].end}
        if not live and not open_ends:
            return
        positions = dict(starts)
        reader = self._log.reader()
        try:
            reader.assign(self._topics.journal, positions)
            while True:
                chunk = reader.poll(CHUNK, LIVE_WAIT_S)
                for record in chunk.records:
                    positions[record.partition] = record.offset + 1
                    match = match_of(record)
                    if match is None or (key is not None and match.key != key):
                        continue
                    if tag is None or tag in match.tags:
                        yield match, positions
                if self.watch is not None:
                    self.watch(len(chunk.records))
                if live:
                    if stop is not None and stop():
                        return
                    continue
                for partition, reached in chunk.ends.items():
                    if reached >= open_ends.get(partition, reached + 1):
                        del open_ends[partition]
                if not open_ends:
                    return
        finally:
            reader.close()

    def _stored(
        self, match: Match, positions: Mapping[int, int], skip: Mapping[int, Skip] | None = None
    ) -> Iterator[StoredEvent]:
        skipped = skip.get(match.record.partition) if skip else None
        known = skipped is not None and skipped.offset == match.record.offset
        first = skipped.parts if skipped is not None and known else 0
        return stored_events(self._messages, match, positions, first)
