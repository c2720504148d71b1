"""What every snapshot store promises.

A store is a cache of the snapshots topic: it may be lost at any time and is then rebuilt from the
log.  It maps a persist id (bytes) to the bytes of its newest snapshot envelope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol


class Checkpoint(NamedTuple):
    """How far a partition's store reflects the log."""

    snapshots_offset: int  # the next offset of the snapshots topic to apply
    low_water: int  # journal offset: older events are covered by the snapshots held here
    processed: int  # the next offset of the commands topic, -1 when nothing has told it
    source: int  # command offset of the newest event, -1 when there is none
    snapshot_version: int
    topic: str  # identity of the snapshots topic: another one makes the store useless
    at: int  # milliseconds since the epoch


class PartitionStore(Protocol):
    """The snapshots of one partition.  Used by one thread at a time, that which opened it."""

    def get(self, key: bytes) -> bytes | None:
        """The snapshot of a persist id, or None."""

    def apply(self, changes: Mapping[bytes, bytes | None], checkpoint: Checkpoint) -> None:
        """Puts (bytes) and deletes (None) snapshots and sets the checkpoint, in one commit.

        All or nothing: after a crash at any moment the store holds the whole change with its
        checkpoint, or none of it.  Raises `StoreError`; the store is then as before.
        """

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint; None for an empty store."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every persist id with its snapshot, in no given order."""

    def count(self) -> int:
        """How many persist ids have a snapshot."""

    def clear(self) -> None:
        """Forgets everything, the checkpoint included, in one commit."""

    def close(self) -> None:
        """Releases the store; idempotent."""


class Store(Protocol):
    """Opens the stores of the partitions a worker owns.

    An adapter's class is named by an entry point of the group ``kstate.stores`` and is called with
    the directory that belongs to the worker and, as keywords, the options of the store's URL.
    """

    persistent: bool
    """Whether the store outlives the process."""

    def __init__(self, directory: Path, **options: str) -> None: ...

    def open(self, topic: str, partition: int) -> PartitionStore:
        """The store of one partition of the snapshots topic.

        Raises `StoreError` when another process or another holder in this one has it open,
        or when it was written by a newer format, and `StoreCorrupt` when it is damaged (the
        caller may then `destroy` it and open it anew).
        """

    def destroy(self, topic: str, partition: int) -> None:
        """Deletes the store of one partition, whatever its condition."""
