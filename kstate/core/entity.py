"""One entity in memory, and what a batch wants to make of it."""

from __future__ import annotations

from typing import Any

from kstate.core.context import Machine
from kstate.core.messages import Recent, Snapshot
from kstate.core.policy import Policy

PRUNE_MASK = 7
"""A window is pruned at every eighth seq, or when it has too many ids."""

Window = dict[bytes, Recent]
"""Hash of a command id → what is remembered of that command; oldest first."""


class Entity:
    """The committed truth about one persist id."""

    __slots__ = ("deleted", "persist_id", "recent", "seq", "size", "snapshot_seq", "state")

    def __init__(self, persist_id: str, state: Any) -> None:
        self.persist_id = persist_id
        self.state = state
        self.seq = 0
        self.snapshot_seq = 0  # of its newest snapshot; 0: none
        self.recent: Window = {}
        self.size = 0  # bytes: the newest snapshot and the events since
        self.deleted = False  # whether its newest event is its deletion

    @classmethod
    def restore(cls, machine: Machine, persist_id: str, snapshot: Snapshot, size: int) -> Entity:
        """The entity as of a snapshot of ``size`` bytes."""
        state = machine.init(persist_id) if snapshot.deleted else snapshot.state
        entity = cls(persist_id, state)
        entity.seq = entity.snapshot_seq = snapshot.seq
        entity.recent = dict(snapshot.recent)
        entity.size = size
        entity.deleted = snapshot.deleted
        return entity


class Staged:
    """An entity as the running batch would leave it; the entity itself stays untouched."""

    __slots__ = ("deleted", "entity", "recent", "seq", "size", "snapshot_seq", "state")

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.state = entity.state
        self.seq = entity.seq
        self.snapshot_seq = entity.snapshot_seq
        self.size = entity.size
        self.recent: Window = {}  # only what this batch adds
        self.deleted = entity.deleted

    def commit(self, policy: Policy, now: int) -> Entity:
        """Makes the batch's view the truth."""
        entity = self.entity
        entity.state = self.state
        entity.seq = self.seq
        entity.snapshot_seq = self.snapshot_seq
        entity.size = self.size
        entity.deleted = self.deleted
        if self.recent:
            self._remember(entity.recent)
            # for the memory's sake alone, and thus not every time: `recall` looks at the age itself
            if len(entity.recent) > policy.window_ids or not entity.seq & PRUNE_MASK:
                prune(entity.recent, policy, now)
        return entity

    def window(self) -> Window:
        """The entity's window and what this batch adds, in the order of the commands."""
        window = dict(self.entity.recent)
        self._remember(window)
        return window

    def _remember(self, window: Window) -> None:
        for hashed, recent in self.recent.items():
            if hashed in window:  # it had left the window and came again: its new place counts
                del window[hashed]
            window[hashed] = recent

    def recall(self, hashed: bytes, policy: Policy, now: int) -> Recent | None:
        """What the window tells of a command id, however commands were cut into batches."""
        known = self.recent.get(hashed) or self.entity.recent.get(hashed)
        if known is None or known.at < now - policy.window_ms:
            return None
        if len(self.recent) + len(self.entity.recent) > policy.window_ids:
            newest = list(self.window())[-policy.window_ids :]
            return known if hashed in newest else None
        return known


def prune(window: Window, policy: Policy, now: int) -> None:
    """Forgets the oldest command ids beyond the window's count and age, in place."""
    for _ in range(len(window) - policy.window_ids):
        del window[next(iter(window))]
    oldest = now - policy.window_ms
    while window:
        first = next(iter(window))
        if window[first].at >= oldest:
            return
        del window[first]


def snapshot_of(
    machine: Machine, subject: Staged | Entity, journal_offset: int, now: int
) -> Snapshot:
    """The envelope of an entity as it stands, staged or committed."""
    window = subject.window() if isinstance(subject, Staged) else dict(subject.recent)
    prune(window, machine.policy, now)
    return Snapshot(
        seq=subject.seq,
        state=None if subject.deleted else subject.state,
        version=machine.definition.snapshot_version,
        journal_offset=journal_offset,
        at=now,
        deleted=subject.deleted,
        recent=window,
    )
