"""Which events of a partition's entities are gone, and which may go: retention and erasure.

An event is removed by a tombstone for its key, the oldest first.  Its tombstone is written in the
transaction of a snapshot of its entity, at the event or later, which says up to which seq events
are removed: what is gone is known without a look at the journal, and a recovery that has the
snapshot misses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kstate.core.batch import Batch
from kstate.core.context import Machine
from kstate.core.messages import Snapshot
from kstate.core.outgoing import Outgoing

MORE_AT_ONCE = 20
"""Entities, at most, that a batch snapshots only because more of their events may go."""


class Gone(NamedTuple):
    """What is missing of an entity's past; see `Snapshot`."""

    removed: int = 0
    erased: int = 0


NOTHING = Gone()


class Removal:
    """What is gone of the entities in memory.  For those of which nothing is, nothing is kept."""

    def __init__(self, machine: Machine, outgoing: Outgoing) -> None:
        self.waiting: dict[bytes, None] = {}  # entities with more to remove than a batch may
        self._known: dict[bytes, Gone] = {}  # as committed
        self._keep = machine.definition.keep
        self._limit = machine.policy.max_tombstones
        self._outgoing = outgoing

    def of(self, batch: Batch, key: bytes) -> Gone:
        """What is gone of an entity once the batch is committed."""
        return batch.gone.get(key) or self._known.get(key, NOTHING)

    def behind(self, batch: Batch, key: bytes, seq: int) -> Gone:
        """What will be gone with a snapshot at ``seq``: as much as the batch has room for."""
        gone = self.of(batch, key)
        return gone if self._keep is None else self.up_to(batch, gone, seq - self._keep)

    def up_to(self, batch: Batch, gone: Gone, seq: int) -> Gone:
        """What will be gone when events up to ``seq`` go, as far as the batch has room for."""
        room = max(0, self._limit - batch.tombstones)
        return gone._replace(removed=max(gone.removed, min(seq, gone.removed + room)))

    def remove(self, batch: Batch, key: bytes, gone: Gone) -> None:
        """Makes tombstones part of the batch, whose snapshot of the entity tells of them."""
        before = self.of(batch, key)
        if gone == before:
            return
        tombstone, now = self._outgoing.tombstone, batch.now
        for seq in range(before.removed + 1, gone.removed + 1):
            batch.writes.append(tombstone(key, seq, now))
        batch.tombstones += gone.removed - before.removed
        batch.counts.removed += gone.removed - before.removed
        batch.gone[key] = gone

    # -- entities in memory ------------------------------------------------------------------

    def entered(self, key: bytes, snapshot: Snapshot) -> None:
        """An entity came into memory with this snapshot."""
        removed, erased = snapshot.removed, snapshot.erased
        if key in self._known:  # of a newer one, which was passed over
            removed = max(removed, self._known[key].removed)
            erased = max(erased, self._known[key].erased)
        if removed or erased:
            self._known[key] = Gone(removed, erased)
        self._wait(key, snapshot.seq, removed)

    def recall(self, gone: Mapping[bytes, Gone]) -> None:
        """What snapshots say that a recovery passes over: the tombstones are written all the same,
        however many of the events can still be read."""
        self._known.update(gone)

    def left(self, key: bytes) -> None:
        """An entity left memory."""
        self._known.pop(key, None)
        self.waiting.pop(key, None)

    def commit(self, batch: Batch) -> None:
        """The batch is the truth."""
        self._known.update(batch.gone)
        if self._keep is not None:
            for key, seq in batch.covers.items():
                self._wait(key, seq, self._known.get(key, NOTHING).removed)

    def _wait(self, key: bytes, seq: int, removed: int) -> None:
        if self._keep is not None and seq - self._keep > removed:
            self.waiting[key] = None
        else:
            self.waiting.pop(key, None)
