"""One entity in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kstate.core.context import Machine
from kstate.core.messages import Recent, Snapshot
from kstate.core.policy import Policy

PRUNE_MASK = 7
"""A window is pruned at every eighth seq, or when it has too many ids."""

Window = dict[bytes, Recent]
"""Hash of a command id → what is remembered of that command; oldest first."""


class Entity:
    """One persist id: the committed truth, or, on a batch's overlay, what the batch makes of it."""

    __slots__ = ("added", "deleted", "persist_id", "recent", "seq", "size", "snapshot_seq", "state")

    def __init__(self, persist_id: str, state: Any) -> None:
        self.persist_id = persist_id
        self.state = state
        self.seq = 0
        self.snapshot_seq = 0  # of its newest snapshot; 0: none
        self.recent: Window = {}  # without what its newest batch added
        self.added: Window | None = None
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

    def stage(self, policy: Policy, now: int) -> Entity:
        """A copy for a batch to change, which takes this one's place when it is committed.

        Both share the window, which a batch does not touch: it has one of its own.
        """
        if self.added:
            self._settle(policy, now)
        staged = _new(Entity)
        staged.persist_id = self.persist_id
        staged.state = self.state
        staged.seq = self.seq
        staged.snapshot_seq = self.snapshot_seq
        staged.recent = self.recent
        staged.added = None
        staged.size = self.size
        staged.deleted = self.deleted
        return staged

    def _settle(self, policy: Policy, now: int) -> None:
        """Makes what the last batch added a part of the window."""
        _remember(self.recent, self.added)
        self.added = None
        # for the memory's sake alone, and thus not every time: `recall` looks at the age itself
        if len(self.recent) > policy.window_ids or not self.seq & PRUNE_MASK:
            prune(self.recent, policy, now)

    def add(self, hashed: bytes, recent: Recent, policy: Policy) -> None:
        """Notes a command of the batch."""
        added = self.added
        if added is None:
            self.added = {hashed: recent}
            return
        if hashed in added:  # it has left the window within this batch
            del added[hashed]
        added[hashed] = recent
        if len(added) > policy.window_ids:
            del added[next(iter(added))]

    def window(self) -> Window:
        """A copy of all that is remembered, in the order of the commands."""
        window = dict(self.recent)
        _remember(window, self.added)
        return window

    def recall(self, hashed: bytes, policy: Policy, now: int) -> Recent | None:
        """What the window tells of a command id, however commands were cut into batches."""
        added = self.added
        known = (added.get(hashed) if added else None) or self.recent.get(hashed)
        if known is None or known.at < now - policy.window_ms:
            return None
        if len(self.recent) + len(added or ()) > policy.window_ids:
            newest = list(self.window())[-policy.window_ids :]
            return known if hashed in newest else None
        return known


_new: Callable[[type[Entity]], Entity] = object.__new__


def _remember(window: Window, added: Window | None) -> None:
    for hashed, recent in (added or {}).items():
        if hashed in window:  # it had left the window and came again: its new place counts
            del window[hashed]
        window[hashed] = recent


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


def snapshot_of(machine: Machine, subject: Entity, journal_offset: int, now: int) -> Snapshot:
    """The envelope of an entity as it stands, staged or committed."""
    window = subject.window()
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
