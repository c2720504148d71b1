"""The files of an archive: Avro object container files, deflated, one kind of record in each.

A file bears its name only when it is complete; until then it ends in ``.part``.  What a record held
in the log stands in it byte for byte, headers and value included.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from fastavro import parse_schema, reader
from fastavro.write import Writer

from kstate.core.messages import UNREADABLE_HEADERS, Record
from kstate.core.topics import event_key, parse_event_key
from kstate.errors import ArchiveError, JournalError
from kstate.transfer.manifest import File, Kind, damaged, sync_directory, writing

NAMESPACE = "kstate.archive"
BLOCK_BYTES = 256_000
LEVEL = 1
"""Of deflate: the next ones take much longer and win little."""
HASH_BYTES = 1 << 20

_HEADER = {
    "type": "record",
    "name": "Header",
    "namespace": NAMESPACE,
    "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": ["null", "bytes"]}],
}


def _schema(name: str, *fields: str) -> Any:
    types: dict[str, Any] = {
        "persist_id": "string",
        "seq": "long",
        "offset": "long",
        "timestamp": "long",  # a logical type would refuse what is in no calendar
        "headers": {"type": "array", "items": _HEADER},
        "value": ["null", "bytes"],
    }
    return parse_schema(
        {
            "type": "record",
            "name": name,
            "namespace": NAMESPACE,
            "fields": [{"name": each, "type": types[each]} for each in fields],
        }
    )


_COMMON = ("offset", "timestamp", "headers", "value")
SCHEMAS: dict[Kind, Any] = {
    "journal": _schema("Event", "persist_id", "seq", *_COMMON),
    "snapshots": _schema("Snapshot", "persist_id", *_COMMON),
}
_FAULTS = (ValueError, EOFError, LookupError, TypeError, OverflowError, zlib.error)
"""What reading bytes raises that are no container file, or one of other records."""


def packed(kind: Kind, record: Record) -> dict[str, Any]:
    """A record of the log as one of an archive.

    Raises `JournalError` for one that no worker has written.
    """
    found: dict[str, Any] = {
        "offset": record.offset,
        "timestamp": record.timestamp,
        "headers": [{"name": name, "value": value} for name, value in record.headers],
        "value": record.value,
    }
    try:
        if record.headers == UNREADABLE_HEADERS:
            raise ValueError("the name of a header is no text")
        if kind == "journal":
            parsed = parse_event_key(record.key)
            if parsed is None:
                raise ValueError(f"its key {record.key!r} is no persist id and seq")
            found["persist_id"], found["seq"] = parsed[0].decode(), parsed[1]
        else:
            if not record.key or record.key.startswith(b"\0"):
                raise ValueError(f"its key {record.key!r} is no persist id")
            found["persist_id"] = record.key.decode()
    except ValueError as error:
        raise JournalError(
            f"the {kind} topic has a foreign record at {record.partition}:{record.offset}: {error}"
        ) from None
    return found


def unpacked(kind: Kind, partition: int, found: dict[str, Any]) -> Record:
    """The inverse of `packed`."""
    key = found["persist_id"].encode()
    if kind == "journal":
        key = event_key(key, found["seq"])
    headers = [(each["name"], each["value"]) for each in found["headers"]]
    return Record(partition, found["offset"], key, found["value"], headers, found["timestamp"])


class FileWriter:
    """Writes one file; `close` makes it complete.  Raises `ArchiveError` for a full disk."""

    def __init__(self, directory: Path, name: str, kind: Kind, partition: int) -> None:
        self.records = 0
        self._directory = directory
        self._path = directory / name
        self._part = directory / f"{name}.part"
        self._kind: Kind = kind
        self._partition = partition
        with writing(self._path):
            self._sink = _Sink(self._part)
            try:
                self._writer = Writer(
                    cast(IO[Any], self._sink),
                    SCHEMAS[kind],
                    codec="deflate",
                    sync_interval=BLOCK_BYTES,
                    compression_level=LEVEL,
                )
            except BaseException:
                self._sink.give_up()
                raise

    @property
    def size(self) -> int:
        """Bytes written so far, but for the last block."""
        return self._sink.size

    def write(self, record: Record) -> None:
        """Adds a record; raises as `packed`, too."""
        found = packed(self._kind, record)
        with writing(self._path):
            self._writer.write(found)
        self.records += 1

    def close(self) -> File:
        """The complete file, safe on the disk."""
        with writing(self._path):
            self._writer.flush()
            self._sink.close()
            self._part.replace(self._path)
            sync_directory(self._directory)
        return File(
            self._path.name,
            self._kind,
            self._partition,
            self.records,
            self._sink.size,
            self._sink.hash.hexdigest(),
        )

    def give_up(self) -> None:
        """Leaves an incomplete file, which the next export writes anew; idempotent."""
        self._sink.give_up()


class _Sink:
    """A file that is written from its beginning to its end, and its checksum."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self.hash = hashlib.sha256()
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        """All of it."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self.hash.update(data)
        self.size += len(data)
        return len(data)

    def seekable(self) -> bool:
        """Nothing is appended to."""
        return False

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def give_up(self) -> None:
        self._file.close()


def read_file(directory: Path, file: File) -> Iterator[Record]:
    """The records of a file, in their order; raises `ArchiveError` where it is damaged."""
    path = directory / file.name
    count = 0
    try:
        with path.open("rb") as opened:
            for found in reader(opened, SCHEMAS[file.kind]):
                yield unpacked(file.kind, file.partition, found)  # type: ignore[arg-type]
                count += 1
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror or error}") from error
    except _FAULTS as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    if count != file.records:
        raise damaged(path, f"it has {count} records, not {file.records}")


def check_file(directory: Path, file: File) -> None:
    """Raises `ArchiveError` for a file that is missing, or is not what was written."""
    path = directory / file.name
    found = hashlib.sha256()
    try:
        with path.open("rb") as opened:
            while part := opened.read(HASH_BYTES):
                found.update(part)
    except FileNotFoundError:
        raise ArchiveError(f"{path} is missing: take another copy of the archive") from None
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror or error}") from error
    if found.hexdigest() != file.sha256:
        raise damaged(path, "its checksum is wrong")
