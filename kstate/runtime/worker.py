"""The loop: poll, run, commit, make it the truth, keep the snapshots, tell the world.

One worker runs one processor with one seat in its group.  Memory is never repaired: a confirmed
abort drops the batch, and after anything else the worker takes its seat anew and recovers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice

from kstate.config import Config
from kstate.core.batch import Batch, Counts
from kstate.core.context import Machine
from kstate.core.messages import WriteRow
from kstate.core.rebuilt import RebuildAsked
from kstate.core.shard import Shard, UnreadableSnapshot
from kstate.core.topics import Topics
from kstate.errors import (
    Fenced,
    LogUnavailable,
    OutcomeUnknown,
    ProcessorStopped,
    StoreCorrupt,
    TransactionAborted,
)
from kstate.log.port import Assignment, Committed, Log, Member
from kstate.runtime.backlog import Backlog
from kstate.runtime.effects import Effects, Subscriber, Subscribers
from kstate.runtime.heartbeat import Heartbeat, State
from kstate.runtime.holding import Holding
from kstate.runtime.partitions import Cause, Partitions
from kstate.runtime.patience import RETRY_S, Patience
from kstate.runtime.running import MAX_DEATHS, Running, deadly
from kstate.runtime.slot import Slot
from kstate.runtime.telling import Teller

IDLE_S = 0.5
RECOVERY_SLICE_S = 0.05
STANDBY_SLICE_S = 0.005
"""For how long commands may have to wait for the stores of others' partitions."""
AHEAD = 200
"""Commands whose records are written together ahead of the commit."""

logger = logging.getLogger("kstate.worker")


class Worker:
    """Runs one processor until `stop`.

    ``clock`` gives seconds since the epoch: the time of commands, events and dedup windows;
    ``monotonic`` gives seconds to measure slices and batches with.
    """

    def __init__(
        self,
        machine: Machine,
        log: Log,
        slot: Slot,
        topics: Topics,
        partitions: Partitions,
        config: Config,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = machine.name
        self.effects = Effects()
        self._machine = machine
        self._log = log
        self._slot = slot
        self._topics = topics
        self.partitions = partitions
        self._config = config
        self._clock = clock
        self._monotonic = monotonic
        self._subscribers = Subscribers(self.name)
        self._stopping = threading.Event()
        self.ready = threading.Event()
        """Set while every partition that is assigned may run commands, and there is one."""
        self.beats = 0
        """Turns of the loop so far: it hangs when that stands still."""
        self._backlog = Backlog()
        self._ends: dict[int, int] = {}  # partition → its end, of which all was delivered
        self._teller = Teller(self.name)
        self._checkpoints = partitions.checkpoints
        self._newest = 0
        self._patience = Patience(self.name)
        self._held = Holding(self.name, monotonic)

    @property
    def counts(self) -> Counts:
        """What was done, over all partitions ever owned."""
        return self.partitions.counts()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Calls ``subscriber`` with each committed event, in order, in the worker's thread.

        Before `run` only.  A subscriber that raises is logged; the next ones still get the event.
        """
        self._subscribers.add(subscriber)
        self.partitions.publish = True

    def stop(self) -> None:
        """Asks the worker to finish its batch and leave; safe in a signal handler."""
        self._stopping.set()

    def join(self) -> Member:
        """A seat in the group, under the worker's name."""
        return self._log.join(self._topics.group, self._topics.commands, self._slot.instance)

    def give_up(self) -> None:
        """Frees the place of a worker that will not be run."""
        self._slot.release()

    def run(self) -> None:
        """Takes a seat and works until `stop`.

        Raises what makes going on useless: `ProcessorStopped`, `StoreError`, `JournalError`,
        `GivenUp` after bounded attempts.
        """
        with closing(self.turns()) as turns:
            for pause_s in turns:
                if pause_s:
                    self._stopping.wait(pause_s)

    def turns(self) -> Generator[float, None, None]:
        """`run`, one turn of the loop at a time, each with the seconds to wait before the next.

        For who drives several workers in one thread.  Closing it is leaving.
        """
        running = Running(self._slot.directory)
        self._heartbeat = Heartbeat(self._slot.directory)
        try:
            while not self._stopping.is_set():
                yield from self._sit(running)
        finally:
            self.partitions.close()
            self.effects.close(self._config.stop_timeout_s / 2)
            running.close()
            self._heartbeat.close()
            self._slot.release()

    # -- a seat ------------------------------------------------------------------------------

    def _sit(self, running: Running) -> Iterator[float]:
        """Holds one seat until it is lost or the worker stops."""
        try:
            member = self.join()
        except LogUnavailable as error:
            yield self._wait_for_log(error)
            return
        pause_s = 0.0
        try:
            while not self._stopping.is_set():
                yield self._cycle(member, running)
            self._note_progress(member, leaving=True)
        except LogUnavailable as error:  # in the middle of a recovery, which then begins again
            pause_s = self._wait_for_log(error)
        except (Fenced, OutcomeUnknown, TransactionAborted) as error:
            pause_s = self._patience.failed(error)
            logger.warning("%s: seat lost (%s); taking it anew", self.name, error)
        finally:
            self.ready.clear()
            self._backlog.clear()
            self._ends.clear()
            self._held.clear()
            self.partitions.lose_all()
            member.close()
        yield pause_s

    def _cycle(self, member: Member, running: Running) -> float:
        """One turn; the seconds to wait before the next."""
        waiting = self._backlog or self.partitions.recovering
        room = max(1, self._config.batch_records - len(self._backlog))
        for partition in self._held.due():
            member.start(partition, self.partitions[partition].shard.processed)
        try:
            polled = member.poll(room, 0.0 if waiting else IDLE_S)
        except LogUnavailable as error:
            return self._wait_for_log(error)
        if polled.revoked or polled.assigned:
            self.ready.clear()
        self._lose(polled.revoked)
        for assignment in polled.assigned:
            self.partitions.take(assignment, member)
        # one that is rebuilt within its tenure still delivers; its end says from where again
        self._ends.update((each, end) for each, end in polled.ends.items() if self._ready(each))
        if self.partitions.recovering or self._held:
            self._backlog.extend([each for each in polled.records if self._ready(each.partition)])
        else:
            self._backlog.extend(polled.records)
        idle = not self._backlog
        # first: who waits for an answer has waited for a recovery already
        pause_s = 0.0 if idle else self._work(member, running)
        if self.partitions.recovering:
            self._teller.faults(self.partitions.recover(self._monotonic() + RECOVERY_SLICE_S))
        if self.partitions.recovering:
            self._beat(State.RECOVERING)
        else:
            self._beat(State.READY)
            self._all_ready()
            if idle:
                pause_s = self._note_progress(member)
        self.partitions.stand_by(self._monotonic() + STANDBY_SLICE_S, idle=idle)
        return pause_s

    def _ready(self, partition: int) -> bool:
        """Whether what is delivered of a partition may run."""
        return self.partitions.ready(partition) and partition not in self._held

    def _all_ready(self) -> None:
        self._teller.available()
        count = len(self.partitions)
        if count and not self.ready.is_set():
            self.ready.set()
            logger.info("%s: ready, %d partition%s", self.name, count, "s" if count > 1 else "")

    def _wait_for_log(self, error: LogUnavailable) -> float:
        """Tells of it; the seconds to wait before another try."""
        self._teller.unavailable(error)
        self._beat(State.WAITING)
        return RETRY_S

    def _beat(self, state: State) -> None:
        self.beats += 1
        # the machine's clock, not the worker's: the one that looks has no other
        self._heartbeat.beat(int(time.time() * 1000), state)

    def _lose(self, revoked: Sequence[Assignment]) -> None:
        if not revoked:
            return
        gone = {assignment.partition for assignment in revoked}
        for partition in gone:
            self.partitions.lose(partition)
        self._forget(gone)

    def _forget(self, partitions: set[int]) -> None:
        """Drops what is left of these partitions, which are lost or begin anew."""
        self._held.forget(partitions)
        self._backlog.forget(partitions)
        for partition in partitions:
            self._ends.pop(partition, None)

    # -- a batch -----------------------------------------------------------------------------

    def _work(self, member: Member, running: Running) -> float:
        """Runs and commits a batch; the seconds to wait before the next."""
        stopped: ProcessorStopped | None = None
        try:
            touched = self._run_batch(member, running)
        except ProcessorStopped as error:
            stopped = error
            touched = self.partitions.touched()
        except TransactionAborted as error:
            return self._run_again(member, self.partitions.touched(), error)
        finally:
            running.leave()
        now = self._now()
        writes: list[WriteRow] = []
        progress: dict[int, Committed] = {}
        for partition in touched:
            shard = self.partitions[partition].shard
            shard.close(now)
            writes += shard.batch.take_writes()
            done = shard.progress()
            progress[partition] = Committed(done.offset, done.metadata(member.instance))
            if self._checkpoints.due(partition):
                writes.append(self._checkpoints.note(partition, done, now))
        pause_s = self._commit(member, writes, progress) if progress else 0.0
        if stopped is not None:
            raise stopped
        return pause_s

    def _note_progress(self, member: Member, *, leaving: bool = False) -> float:
        """Before the worker idles or leaves: notes what is owed; the seconds to wait then."""
        now = self._now()
        writes: list[WriteRow] = []
        progress: dict[int, Committed] = {}
        for partition, shard in self.partitions.shards():
            if not self._backlog:
                shard.pass_by(self._ends.pop(partition, 0))
            noted = self._checkpoints
            if noted.owed(partition, shard.batch.next) and (leaving or noted.due(partition)):
                done = shard.progress()
                progress[partition] = Committed(done.offset, done.metadata(member.instance))
                writes.append(self._checkpoints.note(partition, done, now))
        return self._commit(member, writes, progress) if progress else 0.0

    def _run_batch(self, member: Member, running: Running) -> set[int]:
        """Runs commands until the batch is full by count, bytes or time, or none is left; the
        partitions that have something to commit.

        While commands run, the records of those before them are on their way.  After a failure
        they wait for the commit: whatever took too long for a transaction is not inside one.
        """
        config = self._config
        now = self._now()
        monotonic = self._monotonic
        deadline = monotonic() + config.batch_ms / 1000
        room = config.batch_bytes
        ahead = 1 + config.batch_records if self._patience.failures else AHEAD
        shards: dict[int, Shard] = {}
        enter, suspects = running.enter, running.suspects
        records = islice(self._backlog.drain(), config.batch_records)
        for count, record in enumerate(records, 1):
            partition, offset, _, value, _, _ = record
            shard = shards.get(partition)
            if shard is None:
                shard = shards[partition] = self.partitions[partition].shard
            batch = shard.batch
            before = batch.bytes
            if suspects and running.deaths(partition, offset) >= MAX_DEATHS:
                shard.refuse(record, deadly(), now)
            else:
                enter(partition, offset)
                try:
                    shard.step(record, now)
                except (UnreadableSnapshot, RebuildAsked, StoreCorrupt) as error:
                    del shards[partition]
                    if count > ahead:  # records of the partition may be among those on their way
                        member.abort()
                        self._drop(member, shards)
                        shards.clear()
                    self._rebuild(partition, error)
                    break
                except LogUnavailable as error:  # what tells the form of this very command
                    if not batch.counts.commands:
                        del shards[partition]
                    self._backlog.forget({partition})  # which is delivered anew
                    self._ends.pop(partition, None)
                    self._held.hold(partition, error)
                    break
            room -= batch.bytes - before + len(value or b"")
            if room <= 0 or monotonic() > deadline:
                break
            if count % ahead == 0:
                writes: list[WriteRow] = []
                for each in shards.values():
                    writes += each.batch.take_writes()
                member.write_ahead(writes)
        return set(shards)

    def _rebuild(self, partition: int, error: Cause) -> None:
        """Recovers one partition anew; what it had not committed runs again."""
        if not isinstance(error, RebuildAsked) and self._patience.spent():
            raise getattr(error, "cause", error) from error
        self.ready.clear()
        self._forget({partition})
        self.partitions.rebuild(partition, error)

    def _now(self) -> int:
        """The time in ms; never earlier than before, whatever the clock does."""
        self._newest = max(self._newest, int(self._clock() * 1000))
        return self._newest

    def _commit(
        self, member: Member, writes: Sequence[WriteRow], progress: Mapping[int, Committed]
    ) -> float:
        """Makes a batch the truth, or drops it; the seconds to wait before the next."""
        try:
            ends = member.commit(writes, progress)
        except TransactionAborted as error:
            return self._run_again(member, progress, error)
        self._patience.committed()
        self._held.moved(progress)
        for partition in progress:
            self._settle(self.partitions.commit(partition, ends))
        for partition, damage in self.partitions.take_damaged().items():
            self._rebuild(partition, damage)
        return 0.0

    def _run_again(
        self, member: Member, partitions: Collection[int], error: TransactionAborted
    ) -> float:
        """After an abort that is confirmed; the seconds to wait before the next try."""
        pause_s = self._patience.failed(error)
        logger.warning("%s: a batch was aborted and runs again (%s)", self.name, error)
        self._drop(member, partitions)
        return pause_s

    def _drop(self, member: Member, partitions: Collection[int]) -> None:
        """Drops the batch of these partitions, whose commands are delivered anew."""
        self._forget(set(partitions))
        for partition in partitions:
            shard = self.partitions[partition].shard
            shard.drop()
            self._checkpoints.lost(partition)
            member.start(partition, shard.processed)

    def _settle(self, batch: Batch) -> None:
        """What follows a commit: effects, subscribers, the log of faults."""
        self.effects.submit(batch.effects)
        self._subscribers.tell(batch.events)
        self._teller.odd(batch.counts)
        self._teller.faults(batch.faults)
