"""The stores of a simulated worker: each step may be the last one, and what is on disk stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kstate.errors import StoreError
from kstate.store.port import Checkpoint, PartitionStore, Store

Step = Callable[[str], None]


class Kept:
    """What one partition's store has on disk."""

    def __init__(self) -> None:
        self.snapshots: dict[bytes, bytes] = {}
        self.checkpoint: Checkpoint | None = None
        self.opened = False

    def copy(self) -> Kept:
        """A backup."""
        other = Kept()
        other.snapshots, other.checkpoint = dict(self.snapshots), self.checkpoint
        return other


class KeptStore:
    """A store on a simulated disk: see `kstate.store.port.Store`.  Outlives its worker."""

    persistent = True

    def __init__(self) -> None:
        self.disk: dict[tuple[str, int], Kept] = {}

    def open(self, topic: str, partition: int) -> KeptPartition:
        kept = self.disk.setdefault((topic, partition), Kept())
        if kept.opened:
            raise StoreError(f"the store of {topic}:{partition} is in use")
        return KeptPartition(kept)

    def destroy(self, topic: str, partition: int) -> None:
        self.disk.pop((topic, partition), None)

    def backup(self) -> dict[tuple[str, int], Kept]:
        """A copy of the disk."""
        return {place: kept.copy() for place, kept in self.disk.items()}

    def restore(self, backup: Mapping[tuple[str, int], Kept]) -> None:
        """Puts a copy back; nothing may be open."""
        self.disk = {place: kept.copy() for place, kept in backup.items()}


class KeptPartition:
    """See `kstate.store.port.PartitionStore`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        kept.opened = True

    def get(self, key: bytes) -> bytes | None:
        return self._kept.snapshots.get(key)

    def apply(self, changes: Mapping[bytes, bytes | None], checkpoint: Checkpoint) -> None:
        for key, value in changes.items():
            if value is None:
                self._kept.snapshots.pop(key, None)
            else:
                self._kept.snapshots[key] = value
        self._kept.checkpoint = checkpoint

    def checkpoint(self) -> Checkpoint | None:
        return self._kept.checkpoint

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(list(self._kept.snapshots.items()))

    def count(self) -> int:
        return len(self._kept.snapshots)

    def clear(self) -> None:
        self._kept.snapshots.clear()
        self._kept.checkpoint = None

    def close(self) -> None:
        self._kept.opened = False


class SteppedStore:
    """Tells each call of a store to whoever decides about surprises."""

    def __init__(self, store: Store, step: Step) -> None:
        self.persistent = store.persistent
        self._store = store
        self._step = step
        self._opened: list[PartitionStore] = []

    def open(self, topic: str, partition: int) -> SteppedPartition:
        self._step("store.open")
        opened = self._store.open(topic, partition)
        self._opened.append(opened)
        return SteppedPartition(opened, self._step)

    def end(self) -> None:
        """The process is over, and with it all that it had open."""
        for opened in self._opened:
            opened.close()

    def destroy(self, topic: str, partition: int) -> None:
        self._store.destroy(topic, partition)


class SteppedPartition:
    """One partition of a `SteppedStore`."""

    def __init__(self, inner: PartitionStore, step: Step) -> None:
        self._inner = inner
        self._step = step
        self.get = inner.get  # reading has no effect: a death before it is one before the next step
        self.checkpoint = inner.checkpoint
        self.items = inner.items
        self.count = inner.count
        self.close = inner.close

    def apply(self, changes: Mapping[bytes, bytes | None], checkpoint: Checkpoint) -> None:
        self._step("store.apply")
        self._inner.apply(changes, checkpoint)
        self._step("store.apply!")

    def clear(self) -> None:
        self._step("store.clear")
        self._inner.clear()
        self._step("store.clear!")
