"""One tenure of one partition: from its assignment to its loss."""

from __future__ import annotations

from kstate.core.shard import Shard
from kstate.log.port import Assignment, Member
from kstate.runtime.recovery import Recovery
from kstate.store.port import Checkpoint, PartitionStore


class Tenure:
    """What a worker has of a partition that it owns."""

    def __init__(
        self,
        assignment: Assignment,
        member: Member,
        shard: Shard,
        store: PartitionStore,
        recovery: Recovery,
        began: float,
    ) -> None:
        self.assignment = assignment
        self.member = member
        self.shard = shard
        self.store = store
        self.recovery: Recovery | None = recovery
        self.checkpoint: Checkpoint | None = None
        self.missing: set[bytes] = set()  # what its store has yet to get: see `Snapshots.missing`
        self.began = began  # monotonic seconds
        self.wiped = False  # its store was damaged and made anew
