"""The partitions a worker owns: their shards, stores and recoveries."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping

from kstate.config import Config
from kstate.core.batch import Batch, Counts, Fault
from kstate.core.context import Machine
from kstate.core.outgoing import Outgoing
from kstate.core.rebuilt import RebuildAsked, Rebuilt
from kstate.core.replay import FoldFailed
from kstate.core.shard import Shard, UnreadableSnapshot
from kstate.core.topics import Topics
from kstate.errors import DecodeError, JournalError, StoreCorrupt, TransactionAborted
from kstate.log.port import Assignment, Committed, Log, Member
from kstate.runtime.checkpoints import Checkpoints
from kstate.runtime.dead_letters import DeadLetters
from kstate.runtime.readers import Readers
from kstate.runtime.recovery import Recovery
from kstate.runtime.snapshots import Effort, Snapshots
from kstate.runtime.standby import Standby
from kstate.runtime.startup import Surroundings
from kstate.runtime.tenure import Tenure
from kstate.store.port import PartitionStore, Store

NOT_REBUILT = Rebuilt()

Cause = UnreadableSnapshot | RebuildAsked | StoreCorrupt
"""Why a partition is recovered anew while it is owned."""

logger = logging.getLogger("kstate.worker")


class Partitions:
    """All partitions of one worker, by number."""

    def __init__(
        self,
        machine: Machine,
        log: Log,
        store: Store,
        topics: Topics,
        surroundings: Surroundings,
        config: Config,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.publish = False
        self._machine = machine
        self._log = log
        self._store = store
        self._topics = topics
        self._surroundings = surroundings
        self._config = config
        self._clock = clock
        self._monotonic = monotonic
        self._owned: dict[int, Tenure] = {}
        self._damaged: dict[int, StoreCorrupt] = {}  # found after a commit
        self._warned: set[str] = set()  # of what is wrong with snapshots
        self._writers: set[str] = set()  # found in the progress, while partitions are taken over
        self._unsigned: set[int] = set()  # ready, and another's name is in their progress
        self._waited = -1  # the partition whose recovery was tried last in vain
        self._readers = Readers(log.reader)
        self._past = Counts()
        self.checkpoints = Checkpoints(topics.snapshots, monotonic)
        limit = config.standby_limit
        self._standby = Standby(
            log,
            topics.snapshots,
            surroundings.partitions,
            surroundings.partitions if limit is None else limit,
            f"{platform.node()}/{os.getpid()}",
            self._open,
            self._snapshots_of,
            clock,
            monotonic,
        )

    def __getitem__(self, partition: int) -> Tenure:
        return self._owned[partition]

    def __len__(self) -> int:
        return len(self._owned)

    @property
    def count(self) -> int:
        """How many there are, whoever owns them."""
        return self._surroundings.partitions

    @property
    def recovering(self) -> bool:
        """Whether any partition is not yet ready."""
        return any(each.recovery is not None for each in self._owned.values())

    def ready(self, number: int) -> bool:
        """Whether a partition may run commands."""
        return self._owned[number].recovery is None

    def shards(self) -> Iterator[tuple[int, Shard]]:
        """The partitions that may run commands."""
        for number, each in self._owned.items():
            if each.recovery is None:
                yield number, each.shard

    def touched(self) -> set[int]:
        """The partitions with commands in their batch."""
        return {number for number, each in self._owned.items() if each.shard.batch.counts.commands}

    def counts(self) -> Counts:
        """What was done, lost partitions included."""
        total = Counts()
        total.add(self._past)
        for each in self._owned.values():
            total.add(each.shard.counts)
        return total

    # -- tenures -----------------------------------------------------------------------------

    def take(
        self,
        assignment: Assignment,
        member: Member,
        *,
        effort: Effort = "heads",
        rebuilt: Rebuilt = NOT_REBUILT,
    ) -> None:
        """Begins the recovery of a partition that was assigned; ``effort``: see `Snapshots`."""
        number = assignment.partition
        store = self._standby.release(number)
        if store is None:
            store = self._open(number)
        machine, topics, around = self._machine, self._topics, self._surroundings
        outgoing = Outgoing(
            machine, number, topics, around.targets, around.reply_topics, around.partitions
        )
        letters = DeadLetters(self._log, topics.dead_letters, number, self._monotonic)
        shard = Shard(machine, number, around.partitions, topics, outgoing, store.get, letters.of)
        shard.runner.publish = self.publish
        shard.rebuilt = rebuilt
        snapshots = self._snapshots_of(number, store, effort)
        recovery = Recovery(
            self._log,
            member,
            self._topics,
            shard,
            snapshots,
            self._readers,
            self._clock,
            self._monotonic,
            self._config.skip_lost,
            self._writers,
        )
        began = self._monotonic()
        self._owned[number] = Tenure(assignment, member, shard, store, recovery, began)

    def _snapshots_of(
        self, number: int, store: PartitionStore, effort: Effort = "heads"
    ) -> Snapshots:
        around = self._surroundings
        return Snapshots(
            self._machine,
            self._topics.snapshots,
            number,
            store,
            around.snapshots_identity,
            around.tombstone_age_ms,
            self._clock,
            effort,
            self._warned,
        )

    def _open(self, number: int) -> PartitionStore:
        topic = self._topics.snapshots
        try:
            return self._store.open(topic, number)
        except StoreCorrupt as error:
            self._destroy(number, error)
            return self._store.open(topic, number)

    def _destroy(self, number: int, error: StoreCorrupt) -> None:
        """A store that is not to be trusted costs time alone: all of it is in the topic."""
        topic = self._topics.snapshots
        logger.warning("the local store of %s:%d is rebuilt: %s", topic, number, error)
        self._store.destroy(topic, number)

    def rebuild(self, number: int, cause: Cause) -> None:
        """Drops a partition's memory and recovers it anew: with a look at each snapshot, without
        them when it was asked for, or with a new store."""
        if isinstance(cause, StoreCorrupt):
            owned = self._owned[number]
            effort = owned.recovery.snapshots.effort if owned.recovery else "heads"
            self.lose(number, keep_store=False)
            self._destroy(number, cause)
            rebuilt = owned.shard.rebuilt
            self.take(owned.assignment, owned.member, effort=effort, rebuilt=rebuilt)
            return
        logger.info("%s:%d is rebuilt: %s", self._topics.snapshots, number, cause)
        if isinstance(cause, RebuildAsked):
            self._retake(number, "anew", Rebuilt(cause.offset))
        else:
            self._retake(number, "thorough")

    def _retake(self, number: int, effort: Effort, rebuilt: Rebuilt = NOT_REBUILT) -> None:
        owned = self._owned[number]
        self.lose(number)
        self.take(owned.assignment, owned.member, effort=effort, rebuilt=rebuilt)

    def recover(self, deadline: float) -> list[Fault]:
        """Advances the recoveries until ``deadline`` (monotonic seconds); what is to be told.

        What was taken over gets this worker's name in the progress, or nobody would know whose the
        first transaction is, were the worker killed in it: the first partitions at once, which
        makes the name known, and the others together.
        """
        faults: list[Fault] = []
        for number in self._in_turn():
            owned = self._owned[number]
            recovery = owned.recovery
            assert recovery is not None
            try:
                done = recovery.advance(deadline)
            except StoreCorrupt as error:
                if owned.wiped:
                    raise  # a new one is damaged, too
                self.rebuild(number, error)
                self._owned[number].wiped = True
                continue
            except UnreadableSnapshot as error:
                if recovery.snapshots.effort != "heads":
                    raise error.cause from error  # it has read each: there is no other way
                self.rebuild(number, error)
                continue
            except (JournalError, DecodeError, FoldFailed) as error:
                if recovery.snapshots.effort != "anew":
                    raise
                # the snapshots tell what the journal cannot: who asked for it is told
                logger.warning(
                    "%s:%d cannot be folded anew: %s", self._topics.journal, number, error
                )
                rebuilt = owned.shard.rebuilt._replace(fault=str(error))
                self._retake(number, "heads", rebuilt)
                continue
            if done:
                faults += recovery.faults
                self._begin(number, owned, recovery)
                if recovery.unsigned:
                    self._unsigned.add(number)
            elif not recovery.held:
                break  # it has a reader, and each further one would need another
            else:
                self._waited = number
            if self._monotonic() >= deadline:
                break
        ready = {number for number, each in self._owned.items() if each.recovery is None}
        if self._unsigned and (not self.recovering or ready == self._unsigned):
            self._sign(sorted(self._unsigned))
        if not self.recovering:
            self._writers.clear()
            self._readers.close()
        return faults

    def _in_turn(self) -> list[int]:
        """The partitions that are not ready, beginning after the one that was waited for last.

        One that reads keeps its turn until it is ready, or waits for what may take a while.
        """
        numbers = sorted(n for n, each in self._owned.items() if each.recovery is not None)
        return sorted(numbers, key=lambda number: number <= self._waited)

    def _sign(self, numbers: list[int]) -> None:
        """Commits the progress of partitions as it is: it bears the name of who commits it."""
        member = self._owned[numbers[0]].member
        progress = {}
        for number in numbers:
            done = self._owned[number].shard.progress()
            progress[number] = Committed(done.offset, done.metadata(member.instance))
        try:
            member.commit([], progress)
        except TransactionAborted as error:  # as in a rebalance; the first batch does it, too
            logger.info("%s: the takeover is noted later: %s", self._topics.commands, error)
        else:
            self._unsigned.clear()

    def _begin(self, number: int, owned: Tenure, recovery: Recovery) -> None:
        owned.checkpoint = recovery.checkpoint
        owned.missing = recovery.snapshots.missing()
        self.checkpoints.known(number, max(0, recovery.snapshots.noted))
        recovery.close()
        owned.recovery = None
        logger.info(
            "%s:%d is ready after %.2f s: %d records read, %d entities in memory, next command %d",
            self._topics.commands,
            number,
            self._monotonic() - owned.began,
            recovery.records_read,
            len(owned.shard.entities),
            owned.shard.processed,
        )
        owned.member.start(number, owned.shard.processed)

    def lose(self, number: int, *, keep_store: bool = True) -> None:
        """Drops a partition's memory; there is nothing to settle.  Its store may stay warm."""
        owned = self._owned.pop(number, None)
        if owned is None:
            return
        self._past.add(owned.shard.counts)
        self._unsigned.discard(number)
        self.checkpoints.lost(number)
        if owned.recovery is not None:
            owned.recovery.close()
        self._damaged.pop(number, None)
        if keep_store:
            self._standby.adopt(number, owned.store)
        else:
            owned.store.close()

    def lose_all(self) -> None:
        """Drops every partition."""
        for number in list(self._owned):
            self.lose(number)
        self._readers.close()

    def stand_by(self, deadline: float, *, idle: bool) -> None:
        """Follows partitions of others until ``deadline`` (monotonic seconds), see `Standby`.

        A takeover under way comes first.
        """
        if not self.recovering:
            self._standby.advance(self._owned, deadline, idle=idle)

    @property
    def standing_by(self) -> Mapping[int, int]:
        """Partitions of others that are followed, with the offset of the next snapshot of each."""
        return self._standby.reached

    def close(self) -> None:
        """Drops every partition and releases every store; idempotent."""
        self.lose_all()
        self._standby.close()

    # -- batches -----------------------------------------------------------------------------

    def commit(self, number: int, ends: Mapping[tuple[str, int], int]) -> Batch:
        """Makes a partition's batch the truth, then keeps its snapshots at hand."""
        owned = self._owned[number]
        self._unsigned.discard(number)
        batch = owned.shard.commit(ends)
        if batch.snapshots:
            try:
                self._keep(owned, batch, ends.get((self._topics.snapshots, number)))
            except StoreCorrupt as error:
                self._damaged[number] = error  # what is committed stays so
        return batch

    def take_damaged(self) -> dict[int, StoreCorrupt]:
        """The partitions whose stores were found to be damaged after a commit: `rebuild` them."""
        damaged, self._damaged = self._damaged, {}
        return damaged

    def _keep(self, owned: Tenure, batch: Batch, snapshots_end: int | None) -> None:
        """One commit of the local store per batch, and never before the log's."""
        assert owned.checkpoint is not None
        shard = owned.shard
        owned.checkpoint = owned.checkpoint._replace(
            snapshots_offset=(
                owned.checkpoint.snapshots_offset if snapshots_end is None else snapshots_end
            ),
            low_water=shard.low_water(),
            processed=shard.processed,
            source=shard.source,
            at=int(self._clock() * 1000),
        )
        owned.missing -= batch.snapshots.keys()
        kept = owned.checkpoint
        if owned.missing:
            kept = kept._replace(snapshots_offset=0)  # as `Snapshots.keep` says
        owned.store.apply(dict(batch.snapshots), kept)
