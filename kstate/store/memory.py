"""Snapshots in a dict: for tests, and for workers that may rebuild everything at each start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kstate.errors import StoreError
from kstate.store.files import closed, refuse_unknown_options
from kstate.store.port import Checkpoint


class MemoryPartition:
    """The snapshots of one partition, forgotten when it is closed."""

    def __init__(self, name: str, opened: set[str]) -> None:
        self._name = name
        self._opened = opened
        self._snapshots: dict[bytes, bytes] | None = {}
        self._checkpoint: Checkpoint | None = None
        opened.add(name)

    def __repr__(self) -> str:
        state = "closed" if self._snapshots is None else f"{len(self._snapshots)} snapshots"
        return f"<MemoryPartition {self._name}: {state}>"

    def _held(self) -> dict[bytes, bytes]:
        if self._snapshots is None:
            raise closed(self._name)
        return self._snapshots

    def get(self, key: bytes) -> bytes | None:
        return self._held().get(key)

    def apply(self, changes: Mapping[bytes, bytes | None], checkpoint: Checkpoint) -> None:
        snapshots = self._held()
        for key, value in changes.items():
            if value is None:
                snapshots.pop(key, None)
            else:
                snapshots[key] = value
        self._checkpoint = checkpoint

    def checkpoint(self) -> Checkpoint | None:
        self._held()
        return self._checkpoint

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        # A copy, so that the store may be applied to while someone iterates.
        return iter(list(self._held().items()))

    def count(self) -> int:
        return len(self._held())

    def clear(self) -> None:
        self._held().clear()
        self._checkpoint = None

    def close(self) -> None:
        if self._snapshots is not None:
            self._snapshots = None
            self._opened.discard(self._name)


class MemoryStore:
    """Opens partitions in memory; takes no options and leaves the directory alone."""

    persistent = False

    def __init__(self, directory: Path, **options: str) -> None:
        refuse_unknown_options("memory", options)
        self._opened: set[str] = set()

    def open(self, topic: str, partition: int) -> MemoryPartition:
        name = f"{topic}-{partition}"
        self._refuse_open(name)
        return MemoryPartition(name, self._opened)

    def destroy(self, topic: str, partition: int) -> None:
        self._refuse_open(f"{topic}-{partition}")

    def _refuse_open(self, name: str) -> None:
        if name in self._opened:
            raise StoreError(
                f"the snapshot store of {name} is in use in this process; close it first"
            )
