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

    __slots__ = ("deleted", "known", "persist_id", "recent", "seq", "size", "snapshot_seq", "state")

    def __init__(self, persist_id: str, state: Any) -> None:
        self.persist_id = persist_id
        self.state = state
        self.seq = 0
        self.snapshot_seq = 0  # of its newest snapshot; 0: none
        self.recent: Window = {}
        self.known = 0  # of a batch's copy: how long the window was before
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

        Both have the same window: `take_back` removes what a dropped batch has added to it.
        """
        recent = self.recent
        # for the memory's sake alone, and thus not every time: `recall` looks at the age itself
        if len(recent) > policy.window_ids or not self.seq & PRUNE_MASK:
            prune(recent, policy, now)
        staged = _new(Entity)
        staged.persist_id = self.persist_id
        staged.state = self.state
        staged.seq = self.seq
        staged.snapshot_seq = self.snapshot_seq
        staged.recent = recent
        staged.known = len(recent)
        staged.size = self.size
        staged.deleted = self.deleted
        return staged

    def add(self, hashed: bytes, recent: Recent, policy: Policy) -> None:
        """Notes a command of the batch."""
        window = self.recent
        if hashed in window or len(window) >= 2 * policy.window_ids:
            # what is known has left the window, and what is too old leaves it: from this copy, for
            # the batch may be dropped
            newest = list(window.items())[-policy.window_ids :]
            window = self.recent = dict(each for each in newest if each[0] != hashed)
        window[hashed] = recent

    def take_back(self, staged: Entity) -> None:
        """Forgets the commands of a batch that is dropped; ``staged`` is its copy of this one."""
        while len(self.recent) > staged.known:
            self.recent.popitem()  # the newest

    def recall(self, hashed: bytes, policy: Policy, now: int) -> Recent | None:
        """What the window tells of a command id, however commands were cut into batches."""
        window = self.recent
        known = window.get(hashed)
        if known is None or known[1] < now - policy.window_ms:
            return None
        if len(window) > policy.window_ids and hashed not in list(window)[-policy.window_ids :]:
            return None
        return known


_new: Callable[[type[Entity]], Entity] = object.__new__


def prune(window: Window, policy: Policy, now: int) -> None:
    """Forgets the oldest command ids beyond the window's count and age, in place."""
    for _ in range(len(window) - policy.window_ids):
        del window[next(iter(window))]
    oldest = now - policy.window_ms
    while window:
        first = next(iter(window))
        if window[first][1] >= oldest:
            return
        del window[first]


def snapshot_of(
    machine: Machine, subject: Entity, journal_offset: int, now: int, removed: int, erased: int
) -> Snapshot:
    """The envelope of an entity as it stands, staged or committed; see `Snapshot`."""
    window = dict(subject.recent)
    prune(window, machine.policy, now)
    return Snapshot(
        seq=subject.seq,
        state=None if subject.deleted else subject.state,
        version=machine.definition.snapshot_version,
        journal_offset=journal_offset,
        at=now,
        deleted=subject.deleted,
        recent=window,
        removed=removed,
        erased=erased,
    )
