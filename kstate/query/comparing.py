"""Snapshots compared with the events they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.messages import Snapshot
from kstate.core.replay import fold_event
from kstate.errors import DecodeError
from kstate.query.journal import Journal
from kstate.query.scan import records
from kstate.query.wanted import Wanted


@dataclass(frozen=True, slots=True)
class Compared:
    """One snapshot beside the fold of the events up to its seq."""

    persist_id: str
    seq: int
    equal: bool
    snapshot: Any  # the state in it
    folded: Any


def compare(
    journal: Journal, machine: Machine, only: frozenset[str] = frozenset()
) -> Iterator[Compared]:
    """Every snapshot that is still there, of today's ``snapshot_version``, and its fold.

    Of an entity they come in the order of their seqs: the first that is not equal is where they
    part.  Entities whose first events were removed begin with their oldest snapshot, which is
    taken as true.  One partition's entities are in memory at a time.
    """
    for partition in journal.beginning():
        yield from _compare(journal, machine, partition, {each.encode() for each in only})


def _compare(
    journal: Journal, machine: Machine, partition: int, only: set[bytes]
) -> Iterator[Compared]:
    waiting = _snapshots(journal, machine, partition, only)
    entities: dict[bytes, Entity] = {}
    for match in journal.current({partition: 0}, Wanted()):
        left = waiting.get(match.key)
        if not left:
            continue
        entity = entities.get(match.key)
        if entity is None:
            persist_id = match.key.decode()
            entity = entities[match.key] = Entity(persist_id, machine.init(persist_id))
            if match.seq > 1:
                _begin(entity, left.pop(0))
        if match.seq <= entity.seq:
            continue  # the snapshot it began with stands for it
        fold_event(machine, entity, match.seq, match.record.value)
        while left and left[0].seq <= entity.seq:
            yield _judged(entity, left.pop(0))


def _snapshots(
    journal: Journal, machine: Machine, partition: int, only: set[bytes]
) -> dict[bytes, list[Snapshot]]:
    """By persist id, the snapshots that today's code counts, in the order of their seqs."""
    found: dict[bytes, list[Snapshot]] = {}
    version = machine.definition.snapshot_version
    for record in records(journal.log, journal.topics.snapshots, partition):
        key, value = record.key or b"\0", record.value
        if value is None or key.startswith(b"\0") or (only and key not in only):
            continue
        try:
            snapshot = machine.codec.decode_snapshot(value)
        except DecodeError:
            continue  # today's code passes it over and reads the events: nothing to compare
        if snapshot.version == version and not snapshot.deleted:
            found.setdefault(key, []).append(snapshot)
    return found


def _begin(entity: Entity, snapshot: Snapshot) -> None:
    entity.seq, entity.state = snapshot.seq, snapshot.state


def _judged(entity: Entity, snapshot: Snapshot) -> Compared:
    equal = snapshot.seq == entity.seq and snapshot.state == entity.state
    return Compared(entity.persist_id, snapshot.seq, equal, snapshot.state, entity.state)
