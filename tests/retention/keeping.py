"""Processors that keep a part of their journal, and what one asks about a journal."""

from __future__ import annotations

from collections.abc import Iterable

from counter import Count, Counter
from world import AnyProcessor, World

from kstate import after_snapshot
from kstate.core.messages import Record


class Keeper(Counter):
    """Snapshots every 5 events, and keeps the newest 2 behind a snapshot."""

    name = "keeper"
    snapshot_every = 5
    keep = after_snapshot(2)


class Hoarder(Counter):
    """The same processor before it was told to let anything go."""

    name = "keeper"
    snapshot_every = 5


def tombstones(records: Iterable[Record]) -> list[bytes]:
    """The keys of tombstones, in their order."""
    return [record.key or b"" for record in records if record.value is None]


def left(records: Iterable[Record]) -> list[bytes]:
    """The keys of what has no tombstone, in their order."""
    found = list(records)
    gone = set(tombstones(found))
    return [record.key or b"" for record in found if record.key not in gone]


def clean(world: World, processor: AnyProcessor) -> None:
    """Has the log's cleaner pass over the journal and the snapshots."""
    topics = world.topics(processor)
    world.clean(topics.journal, topics.snapshots)


__all__ = ["Count", "Hoarder", "Keeper", "clean", "left", "tombstones"]
