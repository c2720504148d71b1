"""From an archive into a log.

The target is a processor's topics without a journal.  Records go to the partitions that their
persist ids have there, those of an id in their order.  What refers to the old log does not go
along: the ``source`` of an event, a command in the old commands topic, is its ``origin`` from now
on, and a snapshot's lower bound in the journal is 0.  Command ids stay: a repeated command is still
answered from the window, in snapshots and journal, and not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kstate.codec.book import Book, load
from kstate.core.messages import Headers, Progress, Record, Write
from kstate.core.partition import partition_for
from kstate.core.topics import Topics, parse_event_key
from kstate.errors import ArchiveError, JournalError, TopicError
from kstate.log.port import Log
from kstate.runtime.schema_topic import SchemaTopic
from kstate.runtime.startup import prepare_schemas, prepare_topics
from kstate.transfer import manifest as manifests
from kstate.transfer.entities import NONE, Entities, unbound
from kstate.transfer.files import check_file, read_file
from kstate.transfer.manifest import File, Manifest
from kstate.transfer.seat import Seat, instance_of

BATCH_RECORDS = 5_000
BATCH_BYTES = 4 << 20
KEEP_RECORDS = 2_000
"""After so many records that were only read the membership is served."""
SOURCE, ORIGIN = "source", "origin"

Watch = Callable[[int], object]
"""Called with the number of records passed since the last time."""


class Imported(NamedTuple):
    """What an import has brought; counts are of the whole import, also what came before a death."""

    processor: str
    partitions: int  # of the target
    events: int
    snapshots: int
    schemas: int
    resumed: bool
    there_before: bool  # the whole archive was imported earlier: nothing was done


def checked(directory: Path, watch: Watch = lambda count: None) -> Manifest:
    """The manifest of an archive that is complete and whole; ``watch`` gets bytes.

    Raises `ArchiveError` for everything else.
    """
    found = manifests.load(directory)
    if found is None:
        raise ArchiveError(f"{directory} holds no archive: there is no {manifests.NAME}")
    if not found.complete:
        raise ArchiveError(
            f"the export into {directory} has not come to its end: start it again (kstate export), "
            "it goes on where it was"
        )
    for file in found.files:
        check_file(directory, file)
        watch(file.bytes)
    return found


class Import:
    """One import of an archive, begun or gone on with; ``archive`` is what `checked` returned.

    ``partitions`` is what was asked for; None: those that there are, else as many as the archive
    was made of.  Topics that are missing are created.  Raises `TopicError` for topics that do not
    fit and for a journal with other records.
    """

    def __init__(
        self,
        log: Log,
        directory: Path,
        archive: Manifest,
        prefix: str,
        partitions: int | None = None,
        watch: Watch = lambda count: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._directory = directory
        self._archive = archive
        self.watch = watch
        self._clock = clock
        self._topics = Topics.of(archive.processor, prefix)
        self._partitions = prepare_topics(log, self._topics, partitions, archive.partitions)
        self._resumed = False
        self._writes: list[Write] = []
        self._bytes = 0
        self._read = 0  # records of the archive passed in this run
        self._told = 0  # of these, what was watched

    def run(self) -> Imported:
        """Takes the archive in.

        Raises `LogError` where a worker is at work or comes, and for what the log refuses, and
        `ArchiveError`.  Started again, the import goes on where it was.
        """
        if self._ended_before():
            return self._imported(there_before=True)
        self._refuse_owners()
        self._publish_schemas()
        archive, topics = self._archive, self._topics
        with Seat(self._log, topics, archive.archive, self._partitions, self._clock) as seat:
            self._resumed = seat.began
            if not seat.began:
                self._refuse_records()
                seat.commit([], 0)  # no worker takes a partition from now on
            for partition in range(archive.partitions):
                self._take(seat, partition)
            self._commit(seat)
            seat.finish()
        return self._imported(there_before=False)

    def _imported(self, there_before: bool) -> Imported:
        return Imported(
            self._archive.processor,
            self._partitions,
            self._archive.count("journal"),
            self._archive.count("snapshots"),
            len(self._archive.schemas),
            self._resumed,
            there_before,
        )

    # -- before the first record -------------------------------------------------------------

    def _ended_before(self) -> bool:
        """Whether this archive was imported already, and nothing was written since."""
        progress = self._log.progress(self._topics.group, self._topics.commands)
        instance = instance_of(self._topics, self._archive.archive)
        found = [Progress.parse(each.offset, each.metadata) for each in progress.values()]
        return len(found) == self._partitions and all(
            each is not None and each[1] == instance for each in found
        )

    def _refuse_owners(self) -> None:
        instance = instance_of(self._topics, self._archive.archive)
        for partition, owner in self._log.owners(self._topics.group, self._topics.commands).items():
            if owner != instance:
                raise TopicError(
                    f"{owner} is at work on {self._topics.commands}:{partition}: stop the workers "
                    f"of {self._topics.group}, and start the import again"
                )

    def _refuse_records(self) -> None:
        for topic in (self._topics.journal, self._topics.snapshots):
            for partition, ends in self._log.ends(topic).items():
                if ends.end > ends.start:
                    raise TopicError(
                        f"{topic}:{partition} is not empty: an archive is not mixed with what is "
                        "there; give another prefix or another log"
                    )

    def _publish_schemas(self) -> None:
        book = Book()
        for record in self._archive.schema_records():
            entry = load(record)
            book.add(entry.schema, entry.kind, entry.type_name)
        topic = SchemaTopic(self._log, self._topics, book)
        prepare_schemas(self._log, self._topics, topic, self._partitions, int(self._clock() * 1000))

    # -- records -----------------------------------------------------------------------------

    def _take(self, seat: Seat, partition: int) -> None:
        """Takes a partition of the archive in, but for what was taken in before a death."""
        snapshots = self._archive.of("snapshots", partition)
        journal = self._archive.of("journal", partition)
        count = sum(file.records for file in (*snapshots, *journal))
        if self._read + count <= seat.position:
            self._read += count
            self._tell()
            return
        known = Entities(_book_of(self._archive))
        for record in self._records(seat, snapshots):
            known.snapshot(record)
        for record in self._records(seat, snapshots):
            self._snapshot(seat, known, record)
            self._pass(seat)
        for record in self._records(seat, journal):
            self._event(seat, known, record)
            self._pass(seat)

    def _records(self, seat: Seat, files: Sequence[File]) -> Iterator[Record]:
        count = 0
        for file in files:
            for record in read_file(self._directory, file):
                yield record
                count += 1
                if not count % KEEP_RECORDS:
                    seat.keep()

    def _pass(self, seat: Seat) -> None:
        """One more record is taken in; commits now and then."""
        self._read += 1
        if len(self._writes) >= BATCH_RECORDS or self._bytes >= BATCH_BYTES:
            self._commit(seat)

    def _commit(self, seat: Seat) -> None:
        if self._read > seat.position:
            seat.commit(self._writes, self._read)
        self._writes, self._bytes = [], 0
        self._tell()

    def _tell(self) -> None:
        self.watch(self._read - self._told)
        self._told = self._read

    def _snapshot(self, seat: Seat, known: Entities, record: Record) -> None:
        """Writes the newest snapshot of a persist id alone."""
        key, value = record.key or b"", record.value
        if value is None or known.snapshots.get(key, NONE).offset != record.offset:
            return
        partition = partition_for(key, self._partitions)
        if self._read < seat.position:
            return
        seat.places[partition].entities += 1
        topic = self._topics.snapshots
        self._write(Write(topic, partition, key, unbound(value), record.headers, record.timestamp))

    def _event(self, seat: Seat, known: Entities, record: Record) -> None:
        """Writes an event, unless it was removed, though it was still there to be exported."""
        parsed = parse_event_key(record.key)
        if parsed is None:
            raise JournalError(f"the archive has an event with the key {record.key!r}")
        key, seq = parsed
        if self._read < seat.position or known.gone(key, seq):
            return
        partition = partition_for(key, self._partitions)
        place = seat.places[partition]
        snapshot = known.snapshots.get(key, NONE)
        if seq > snapshot.seq:
            if place.low_water < 0:
                place.low_water = place.floor
            if seq == 1:
                place.entities += 1
        headers = _moved(record.headers)
        topic = self._topics.journal
        self._write(Write(topic, partition, record.key, record.value, headers, record.timestamp))

    def _write(self, write: Write) -> None:
        self._writes.append(write)
        self._bytes += len(write.value or b"")


def _moved(headers: Headers) -> Headers:
    """An event's headers in another log."""
    return [(ORIGIN if name == SOURCE else name, value) for name, value in headers]


def _book_of(archive: Manifest) -> Book:
    book = Book()
    for record in archive.schema_records():
        book.learn(record)
    return book
