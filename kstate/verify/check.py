"""Verifying a processor: its journal, its snapshots, and what goes with them.

It runs beside a live system, partition by partition, and damage is only what no worker at work can
have left behind for a moment.  The order sees to that: first the low-water mark, then the end of
the snapshots, then that of the journal.  So every event of a snapshot that is read is below the end
of the journal, and every event below the mark is covered by a snapshot below the end of those.
What was removed meanwhile, behind a snapshot that came after, looks like damage: before it is
called so, what has come since is read, once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain

from kstate.codec.port import Messages
from kstate.core.context import Machine
from kstate.core.letters import failed_key, living
from kstate.core.messages import Progress, Record
from kstate.core.topics import Topics
from kstate.errors import ProcessorAbsent, TopicError
from kstate.log.port import Log
from kstate.verify.findings import Counts, Finding, Place
from kstate.verify.folds import Folds
from kstate.verify.journal import Journal
from kstate.verify.reading import Reading
from kstate.verify.snapshots import Snapshots, Take
from kstate.verify.values import Values

PATIENCE_S = 25.0
"""Longer than a broker lets a dead worker's transaction live: its timeout of 10 s, and as long
again until the broker looks for transactions that are over their time."""


def verify(
    log: Log,
    topics: Topics,
    messages: Messages,
    machine: Machine | None = None,
    *,
    patience_s: float = PATIENCE_S,
) -> Iterator[Finding]:
    """Yields what is wrong with a processor's journal and snapshots, and a few notes.

    Values are read by ``messages``; with a ``machine`` by its codec, and the events are folded and
    snapshots held against the folds.  Raises `ProcessorAbsent` when the topics are not there,
    `TopicError` when they do not go together, `LogUnavailable` while the log is away.
    """
    return Verification(log, topics, messages, machine, patience_s=patience_s).findings()


class Verification:
    """One pass over a processor; `counts` tells how far it has come."""

    def __init__(
        self,
        log: Log,
        topics: Topics,
        messages: Messages,
        machine: Machine | None = None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.counts = Counts()
        self.watch: Callable[[int], object] = lambda _: None
        """Called with the number of records read, chunk by chunk."""
        self._log = log
        self._topics = topics
        self._machine = machine
        self._values = Values(messages, machine)
        self._reading = Reading(log, patience_s)

    def size(self) -> int:
        """About how many records there are to read: offsets from start to end."""
        topics = (self._topics.journal, self._topics.snapshots, self._topics.dead_letters)
        return sum(e.end - e.start for topic in topics for e in self._log.ends(topic).values())

    def findings(self) -> Iterator[Finding]:
        """Reads everything, and yields what is found; see `verify`."""
        topics = self._topics
        partitions = self._partitions()
        transactional = topics[:5]  # all but the schemas
        try:
            self._reading.begin(transactional)
            for partition in range(partitions):
                for finding in self._partition(partition, partitions):
                    self.counts.add(finding)
                    yield finding
                self.counts.partitions += 1
            for finding in self._hanging(transactional):
                self.counts.add(finding)
                yield finding
        finally:
            self._reading.close()

    def _partitions(self) -> int:
        """The partition count, the same of all topics that a partition has a share in."""
        topics = self._topics
        names = topics[:5]
        there = self._log.topics(names)
        missing = [name for name in names if name not in there]
        if missing:
            raise ProcessorAbsent(
                f"{', '.join(missing)} does not exist on this log: check the log's URL, the prefix "
                "and the processor's name"
            )
        journal, snapshots = there[topics.journal], there[topics.snapshots]
        if journal.partitions != snapshots.partitions:
            raise TopicError(
                f"{journal.name} has {journal.partitions} partitions, {snapshots.name} has "
                f"{snapshots.partitions}: kstate topics {topics.group} says which is wrong"
            )
        return journal.partitions

    # -- one partition -----------------------------------------------------------------------

    def _partition(self, partition: int, partitions: int) -> Iterator[Finding]:
        place = Place(self._topics.journal, partition)
        snapshots_place = Place(self._topics.snapshots, partition)
        machine, values = self._machine, self._values
        progress = self._progress(partition)  # before the snapshots: see above
        snapshots = Snapshots(snapshots_place, partitions, values, machine is not None)
        snapshots_end = yield from self._read(snapshots_place, snapshots.take)
        version = None if machine is None else machine.definition.snapshot_version
        yield from snapshots.end(version)
        low_water = _low_water(progress, snapshots)
        folds = None if machine is None else Folds(machine, snapshots_place, snapshots)
        journal = Journal(place, partitions, values, snapshots, low_water, folds)
        journal_end = yield from self._read(place, journal.take)
        self.counts.snapshots += snapshots.read
        if journal.suspicious():
            low_water = min(low_water, _low_water(self._progress(partition), snapshots))
            self._read_on(place, journal_end, journal.tombstones)
            # last: the snapshot that tells of a tombstone is committed with it
            self._read_on(snapshots_place, snapshots_end, snapshots.take)
        cut = self._reading.cut
        yield from journal.end(
            low_water,
            whole=(place.topic, partition) not in cut and not snapshots.importing,
            snapshots_whole=(snapshots_place.topic, partition) not in cut,
        )
        self.counts.events += journal.events
        self.counts.persist_ids += len(journal.seqs)
        self.counts.compared += folds.compared if folds else 0
        yield from self._dead_letters(partition)

    def _read(self, place: Place, take: Take) -> Generator[Finding, None, int]:
        """Has ``take`` check the records up to the present end, which it returns."""
        bounds = self._reading.ends(place.topic)[place.partition]
        for records in self._records(place, bounds.start, bounds.end):
            yield from take(records)
        return bounds.end

    def _read_on(self, place: Place, start: int, take: Take) -> None:
        """Has ``take`` see what has come since: of damage there the next verification tells."""
        end = self._reading.ends(place.topic)[place.partition].end
        for records in self._reading.records(place.topic, place.partition, start, end):
            for _ in take(records):
                pass

    def _records(self, place: Place, start: int, end: int) -> Iterator[Sequence[Record]]:
        for records in self._reading.records(place.topic, place.partition, start, end):
            yield records
            self.watch(len(records))

    def _progress(self, partition: int) -> Progress | None:
        """What the group has committed of a partition, if that can be told."""
        topics = self._topics
        committed = self._log.progress(topics.group, topics.commands).get(partition)
        parsed = committed and Progress.parse(committed.offset, committed.metadata)
        return parsed[0] if parsed else None

    # -- beside the journal ------------------------------------------------------------------

    def _dead_letters(self, partition: int) -> Iterator[Finding]:
        place = Place(self._topics.dead_letters, partition)
        bounds = self._reading.ends(place.topic)[partition]
        records = chain.from_iterable(self._records(place, bounds.start, bounds.end))
        # all of them are kept until the end, in which there may be tombstones: without their values
        letters = living(each._replace(value=each.value and b"") for each in records)
        count = len(letters)
        self.counts.dead_letters += count
        if not letters:
            return
        oldest = min(letters, key=lambda each: each.offset)
        since = datetime.fromtimestamp(oldest.timestamp / 1000, UTC).isoformat(timespec="seconds")
        yield place.finding(
            "dead-letters",
            oldest.offset,
            f"{count} failed {'command lies' if count == 1 else 'commands lie'} here, the oldest "
            f"since {since.replace('+00:00', 'Z')}: kstate dead-letters lists them and sends them "
            "again",
            failed_key(oldest.key, oldest.headers),
        )

    def _hanging(self, topics: Sequence[str]) -> Iterator[Finding]:
        for topic, partition, offset, seconds in self._reading.hanging(topics):
            yield Place(topic, partition).finding(
                "transaction",
                offset,
                f"a transaction has been open for {seconds:.0f} s, longer than a worker's may "
                "last: every reader waits here, and what lies behind was not verified; find its "
                "producer with kafka-transactions.sh describe-producers, and end it with abort",
            )


def _low_water(progress: Progress | None, snapshots: Snapshots) -> int:
    """The mark that a takeover would go by: the group's or, without that, the checkpoint's."""
    known = progress or snapshots.noted
    return 0 if known is None else known.low_water
