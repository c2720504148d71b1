"""Snapshots compared with the events they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.messages import Snapshot
from kstate.core.replay import fold_event
from kstate.core.topics import encode_persist_id
from kstate.errors import DecodeError, EncodeError
from kstate.query.events import StoredEvent
from kstate.query.journal import Journal
from kstate.query.scan import records
from kstate.query.wanted import Wanted

Verdict = Literal["equal", "trusted", "version", "differs", "unreadable", "unreached", "absent"]
"""Of a snapshot: it is what the events make; it is taken as true, for events before it are gone; it
is of another ``snapshot_version``; it is not what the events make; it cannot be read; the journal
does not lead to its seq.  ``absent``: a persist id without events and snapshots."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One snapshot beside the fold of the events up to its seq."""

    persist_id: str
    seq: int  # 0: of none, or it cannot be read
    verdict: Verdict
    snapshot: Any = None  # the state in it; None: deleted
    folded: Any = None
    reason: str = ""  # why it cannot be compared

    @property
    def bad(self) -> bool:
        """Whether something is wrong."""
        return self.verdict not in ("equal", "trusted", "version")


def compare(
    journal: Journal, machine: Machine, only: frozenset[str] = frozenset()
) -> Iterator[Compared]:
    """Every snapshot that is still there, of today's ``snapshot_version``, and its fold.

    Of an entity they come in the order of their seqs: the first that is not equal is where they
    part.  One that was erased begins where it was erased; one whose first events were removed,
    with its oldest snapshot that the events left go on from, which is taken as true.  Of those that
    cannot be read, or are of another version, the newest of its entity is told alone: workers let
    the others be.  One partition's entities are in memory at a time.
    """
    keys = {encode_persist_id(each): each for each in only}
    partitions = {each: 0 for one in only for each in journal.of_id(one)[0]}
    met: set[bytes] = set()
    for partition in sorted(partitions if only else journal.beginning()):
        comparison = _Comparison(journal, machine, partition, set(keys), met)
        yield from comparison.compared()
    for key in keys.keys() - met:
        yield Compared(keys[key], 0, "absent")


class _Kept:
    """What the snapshots topic has of one persist id, and the fold on its way to them."""

    def __init__(self, key: bytes) -> None:
        self.persist_id = key.decode(errors="backslashreplace")
        self.waiting: list[Snapshot] = []  # those that today's code takes, the oldest first
        self.newest: Compared | None = None  # what is said of the newest, if that is not among them
        self.erased = 0
        self.gone = 0  # events up to this seq are gone, or on their way
        self.entity: Entity | None = None  # None: not begun, or at its end
        self.lacking = 0  # seq of the last missing event behind what is waiting, if there is one

    def take(self, machine: Machine, value: bytes) -> None:
        """A newer snapshot."""
        codec = machine.codec
        seq = 0
        try:
            envelope = codec.decode_envelope(value)
            seq, self.erased = envelope.seq, envelope.erased
            self.gone = max(self.gone, envelope.removed, envelope.erased)
            if envelope.version != machine.definition.snapshot_version and not envelope.deleted:
                self.newest = Compared(self.persist_id, seq, "version")
                return
            self.waiting.append(codec.decode_snapshot(value))
            self.newest = None
        except DecodeError as error:
            self.newest = Compared(self.persist_id, seq, "unreadable", reason=str(error))

    def sort(self) -> None:
        """After the newest one: those of a life that was erased are no more to be compared."""
        alive = (s for s in self.waiting if s.seq > self.erased or s.erased == self.erased)
        self.waiting = sorted(alive, key=lambda each: each.seq)


class _Comparison:
    """Of one partition."""

    def __init__(
        self, journal: Journal, machine: Machine, partition: int, only: set[bytes], met: set[bytes]
    ) -> None:
        self._journal = journal
        self._machine = machine
        self._partition = partition
        self._only = only  # empty: all
        self._met = met  # of those the ones that exist
        self._kept: dict[bytes, _Kept] = {}
        self._later: dict[bytes, int] | None = None  # what is gone of whom, by newer snapshots

    def compared(self) -> Iterator[Compared]:
        """First the snapshots are read: the events of each are then in the journal."""
        self._read()
        kept_of, only = self._kept.get, self._only
        for match in self._journal.current({self._partition: 0}, Wanted()):
            key, seq = match.key, match.seq
            if key in only:
                self._met.add(key)
            kept = kept_of(key)
            if kept is None or not kept.waiting or kept.lacking:
                continue
            entity = kept.entity
            if entity is None or (seq > entity.seq + 1 and self._is_gone(key, kept, seq - 1, True)):
                yield from self._begin(kept, match)
                entity = kept.entity
            if entity is None or seq <= entity.seq or not kept.waiting:
                continue
            fold_event(self._machine, entity, seq, match.record.value)
            if kept.waiting[0].seq <= entity.seq:
                yield from self._reached(kept, entity)
        self._later = None
        for key, kept in self._kept.items():
            yield from self._left(key, kept)

    def _read(self) -> None:
        for key, value in self._snapshots():
            if value is None:
                self._kept.pop(key, None)
                continue
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = _Kept(key)
            kept.take(self._machine, value)
        for kept in self._kept.values():
            kept.sort()
        self._met |= self._only & self._kept.keys()

    def _snapshots(self) -> Iterator[tuple[bytes, bytes | None]]:
        topic = self._journal.topics.snapshots
        for record in records(self._journal.log, topic, self._partition):
            key = record.key or b"\0"
            if not key.startswith(b"\0") and (not self._only or key in self._only):
                yield key, record.value

    def _is_gone(self, key: bytes, kept: _Kept, seq: int, again: bool) -> bool:
        """Whether an event that is not there was removed, perhaps since the snapshots were read.

        ``again``: also since they were read for the last time.
        """
        if kept.gone >= seq:
            return True
        known = self._later
        if known is None or (again and known.get(key, seq) < seq):
            known = self._later = dict(self._gone_by_now())
        return known.get(key, seq) >= seq  # without a snapshot it is given up

    def _gone_by_now(self) -> Iterator[tuple[bytes, int]]:
        for key, value in dict(self._snapshots()).items():
            if value is None:
                continue
            try:
                envelope = self._machine.codec.decode_envelope(value)
            except DecodeError:
                yield key, 0
            else:
                yield key, max(envelope.removed, envelope.erased)

    def _begin(self, kept: _Kept, match: StoredEvent) -> Iterator[Compared]:
        """Begins where an event can be folded that has none before it."""
        first, machine = match.seq, self._machine
        kept.entity = None
        if first == 1 or kept.erased >= first - 1:
            yield from self._anew(kept)
            return
        before = [each for each in kept.waiting if each.seq < first - 1]
        del kept.waiting[: len(before)]  # what came after them is gone, and with it their use
        if kept.waiting:
            snapshot = kept.waiting.pop(0)
            kept.entity = Entity.restore(machine, kept.persist_id, snapshot, 0)
            yield Compared(kept.persist_id, snapshot.seq, "trusted")
            yield from self._reached(kept, kept.entity)
        else:
            kept.waiting, kept.lacking = before[-1:], first - 1

    def _anew(self, kept: _Kept) -> Iterator[Compared]:
        """Begins with ``init``: at the first event, or where the entity was erased."""
        entity = Entity(kept.persist_id, self._machine.init(kept.persist_id))
        entity.seq, entity.deleted = kept.erased, kept.erased > 0
        kept.entity = entity
        yield from self._reached(kept, entity)

    def _reached(self, kept: _Kept, entity: Entity) -> Iterator[Compared]:
        """The snapshots of the seq that the fold has come to."""
        while kept.waiting and kept.waiting[0].seq <= entity.seq:
            snapshot = kept.waiting.pop(0)
            held = Entity.restore(self._machine, entity.persist_id, snapshot, 0)
            yield Compared(
                entity.persist_id,
                snapshot.seq,
                "equal" if self._equal(held, entity) else "differs",
                None if held.deleted else held.state,
                None if entity.deleted else entity.state,
            )
        if not kept.waiting:
            kept.entity = None

    def _equal(self, held: Entity, folded: Entity) -> bool:
        if held.deleted != folded.deleted:
            return False
        if held.state == folded.state:
            return True
        encode = self._machine.codec.encode_state
        try:  # what is not equal to itself, like a NaN, has the same bytes
            return encode(held.state) == encode(folded.state)
        except EncodeError:
            return False

    def _left(self, key: bytes, kept: _Kept) -> Iterator[Compared]:
        """What can be told after the last event alone."""
        if kept.entity is None and kept.waiting and kept.erased:
            yield from self._anew(kept)
        reason = "the journal has no event of it"
        if kept.lacking:
            reason = f"the journal begins with seq {kept.lacking + 1}"
        elif kept.entity is not None and kept.entity.seq:
            reason = f"the journal ends with seq {kept.entity.seq}"
        for snapshot in kept.waiting:
            if not self._is_gone(key, kept, max(snapshot.seq, kept.lacking), False):
                yield Compared(kept.persist_id, snapshot.seq, "unreached", reason=reason)
        if kept.newest is not None:
            yield kept.newest
