"""One partition: its entities, and the batch that is being made of its next commands.

A batch lives on an overlay.  `Shard.step` runs commands against it, `Shard.close` adds what the
policy asks for, and then either `Shard.commit` makes it the truth, after the log has committed, or
`Shard.drop` forgets it.  Nothing else changes what an entity is, but a recovery before the first
command (`kstate.core.replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kstate.core.batch import Batch, Counts, Fault
from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.envelope import Envelope
from kstate.core.letters import Letters
from kstate.core.messages import Progress, Record, Snapshot
from kstate.core.outgoing import Outgoing
from kstate.core.partition import partition_for
from kstate.core.rebuilt import Rebuilt
from kstate.core.removal import MORE_AT_ONCE, Removal
from kstate.core.runner import Failed, Runner
from kstate.core.topics import Topics, decode_persist_id
from kstate.errors import BadCommand, DecodeError, EncodeError

MAX_RETRY_DISTANCE = 128
"""Events, at most, between two tries to snapshot an entity whose state does not encode."""

Load = Callable[[bytes], bytes | None]
"""The newest snapshot of a persist id, from wherever it is at hand."""


class UnreadableSnapshot(Exception):
    """An entity cannot enter memory: this code cannot read its newest snapshot.

    Nothing of the entity was staged.  The partition is to be rebuilt with the journal's help.
    """

    def __init__(self, persist_id: str, cause: DecodeError) -> None:
        super().__init__(f"the snapshot of {persist_id!r}: {cause}")
        self.cause = cause


class Stuck(NamedTuple):
    """An entity whose state did not encode when it was to be snapshotted."""

    bound: int  # journal offset: of its first event above its snapshot, at least
    retry_seq: int  # the seq from which on another snapshot is tried
    distance: int  # events from one try to the next one


class Shard:
    """The entities of one partition.

    An entity is in memory, or its newest snapshot captures it in full.  The low-water mark is the
    oldest journal offset that no snapshot covers: recovery reads from there.

    An entity whose state does not encode is set aside as `stuck`: it stays in memory beyond the
    limits, which count what may leave, and its events keep the low-water mark where it is.  Its
    next snapshot is tried when it has changed again, at distances that double.
    """

    def __init__(
        self,
        machine: Machine,
        partition: int,
        partitions: int,
        topics: Topics,
        outgoing: Outgoing,
        load: Load,
        letters: Letters,
    ) -> None:
        self.machine = machine
        self.partition = partition
        # least recently used first; a plain dict is quicker to update than an `OrderedDict`
        self.entities: dict[bytes, Entity] = {}
        self.uncovered: dict[bytes, int] = {}  # key → bound of its first event, in rising order
        self.stuck: dict[bytes, Stuck] = {}  # not in `uncovered`; in rising order of bounds
        self.journal_floor = 0  # the next journal record gets this offset or a larger one
        self.processed = 0  # offset of the next command, as committed
        self.source = -1  # command offset of the newest event, as committed
        self.entity_count = 0
        self.counts = Counts()
        self.rebuilt = Rebuilt()
        self.removal = Removal(machine, outgoing)
        self.runner = Runner(machine, partition, outgoing, self.removal, letters)
        self._partitions = partitions
        self._outgoing = outgoing
        self._journal = (topics.journal, partition)
        self._load = load
        self._bytes = 0  # of the entities that may leave memory
        self.batch = self._new_batch()

    def _new_batch(self) -> Batch:
        return Batch(self.partition, self.processed, self.source, self.journal_floor)

    # -- commands ----------------------------------------------------------------------------

    def step(self, record: Record, now: int) -> None:
        """Runs one command at time ``now`` (ms since the epoch) on the batch.

        Raises `ProcessorStopped` under that policy, with nothing of the command staged;
        `UnreadableSnapshot`, `RebuildAsked` and `LogUnavailable`, likewise; what the load of a
        snapshot raises; and nothing for any content of the record.
        """
        batch = self.batch
        batch.now = now
        envelope = Envelope(record)
        staged = None
        try:
            hashed = envelope.identify()
            staged = batch.overlay.get(record.key)  # type: ignore[arg-type]
            if staged is None:
                staged = self._stage(record, envelope)
            if staged is not None:
                self.runner.run(batch, record, envelope, staged, hashed)
        except BadCommand as error:
            self.runner.refuse(batch, record, envelope, staged.seq if staged else 0, error)
        except Failed as failed:
            seq = staged.seq if staged else 0
            self.runner.fail(batch, record, envelope, seq, failed.cause)
        batch.counts.commands += 1
        batch.next = record.offset + 1

    def pass_by(self, offset: int) -> None:
        """Takes note that no command is left below ``offset``: what else lies there is none."""
        self.batch.next = max(self.batch.next, offset)

    def refuse(self, record: Record, error: BadCommand, now: int) -> None:
        """Dead-letters a command without running it."""
        self.batch.now = now
        self.runner.refuse(self.batch, record, Envelope(record), 0, error)
        self.batch.counts.commands += 1
        self.batch.next = record.offset + 1

    def _stage(self, record: Record, envelope: Envelope) -> Entity | None:
        """The entity on the overlay; None for a command forwarded to its partition, or to none."""
        key = record.key or b""
        entity = self.entities.get(key)
        if entity is None:
            if record.key is None and self.rebuilt.answer(
                self.machine, self.runner, self.batch, record, envelope
            ):
                return None
            persist_id = decode_persist_id(record.key)
            owner = partition_for(key, self._partitions)
            if owner != self.partition:
                batch = self.batch
                batch.writes.append(self._outgoing.forward(record, envelope, owner, batch.now))
                batch.counts.forwarded += 1
                return None
            entity = self.enter(key, persist_id)
        staged = self.batch.overlay[key] = entity.stage(self.machine.policy, self.batch.now)
        return staged

    def enter(self, key: bytes, persist_id: str) -> Entity:
        """Brings an entity into memory as its newest snapshot tells it.

        Raises `UnreadableSnapshot`, and `Failed` when ``init`` raises.
        """
        value = self._load(key)
        snapshot = None if value is None else self._decode(persist_id, value)
        try:
            if snapshot is None:
                entity = Entity(persist_id, self.machine.init(persist_id))
            else:
                entity = Entity.restore(self.machine, persist_id, snapshot, len(value or b""))
        except BaseException as error:
            raise Failed(error) from error
        if snapshot is not None:
            self.removal.entered(key, snapshot)
        self._bytes += entity.size
        self.entities[key] = entity
        return entity

    def _decode(self, persist_id: str, value: bytes) -> Snapshot:
        try:
            return self.machine.codec.decode_snapshot(value)
        except DecodeError as error:
            raise UnreadableSnapshot(persist_id, error) from error

    def folded(self, key: bytes, offset: int, size: int) -> None:
        """Notes an event of ``size`` bytes at ``offset`` that a recovery folded."""
        if key not in self.stuck:
            self._bytes += size
            self.uncovered.setdefault(key, offset)
        self._use(key)

    def _use(self, key: bytes) -> None:
        """Makes an entity the one that was used last."""
        self.entities[key] = self.entities.pop(key)

    def restored(self, processed: int, source: int, journal_floor: int) -> None:
        """Ends a recovery: commands from offset ``processed`` on may run."""
        self.processed = processed
        self.source = source
        self.journal_floor = journal_floor
        self.batch = self._new_batch()

    # -- snapshots and eviction --------------------------------------------------------------

    def close(self, now: int) -> None:
        """Ends the batch: adds the snapshots that the policy asks for, and the dead letters."""
        self.batch.now = now
        self.batch.writes += self.batch.letters
        self.batch.letters = []
        for key in list(self.batch.due):
            self._snapshot(key)
        for key in [each for each in self.batch.moved if each in self.stuck]:
            self._snapshot(key)
        self._shorten_tail()
        if self.removal.waiting and self.batch.counts.commands:
            self._remove_more()
        self._evict()

    def cover(self, count: int) -> None:
        """Snapshots up to so many of the entities whose newest events no snapshot covers."""
        for key in list(self.uncovered)[:count]:
            self._snapshot(key)

    def _remove_more(self) -> None:
        """Goes on where the last batches had no room for all tombstones."""
        for key in list(self.removal.waiting)[:MORE_AT_ONCE]:
            if not self._covered(key) and not self._snapshot(key):
                del self.removal.waiting[key]  # until it encodes again

    def _snapshot(self, key: bytes) -> bool:
        """Snapshots an entity for the policy; False when it does not encode, which is told once."""
        batch = self.batch
        subject = batch.overlay.get(key) or self.entities[key]
        known = self.stuck.get(key)
        if key in batch.stuck or (known is not None and subject.seq < known.retry_seq):
            return False
        try:
            self.runner.snapshot(batch, key, subject)
        except EncodeError as error:
            batch.counts.snapshots_failed += 1
            batch.stuck[key] = subject.seq
            if known is None:
                batch.faults.append(Fault("snapshot", self.partition, -1, key, error))
            return False
        return True

    def _shorten_tail(self) -> None:
        """Snapshots the oldest uncovered entities when the tail of the journal is too long."""
        too_old = self.journal_floor - self.machine.policy.max_tail
        for key, bound in self.uncovered.items():
            if bound >= too_old:
                return
            if not self._covered(key):
                self._snapshot(key)

    def _covered(self, key: bytes) -> bool:
        """Whether the batch has a snapshot of the entity's newest event."""
        seq = self.batch.covers.get(key)
        return seq is not None and seq == (self.batch.overlay.get(key) or self.entities[key]).seq

    def _evict(self) -> None:
        """Chooses the least recently used entities to leave memory, snapshotted first."""
        policy = self.machine.policy
        count = len(self.entities) - len(self.stuck) - policy.max_entities
        excess = self._bytes - policy.max_entity_bytes
        passed = []
        for key, entity in self.entities.items():
            if count <= 0 and excess <= 0:
                break
            if key in self.batch.overlay:
                continue
            if key in self.stuck:
                passed.append(key)
                continue
            if key not in self.uncovered or self._covered(key) or self._snapshot(key):
                self.batch.evicting.append(key)
            # what does not encode is set aside: it counts no longer either
            count -= 1
            excess -= entity.size
        for key in passed:
            self._use(key)  # or every batch would come across them first

    # -- the end of a batch ------------------------------------------------------------------

    def progress(self) -> Progress:
        """What the batch's transaction has to commit for this partition."""
        batch = self.batch
        return Progress(
            batch.next, self.low_water(), batch.source, self.entity_count + batch.created
        )

    def low_water(self) -> int:
        """The oldest journal offset not covered once the batch is committed."""
        low = self.journal_floor
        for key, bound in self.uncovered.items():
            if not self._covered(key):
                low = bound
                break
        for key, stuck in self.stuck.items():
            if not self._covered(key):
                return min(low, stuck.bound)
        return low

    def commit(self, ends: Mapping[tuple[str, int], int]) -> Batch:
        """Makes the batch the truth; ``ends`` is what the log's commit returned."""
        batch = self.batch
        self._commit_coverage(batch)
        entities = self.entities
        self._bytes += batch.grown - self._grown_aside()
        entities.update(batch.overlay)
        if self._ranks():
            for key in batch.overlay:
                self._use(key)
        self.removal.commit(batch)
        for key in batch.evicting:
            self._bytes -= self.entities.pop(key).size
            self.removal.left(key)
        if batch.stuck:
            self._set_aside(batch.stuck)
        batch.counts.evicted += len(batch.evicting)
        self.entity_count += batch.created
        self.processed = batch.next
        self.source = batch.source
        self.journal_floor = ends.get(self._journal, batch.floor)
        self.counts.add(batch.counts)
        self.batch = self._new_batch()
        return batch

    def _grown_aside(self) -> int:
        """Bytes by which the batch lets entities grow that are set aside."""
        overlay, entities = self.batch.overlay, self.entities
        return sum(overlay[key].size - entities[key].size for key in self.stuck if key in overlay)

    def _ranks(self) -> bool:
        """Whether it matters which entity was used last: not while memory is half empty."""
        policy = self.machine.policy
        return (
            2 * len(self.entities) > policy.max_entities
            or 2 * self._bytes > policy.max_entity_bytes
        )

    def _commit_coverage(self, batch: Batch) -> None:
        uncovered = self.uncovered
        for key, seq in batch.covers.items():
            uncovered.pop(key, None)
            if self.stuck.pop(key, None) is not None:
                self._bytes += self.entities[key].size
            if key not in batch.overlay:
                entity, size = self.entities[key], len(batch.snapshots[key])
                self._bytes += size - entity.size
                entity.snapshot_seq, entity.size = seq, size
        for key in batch.moved:
            if key not in uncovered and key not in self.stuck:
                # events after a snapshot within the batch are bounded by the batch's beginning
                uncovered[key] = batch.floor

    def _set_aside(self, failed: Mapping[bytes, int]) -> None:
        """Takes entities that did not encode at these seqs out of what snapshots and evicts."""
        for key, seq in failed.items():
            known = self.stuck.get(key)
            if known is None:
                self._bytes -= self.entities[key].size
                known = Stuck(self.uncovered.pop(key), 0, 0)
            distance = min(max(1, 2 * known.distance), MAX_RETRY_DISTANCE)
            self.stuck[key] = Stuck(known.bound, seq + distance, distance)
        self.stuck = dict(sorted(self.stuck.items(), key=lambda item: item[1].bound))

    def drop(self) -> None:
        """Forgets the batch: the log aborted it."""
        for key, staged in self.batch.overlay.items():
            self.entities[key].take_back(staged)
        self.batch = self._new_batch()
