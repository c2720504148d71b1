"""A process of a projection: takes partitions, and turns their events into rows batch by batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from kstate.core.messages import Record
from kstate.errors import PartitionLost, ProjectionError, ProjectionStopped
from kstate.log.port import Log, Member, Polled
from kstate.projection import ledger
from kstate.projection.applying import Applier, Failure, Reached, Work
from kstate.projection.database import Database
from kstate.projection.definition import Projection
from kstate.projection.following import POLL_S, Follower, Join, Journal, Trials
from kstate.projection.ledger import Hold
from kstate.projection.preparing import Ready
from kstate.projection.reading import Reading

LOOK_S = 0.5
"""How soon a process sees that it is to pause."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

logger = logging.getLogger("kstate.projection")


class Runner(Follower):
    """One process of a projection; others share the partitions.

    ``ready`` looks, before a seat is taken, at the journal and at what the database knows under
    ``name``, by default the projection's.  ``finished`` is asked now and then; when it is true,
    `run` ends.  ``watch`` is called with the number of records of each batch.
    """

    def __init__(
        self,
        projection: Projection,
        database: Database,
        log: Log,
        reading: Reading,
        join: Join,
        ready: Ready,
        *,
        name: str | None = None,
        batch_records: int = 5_000,
        finished: Callable[[], bool] | None = None,
        watch: Callable[[int], object] | None = None,
    ) -> None:
        super().__init__(projection.name, join)
        self._projection = projection
        self._database = database
        self._log = log
        self._name = name or projection.name
        self._ready = ready
        self._journal: Journal
        self._reading = reading
        self._batch_records = batch_records
        self._finished = finished
        self._watch = watch
        self._applier = Applier(database, projection, self._name)
        self._attempts = projection.attempts if projection.on_error == "retry" else 1
        self._holds: dict[int, Hold] = {}
        self._unclaimed: set[int] = set()
        self._trials = self._new_trials()
        self._paused = False
        self._next_look = 0.0

    def _new_trials(self) -> Trials:
        return Trials(self._attempts, FIRST_PAUSE_S, LONGEST_PAUSE_S)

    # -- the session -------------------------------------------------------------------------

    def prepare(self) -> bool:
        """A paused projection takes no seat."""
        self._journal, found = self._ready()
        if found.paused != self._paused:
            self._paused = found.paused
            logger.info("%s: %s", self.title, "paused" if found.paused else "resumed")
        if found.paused:
            self.worked()
            self.wait(LOOK_S)
        return not found.paused

    def begin(self) -> None:
        self._holds.clear()
        self._unclaimed.clear()
        self._trials = self._new_trials()
        self._next_look = 0.0

    def turn(self, member: Member) -> bool:
        polled = member.poll(self._batch_records, POLL_S)
        self._membership(polled)
        work = self._work(polled)
        if work:
            self._apply(work)
        self._claim(member)
        for partition in self._trials.over():
            member.start(partition, self._holds[partition].offset)
        return self._look()

    def _membership(self, polled: Polled) -> None:
        for each in polled.revoked:
            self._drop(each.partition)
            self._unclaimed.discard(each.partition)
        for each in polled.assigned:
            self._drop(each.partition)
            self._unclaimed.add(each.partition)

    def _drop(self, partition: int) -> None:
        self._holds.pop(partition, None)
        self._trials.forget(partition)

    def _look(self) -> bool:
        """Whether to stay; the database is asked now and then."""
        now = time.monotonic()
        if now < self._next_look:
            return True
        self._next_look = now + LOOK_S
        if self._finished is not None and self._finished():
            self.stop()
            return False
        with self._database.reading() as connection:
            found = ledger.facts(connection, self._name)
            epochs = ledger.epochs(connection, self._name)
        # a reset or a swap may come and go unseen by a process that has nothing to write
        lost = [each for each, hold in self._holds.items() if epochs.get(each) != hold.epoch]
        if lost:
            self._lost(PartitionLost(self.title, lost))
        # another version: a rebuild has put other tables in place; `prepare` says what to do
        return (
            found is not None
            and not found.paused
            and found.version == self._projection.version
            and found.identity == self._journal.identity
        )

    # -- partitions --------------------------------------------------------------------------

    def _claim(self, member: Member) -> None:
        """Takes the partitions that the group gave, and reads on where the database is."""
        if not self._unclaimed:
            return
        with self._database.transaction() as connection:
            if ledger.facts(connection, self._name, lock=True) is None:
                self._next_look = 0.0
                return  # it is gone: `_look` sees it, too
            claimed = [
                ledger.claim(connection, self._name, each, member.instance)
                for each in sorted(self._unclaimed)
            ]
        ends = self._log.ends(self._journal.topic)
        for hold in claimed:
            start, _, end = ends[hold.partition]
            if hold.offset > end:
                raise ProjectionError(
                    f"{self.title} has read {self._journal.topic}:{hold.partition} up to "
                    f"{hold.offset}, but it ends at {end}: the log lost records or is another one; "
                    "reset the projection (kstate projection reset), or name the right log"
                )
            if 0 < hold.offset < start:
                logger.warning(
                    "%s: the events from %d to %d of %s:%d are gone from the log before they were "
                    "read", self.title, hold.offset, start - 1, self._journal.topic, hold.partition,
                )  # fmt: skip
            member.start(hold.partition, max(hold.offset, start))
            self._holds[hold.partition] = hold
            self._unclaimed.discard(hold.partition)
        places = ", ".join(f"{each.partition} from {each.offset}" for each in claimed)
        logger.info("%s: has the partitions %s", self.title, places)

    def _work(self, polled: Polled) -> dict[int, Work]:
        """What came for the partitions that are held, decoded before the transaction begins."""
        records: dict[int, list[Record]] = {}
        for record in polled.records:
            hold = self._holds.get(record.partition)
            if hold is None or record.offset < hold.offset or self._trials.waits(record.partition):
                continue
            records.setdefault(record.partition, []).append(record)
        work = {
            each: Work([self._reading.take(record) for record in found], found[-1].offset + 1)
            for each, found in records.items()
        }
        for each, end in polled.ends.items():
            hold = self._holds.get(each)
            if hold is None or self._trials.waits(each):
                continue
            done = work.get(each, Work((), hold.offset))
            if end > done.end:  # nothing but markers of transactions lies between
                work[each] = Work(done.taken, end)
        return work

    def _apply(self, work: Mapping[int, Work]) -> None:
        try:
            careful = any(map(self._trials.troubled, work))
            reached = self._applier.apply(self._holds, work, careful)
        except PartitionLost as error:
            self._lost(error)
            # also those that were not lost: their records went with the batch
            for partition in work.keys() & self._holds.keys():
                self._drop(partition)
                self._unclaimed.add(partition)
            return
        self.worked()
        if self._watch is not None:
            self._watch(sum(len(each.taken) for each in work.values()))
        for partition, done in reached.items():
            if done.failure is None:
                self._trials.passed(partition)
            else:
                self._failed(partition, done, done.failure)

    def _lost(self, error: PartitionLost) -> None:
        """The next poll tells, before they are taken again, whether they are still its own."""
        logger.warning("%s", error)
        self._database.close()  # a swap exchanges tables: what was prepared is of the old ones
        for partition in error.partitions:
            self._drop(partition)
            self._unclaimed.add(partition)
        self._next_look = 0.0

    def _failed(self, partition: int, done: Reached, failure: Failure) -> None:
        place = f"{self._journal.topic}:{partition} at {done.offset}"
        if self._trials.failed(partition, done.offset):
            logger.warning(
                "%s: %s failed, and is tried again: %s", self.title, place, failure,
                exc_info=failure.cause,
            )  # fmt: skip
            return
        raise ProjectionStopped(
            f"{self.title} stopped at {place}: {failure}; mend the handler and run it again, or "
            'pass the event over with on_error = "skip"'
        ) from failure.cause
