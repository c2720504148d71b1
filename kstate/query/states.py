"""The states a journal makes: then, along the way, and at the end of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kstate.codec.port import Messages
from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.messages import Record, Snapshot
from kstate.core.replay import fold_event
from kstate.core.topics import encode_persist_id
from kstate.errors import ConfigError, DecodeError, JournalError
from kstate.query.events import StoredEvent, stored_events
from kstate.query.journal import Journal
from kstate.query.points import Point
from kstate.query.scan import Watch, records
from kstate.query.wanted import Wanted


class _Unknown:
    def __repr__(self) -> str:
        return "(not known: the events before it were removed)"


UNKNOWN = _Unknown()
"""The state after an event between those that were removed and the snapshot that covers them."""


class States:
    """Folds the events of a processor, whose code is at hand.

    The fold begins with seq 1, or with the snapshot where the events before it were removed.
    """

    def __init__(self, journal: Journal, machine: Machine, messages: Messages) -> None:
        self._journal = journal
        self._machine = machine
        self._messages = messages

    def tell(self, watch: Watch) -> None:
        """Calls ``watch`` with the number of journal records read, chunk by chunk."""
        self._journal.watch = watch

    def at(self, persist_id: str, point: Point) -> tuple[int, Any]:
        """The state at a point, and the seq it is of: of the last event up to there.

        Raises `JournalError` where the events before it were removed, and `ConfigError` where
        the entity has no event of the point's command.
        """
        fold = self._fold(persist_id)
        for match in self._up_to(persist_id, point):
            fold(match)
        fold.check()
        return fold.entity.seq, fold.entity.state

    def then(self, persist_id: str, point: Point) -> Any:
        """The state at a point; raises as `at`, and `ConfigError` for a seq that is not there."""
        seq, state = self.at(persist_id, point)
        if point.seq is not None and seq < point.seq:
            raise ConfigError(f"{persist_id!r} is at seq {seq}, it has no seq {point.seq} yet")
        return state

    def steps(
        self, persist_id: str, start: Point | None = None, end: Point | None = None
    ) -> Iterator[tuple[StoredEvent, Any]]:
        """Each event behind ``start``, up to ``end``, with the state after it or `UNKNOWN`.

        Events that adapters made of one stored record come with the state after all of them.
        """
        begin = 0
        if start is not None:
            starts, wanted = self._journal.of_id(persist_id)
            found = self._journal.current(starts, wanted)
            begin = max((match.seq for match in start.up_to(persist_id, found)), default=0)
        fold = self._fold(persist_id)
        for match in self._up_to(persist_id, end):
            state = fold(match)
            if match.seq > max(begin, fold.erased):
                for stored in stored_events(self._messages, match):
                    yield stored, state

    def final(
        self, within: Callable[[int, Record], bool] | None = None
    ) -> Iterator[tuple[str, int, Any]]:
        """The persist ids that exist, each with its last seq and its state, folded in one pass.

        They come partition by partition, sorted: the states of one partition are in memory at a
        time.  An id's fold ends before the first event for whose seq and record ``within`` is
        false.
        """
        for partition in self._journal.beginning():
            yield from self._final(partition, within)

    def _final(
        self, partition: int, within: Callable[[int, Record], bool] | None
    ) -> Iterator[tuple[str, int, Any]]:
        folds: dict[bytes, _Fold] = {}
        ended: set[bytes] = set()
        snapshots = _Snapshots(self._journal, self._machine, partition)
        for match in self._journal.current({partition: 0}, Wanted()):
            key = match.key
            if key in ended:
                continue
            if within is not None and not within(match.seq, match.record):
                ended.add(key)
                continue
            fold = folds.get(key)
            if fold is None:
                fold = folds[key] = _Fold(self._machine, key.decode(), snapshots)
            fold(match)
        for _, fold in sorted(folds.items()):
            fold.check()
            if not fold.entity.deleted:
                yield fold.entity.persist_id, fold.entity.seq, fold.entity.state

    def _fold(self, persist_id: str) -> _Fold:
        (partition,), _ = self._journal.of_id(persist_id)
        snapshots = _Snapshots(self._journal, self._machine, partition)
        return _Fold(self._machine, persist_id, snapshots)

    def _up_to(self, persist_id: str, point: Point | None) -> Iterator[StoredEvent]:
        starts, wanted = self._journal.of_id(persist_id)
        found = self._journal.current(starts, wanted)
        return found if point is None else point.up_to(persist_id, found)


class _Fold:
    """One entity on its way through the journal."""

    def __init__(self, machine: Machine, persist_id: str, snapshots: _Snapshots) -> None:
        self._machine = machine
        self._snapshots = snapshots
        self._known_from = 0  # the seq of the snapshot that stands for what was removed
        self._reached = 0
        self.erased = 0  # the seq up to which the entity was erased: its state began anew there
        self.entity = Entity(persist_id, machine.init(persist_id))

    def __call__(self, match: StoredEvent) -> Any:
        """Folds the next event; the state after it, or `UNKNOWN`."""
        if not self._reached:
            self._begin(match.seq)
        self._reached = match.seq
        if match.seq <= self.erased:
            return self.entity.state  # until the log is cleaned, what was erased is still read
        if match.seq < self._known_from:
            return UNKNOWN
        if match.seq > self._known_from:
            fold_event(self._machine, self.entity, match.seq, match.record.value)
        return self.entity.state

    def check(self) -> None:
        """Raises `JournalError` when the state is not known where the fold has come to."""
        if self._reached < self._known_from:
            raise JournalError(
                f"the first events of {self.entity.persist_id!r} were removed: its state is known "
                f"from its snapshot on, seq {self._known_from}, and not at seq {self._reached}"
            )

    def _begin(self, first: int) -> None:
        entity = self.entity
        found = self._snapshots.of(encode_persist_id(entity.persist_id), needed=first > 1)
        if found is not None and found.erased and found.erased >= first - 1:
            self.erased = entity.seq = found.erased
            entity.deleted = True
            return
        if first == 1:
            return
        if found is None or found.seq < first - 1:
            raise JournalError(
                f"the journal of {entity.persist_id!r} begins with seq {first}, and no snapshot "
                "stands for what came before: kstate verify tells what is damaged"
            )
        self._known_from = entity.seq = found.seq
        entity.deleted = found.deleted
        if not found.deleted:
            entity.state = found.state


class _Snapshots:
    """The newest snapshots of a partition, read once."""

    def __init__(self, journal: Journal, machine: Machine, partition: int) -> None:
        self._journal = journal
        self._codec = machine.codec
        self._partition = partition
        self._values: dict[bytes, bytes | None] | None = None

    def of(self, key: bytes, needed: bool) -> Snapshot | None:
        """The newest snapshot of a persist id; raises `DecodeError` for one that is ``needed``."""
        if self._values is None:
            self._values = dict(self._read())
        value = self._values.get(key)
        if value is None:
            return None
        try:
            return self._codec.decode_snapshot(value)
        except DecodeError:
            if needed:
                raise
            return None  # all events are there: today's code need not read it

    def _read(self) -> Iterator[tuple[bytes, bytes | None]]:
        topic = self._journal.topics.snapshots
        for record in records(self._journal.log, topic, self._partition):
            yield record.key or b"", record.value
