"""The journal of one processor, to be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Unpack

from kstate.codec.port import Messages
from kstate.core.partition import partition_for
from kstate.core.positions import Skip, parse_position, parse_source
from kstate.core.topics import Topics, encode_persist_id
from kstate.errors import ConfigError, LogUnavailable, TopicError
from kstate.log.port import Log
from kstate.query import scan
from kstate.query.events import DELETED, StoredEvent, decoded, stored_events
from kstate.query.index import Index
from kstate.query.processors import missing
from kstate.query.scan import Stop
from kstate.query.tail import Tail
from kstate.query.wanted import Selection, Wanted, wanted_of

LOOK_S = 0.01


class Journal:
    """The journal of one processor, to be read.

    Every query yields the events of a persist id in the order of their seqs.
    """

    def __init__(
        self,
        log: Log,
        topics: Topics,
        messages: Messages,
        tail: Tail | None = None,
        index: Index | None = None,
    ) -> None:
        self.log = log
        self.topics = topics
        self._messages = messages
        self._tail = tail or Tail(log, topics.journal)
        self._index = index  # what answers queries that are neither live nor for everything
        self.watch: Callable[[int], object] | None = None
        """Called with the number of records read, chunk by chunk, whether they match or not."""

    # -- queries -----------------------------------------------------------------------------

    def by_id(
        self,
        persist_id: str,
        *,
        from_seq: int = 1,
        to_seq: int | None = None,
        since: datetime | None = None,
        after: str | None = None,
        live: bool = False,
        stop: Stop | None = None,
    ) -> Iterator[StoredEvent]:
        """The events of one persist id in seq order; with ``live`` it waits for further ones.

        ``after`` is the position of an event found before, and tells of its partition alone.
        """
        starts, wanted = self.of_id(persist_id)
        skip: Mapping[int, Skip] = {}
        if after is not None:
            reached, skip = self._resume(after)
            starts = {partition: reached[partition] for partition in starts}
        starts = self._since(starts, since)
        for match in self._found(starts, wanted, live, stop):
            if match.seq < from_seq:
                continue
            if to_seq is not None and match.seq > to_seq:
                return
            yield from stored_events(self._messages, match, _had(skip, match))
            if match.seq == to_seq:
                return

    def all(
        self, *, stop: Stop | None = None, **selection: Unpack[Selection]
    ) -> Iterator[StoredEvent]:
        """Every event, or those that `Selection` says; live ones until ``stop`` is true.

        Raises `ConfigError` for what does not go together.
        """
        live = selection.get("live", False)
        in_time_order = selection.get("in_time_order", False)
        if live and in_time_order:
            raise ConfigError(
                "a live query has no order across partitions: what is there would have to wait "
                "for what may never come; leave out in_time_order, or live"
            )
        wanted = wanted_of(selection)
        starts, skip = self._resume(selection.get("after"))
        since, least = selection.get("since"), selection.get("from_offset", 0)
        starts = {p: max(start, least) for p, start in self._since(starts, since).items()}
        return self._events(starts, skip, wanted, in_time_order, live, stop)

    def _events(
        self,
        starts: dict[int, int],
        skip: Mapping[int, Skip],
        wanted: Wanted,
        in_time_order: bool,
        live: bool,
        stop: Stop | None,
    ) -> Iterator[StoredEvent]:
        if in_time_order:
            found = self._in_time_order(starts, wanted)
        else:
            found = self._found(starts, wanted, live, stop)
        if not skip:
            yield from decoded(self._messages, found)
            return
        for match in found:
            yield from stored_events(self._messages, match, _had(skip, match))

    def ids(self) -> list[str]:
        """The persist ids that exist: those with events, but for the deleted; sorted."""
        alive: dict[bytes, bool] = {}
        for match in self.current(self.beginning(), Wanted()):
            alive[match.key] = match.type != DELETED
        return sorted(key.decode() for key, yes in alive.items() if yes)

    def live_ids(self, *, stop: Stop | None = None) -> Iterator[str]:
        """`ids`, and then each that comes to exist, once, until ``stop`` is true; one that was
        deleted is told again when it begins anew."""
        starts = self.beginning()
        known: dict[bytes, bool] = {}
        for match in self.current(starts, Wanted()):
            known[match.key] = match.type != DELETED
            starts[match.partition] = match.offset + 1
        yield from sorted(key.decode() for key, alive in known.items() if alive)
        exist = {key for key, alive in known.items() if alive}
        del known
        for match in self._found(starts, Wanted(), True, stop):
            if match.type == DELETED:
                exist.discard(match.key)
            elif match.key not in exist:
                exist.add(match.key)
                yield match.persist_id

    def wait_for(self, position: str, timeout_s: float) -> None:
        """Returns once every query, live ones and those of others too, can see the events of the
        command that was answered with this position.

        Raises `ConfigError` for what is no such position, `LogUnavailable` after the timeout.
        """
        partition, _ = parse_source(position, self.partitions())
        deadline = time.monotonic() + timeout_s
        target = self.log.ends(self.topics.journal)[partition].end
        while self.log.ends(self.topics.journal)[partition].stable < target:
            if time.monotonic() >= deadline:
                raise LogUnavailable(
                    f"{self.topics.journal}:{partition} was not readable up to {target} within "
                    f"{timeout_s:g} s: a transaction is open there"
                )
            time.sleep(LOOK_S)

    def partitions(self) -> int:
        """The partition count; raises `TopicError` when the processor is not on this log."""
        info = self.log.topics([self.topics.journal]).get(self.topics.journal)
        if info is None:
            raise TopicError(missing(self.topics))
        return info.partitions

    def size(
        self,
        persist_id: str | None = None,
        *,
        after: str | None = None,
        since: datetime | None = None,
    ) -> int:
        """About how many records the journal has, or the partition of a persist id, behind a
        position or from a time on: offsets from there to the end."""
        starts = self._since(self._resume(after)[0], since)
        ends = self.log.ends(self.topics.journal)
        if persist_id is not None:
            starts = {partition: starts[partition] for partition in self.of_id(persist_id)[0]}
        return sum(max(0, ends[p].end - max(ends[p].start, at)) for p, at in starts.items())

    # -- reading -----------------------------------------------------------------------------

    def current(self, starts: Mapping[int, int], wanted: Wanted) -> Iterator[StoredEvent]:
        """The records that match and are there by now, not decoded; see `scan.current`."""
        if self._index is not None and not wanted.everything:
            return self._index.current(starts, wanted, self.watch)
        return scan.current(self.log, self.topics.journal, starts, wanted, self.watch)

    def _in_time_order(self, starts: Mapping[int, int], wanted: Wanted) -> Iterator[StoredEvent]:
        if self._index is not None and not wanted.everything:
            return scan.merged(self._index.in_time_order(starts, wanted, self.watch), starts)
        return scan.in_time_order(self.log, self.topics.journal, starts, wanted, self.watch)

    def beginning(self) -> dict[int, int]:
        """The first offset of each partition."""
        return dict.fromkeys(range(self.partitions()), 0)

    def of_id(self, persist_id: str) -> tuple[dict[int, int], Wanted]:
        """Where the events of a persist id begin, and what they are told by."""
        key = encode_persist_id(persist_id)
        return {partition_for(key, self.partitions()): 0}, Wanted(key=key)

    def _found(
        self, starts: Mapping[int, int], wanted: Wanted, live: bool, stop: Stop | None
    ) -> Iterator[StoredEvent]:
        if not live:
            return self.current(starts, wanted)
        ends = stop or (lambda: False)
        return scan.live(
            self.log, self.topics.journal, starts, wanted, self._tail, ends, self.watch
        )

    def _resume(self, after: str | None) -> tuple[dict[int, int], Mapping[int, Skip]]:
        """Where to read from, and what was had already of the first record of a partition."""
        starts = self.beginning()
        if after is None:
            return starts, {}
        offsets, skip = parse_position(after, len(starts))
        return starts | offsets, skip

    def _since(self, starts: dict[int, int], since: datetime | None) -> dict[int, int]:
        if since is None:
            return starts
        found = self.log.offsets_at(self.topics.journal, int(since.timestamp() * 1000))
        return {partition: max(start, found[partition]) for partition, start in starts.items()}


def _had(skip: Mapping[int, Skip], match: StoredEvent) -> int:
    """How many of the events made of this record were had already."""
    had = skip.get(match.partition)
    return had.parts if had is not None and had.offset == match.offset else 0
