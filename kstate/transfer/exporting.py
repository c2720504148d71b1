"""From a log into an archive.

A partition is copied in this order: its journal, its snapshots, and what the journal got meanwhile.
So there are the events of every snapshot that is copied, or they were removed behind it; and what a
worker removes while the export runs is behind a snapshot that is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from kstate.codec.book import Book
from kstate.codec.port import SchemaRecord
from kstate.core.messages import Record
from kstate.core.topics import CHECKPOINT_KEY, Topics, parse_event_key
from kstate.errors import ArchiveError, ProcessorAbsent
from kstate.log.port import Log
from kstate.runtime.schema_topic import META_KEY
from kstate.transfer.entities import REGISTERED, Entities, registered
from kstate.transfer.files import FileWriter, read_file
from kstate.transfer.lock import LOCK, ExportLock
from kstate.transfer.manifest import NAME, PART, File, Kind, Manifest, Reached, load, writing
from kstate.transfer.reading import chunks

FILE_BYTES = 64 << 20
"""A file that is larger is complete, and another one begins."""

Watch = Callable[[int], object]
"""Called with the number of offsets passed since the last time."""


class Exported(NamedTuple):
    """What an export has brought."""

    processor: str
    partitions: int
    events: int
    snapshots: int
    schemas: int
    files: int
    bytes: int
    waiting: int  # about so many commands wait to be processed: they do not travel


class Export:
    """One export of a processor into a directory, begun or gone on with; close it, or use ``with``.

    Raises `ProcessorAbsent` where there is no such processor on the log, and `ArchiveError` for a
    directory that holds something else, or that another export writes into.
    """

    def __init__(
        self,
        log: Log,
        processor: str,
        prefix: str,
        directory: Path,
        file_bytes: int = FILE_BYTES,
        watch: Watch = lambda count: None,
    ) -> None:
        self._log = log
        self._topics = Topics.of(processor, prefix)
        self._directory = directory
        self._file_bytes = file_bytes
        self.watch = watch
        today = _begun(log, self._topics, processor, prefix)
        self._lock = self._locked()
        try:
            self._manifest = self._take(today)
        except BaseException:
            self._lock.release()
            raise
        self._book = Book()
        self._schemas: dict[bytes, SchemaRecord] = {}

    def size(self) -> int:
        """About how many records there are to copy: offsets, of which some may hold none."""
        total = 0
        for reached in self._manifest.reached:
            for kind in ("journal", "snapshots"):
                ends = self._log.ends(self._topic(kind))[reached.partition]
                total += max(0, ends.end - max(ends.start, getattr(reached, kind)))
        return total

    def run(self) -> Exported:
        """Copies what is there by now.

        Raises `JournalError` for what a worker would refuse, `ArchiveError` for what cannot be
        written and for records that need a schema registry, and `LogError`.  What is complete by
        then stays, for the next export into this directory to go on from.
        """
        manifest = self._manifest
        self._read_schemas()  # of snapshots' envelopes
        for reached in manifest.reached:
            if not reached.complete:
                self._partition(reached)
        self._read_schemas()  # of all that was copied: a schema is there before its first record
        manifest.keep_schemas(list(self._schemas.values()))
        manifest.complete = True
        manifest.save(self._directory)
        with writing(self._directory):
            for left in self._directory.glob("*.part"):
                left.unlink()  # of an export that was killed
            self._lock.remove()
        return Exported(
            manifest.processor,
            manifest.partitions,
            manifest.count("journal"),
            manifest.count("snapshots"),
            len(manifest.schemas),
            len(manifest.files),
            sum(file.bytes for file in manifest.files),
            self._waiting(),
        )

    def close(self) -> None:
        """Lets others export into the directory; idempotent."""
        self._lock.release()

    def __enter__(self) -> Export:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _locked(self) -> ExportLock:
        """The lock of the directory, which is made if need be; another's is left as it is."""
        with writing(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            there = {each.name for each in self._directory.iterdir()}
        if NAME not in there and there - {LOCK, PART}:
            raise ArchiveError(f"{self._directory} is not empty: give a new directory")
        return ExportLock(self._directory)

    def _take(self, today: Manifest) -> Manifest:
        """The manifest of an export that was interrupted here, or a new one."""
        begun = load(self._directory)
        if begun is None:
            today.save(self._directory)
            return today
        if begun.complete:
            with writing(self._directory):
                self._lock.remove()
            raise ArchiveError(
                f"{self._directory} holds a complete archive of {begun.processor}: give a new "
                "directory"
            )
        if (begun.processor, begun.prefix) != (today.processor, today.prefix):
            raise ArchiveError(
                f"{self._directory} holds the beginning of an export of "
                f"{begun.prefix}{begun.processor}: give another directory"
            )
        if (begun.topics, begun.partitions) != (today.topics, today.partitions):
            raise ArchiveError(
                f"{self._directory} holds the beginning of an export of another log, or of topics "
                "that were created anew since: give another directory"
            )
        return begun

    def _topic(self, kind: str) -> str:
        return self._topics.journal if kind == "journal" else self._topics.snapshots

    def _end(self, kind: Kind, partition: int) -> int:
        return self._log.ends(self._topic(kind))[partition].end

    # -- one partition -----------------------------------------------------------------------

    def _partition(self, reached: Reached) -> None:
        partition = reached.partition
        known = self._known(reached)
        self._journal(reached, known)
        self._snapshots(reached, known)
        self._journal(reached, known)
        known.check()
        reached.complete = True
        self._manifest.save(self._directory)
        assert self._manifest.reached[partition] is reached

    def _known(self, reached: Reached) -> Entities:
        """What the files tell that are complete, and what is removed by now.

        A removed event may still be there to be read: what was erased has no place in an archive.
        """
        known = Entities(self._book)
        for file in self._manifest.of("journal", reached.partition):
            for record in read_file(self._directory, file):
                known.event(*_parsed(record))
        for file in self._manifest.of("snapshots", reached.partition):
            for record in read_file(self._directory, file):
                known.snapshot(record)
        end = self._end("snapshots", reached.partition)
        for records in self._chunks("snapshots", reached.partition, reached.snapshots, end):
            for record in records:
                if record.key != CHECKPOINT_KEY:
                    known.snapshot(record)
        return known

    def _journal(self, reached: Reached, known: Entities) -> None:
        end = self._end("journal", reached.partition)
        with self._files("journal", reached) as files:
            for records in self._chunks("journal", reached.partition, reached.journal, end):
                for record in records:
                    if record.value is None:
                        # it may belong to a snapshot that is not copied, and its event be needed
                        continue
                    if record.value[:1] == REGISTERED:
                        raise registered(f"the event at {record.partition}:{record.offset}")
                    key, seq = _parsed(record)
                    if known.gone(key, seq):
                        continue
                    known.event(key, seq)
                    files.write(record)
                files.pass_to(records[-1].offset + 1)
                self.watch(len(records))
            files.end(end)

    def _snapshots(self, reached: Reached, known: Entities) -> None:
        end = self._end("snapshots", reached.partition)
        with self._files("snapshots", reached) as files:
            for records in self._chunks("snapshots", reached.partition, reached.snapshots, end):
                for record in records:
                    if record.key != CHECKPOINT_KEY:  # of progress in the commands of this log
                        known.snapshot(record)
                        files.write(record)
                files.pass_to(records[-1].offset + 1)
                self.watch(len(records))
            files.end(end)

    def _chunks(
        self, kind: Kind, partition: int, start: int, end: int
    ) -> Iterator[Sequence[Record]]:
        for records in chunks(self._log, self._topic(kind), partition, start, end):
            if records:
                yield records

    @contextmanager
    def _files(self, kind: Kind, reached: Reached) -> Iterator[_Files]:
        files = _Files(self._directory, self._manifest, kind, reached, self._file_bytes)
        try:
            yield files
        finally:
            files.give_up()

    # -- beside the partitions ---------------------------------------------------------------

    def _read_schemas(self) -> None:
        topic = self._topics.schemas
        for records in chunks(self._log, topic, 0, 0, self._log.ends(topic)[0].end):
            for record in records:
                key, value = record.key, record.value
                if key is not None and value is not None and key != META_KEY:
                    schema = SchemaRecord(key, value, record.headers)
                    self._book.learn(schema)
                    self._schemas.setdefault(key, schema)

    def _waiting(self) -> int:
        """About how many commands were sent and not processed yet."""
        topics = self._topics
        progress = self._log.progress(topics.group, topics.commands)
        waiting = 0
        for partition, ends in self._log.ends(topics.commands).items():
            done = progress.get(partition)
            waiting += max(0, ends.end - (ends.start if done is None else done.offset))
        return waiting


class _Files:
    """The files that one pass over a topic's partition writes."""

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        kind: Kind,
        reached: Reached,
        file_bytes: int,
    ) -> None:
        self._directory = directory
        self._manifest = manifest
        self._kind: Kind = kind
        self._reached = reached
        self._file_bytes = file_bytes
        self._open: FileWriter | None = None

    def write(self, record: Record) -> None:
        """Adds a record to the file that is open."""
        if self._open is None:
            partition = self._reached.partition
            number = len(self._manifest.of(self._kind, partition)) + 1
            name = f"{self._kind}-{partition:05}-{number:05}.avro"
            self._open = FileWriter(self._directory, name, self._kind, partition)
        self._open.write(record)

    def pass_to(self, position: int) -> None:
        """All below ``position`` is written: a file that is large enough is complete with that."""
        if self._open is not None and self._open.size >= self._file_bytes:
            self.end(position)

    def end(self, position: int) -> None:
        """Completes the file; the export goes on from ``position``, after a death, too."""
        if position <= getattr(self._reached, self._kind) and self._open is None:
            return
        file: File | None = self._open.close() if self._open is not None else None
        self._open = None
        if file is not None:
            self._manifest.files.append(file)
        setattr(self._reached, self._kind, position)
        self._manifest.save(self._directory)

    def give_up(self) -> None:
        """Leaves what is not complete."""
        if self._open is not None:
            self._open.give_up()


def _begun(log: Log, topics: Topics, processor: str, prefix: str) -> Manifest:
    """The manifest of an export that begins now."""
    needed = (topics.journal, topics.snapshots, topics.schemas, topics.commands)
    there = log.topics(needed)
    for name in needed:
        if name not in there:
            raise ProcessorAbsent(
                f"{name} does not exist on {log.url}: check the log's URL, the prefix and the "
                "name of the processor"
            )
    count = there[topics.journal].partitions
    return Manifest(
        processor,
        prefix,
        count,
        {kind: there[getattr(topics, kind)].identity for kind in ("journal", "snapshots")},
        datetime.now(UTC).isoformat(timespec="seconds"),
        reached=[Reached(partition) for partition in range(count)],
    )


def _parsed(record: Record) -> tuple[bytes, int]:
    """Persist id and seq; of a foreign record something that `FileWriter.write` refuses."""
    return parse_event_key(record.key) or (b"", 1)
