"""What an archive says of itself: ``manifest.json``, replaced whenever another file is complete.

While an export is under way it says how far that has come; a complete one says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from kstate.codec.port import SchemaRecord
from kstate.errors import ArchiveError

FORMAT = 1
NAME = "manifest.json"
PART = "manifest.part"
"""A manifest that is being written."""

Kind = Literal["journal", "snapshots"]
KINDS: tuple[Kind, ...] = ("snapshots", "journal")
"""In the order in which an import reads them."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class File:
    """One complete file of an archive."""

    name: str
    kind: Kind
    partition: int  # of the log it comes from
    records: int
    bytes: int
    sha256: str  # hexadecimal


@dataclass(slots=True)
class Reached:
    """How far the export of a partition has come: the next offset of each topic."""

    partition: int
    journal: int = 0
    snapshots: int = 0
    complete: bool = False


@dataclass(slots=True)
class Manifest:
    """See the module."""

    processor: str
    prefix: str
    partitions: int
    topics: dict[str, str]  # journal and snapshots → identity, as `TopicInfo` has it
    created: str  # ISO 8601, UTC
    archive: str = field(default_factory=lambda: uuid.uuid4().hex)  # its own id
    complete: bool = False
    reached: list[Reached] = field(default_factory=list)  # by partition; at the end: end offsets
    files: list[File] = field(default_factory=list)
    schemas: list[tuple[str, str, list[tuple[str, str]]]] = field(default_factory=list)

    def count(self, kind: Kind, partition: int | None = None) -> int:
        """How many records of a kind there are, in a partition or in all."""
        return sum(each.records for each in self.of(kind, partition))

    def of(self, kind: Kind, partition: int | None = None) -> list[File]:
        """The files of a kind, in the order in which they were written."""
        return [
            each for each in self.files if each.kind == kind and partition in (None, each.partition)
        ]

    def schema_records(self) -> list[SchemaRecord]:
        """The schemas, as the schemas topic has them."""
        return [
            SchemaRecord(key.encode(), value.encode(), [(n, v.encode()) for n, v in headers])
            for key, value, headers in self.schemas
        ]

    def keep_schemas(self, records: Sequence[SchemaRecord]) -> None:
        """The inverse of `schema_records`."""
        self.schemas = [
            (key.decode(), value.decode(), [(name, each.decode()) for name, each in headers])
            for key, value, headers in records
        ]

    def save(self, directory: Path) -> None:
        """Replaces the manifest in the directory; raises `ArchiveError`."""
        said = {"format": FORMAT, **asdict(self)}
        text = json.dumps({**said, "checksum": _checksum(said)}, indent=1)
        path = directory / NAME
        with writing(path):
            fresh = directory / PART
            with fresh.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            sync_directory(directory)


def load(directory: Path) -> Manifest | None:
    """The manifest of a directory; None where there is none.

    Raises `ArchiveError` for one that is damaged or of a newer format.
    """
    path = directory / NAME
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise damaged(path, f"it is no JSON ({error})") from error
    number = said.pop("format", None) if isinstance(said, dict) else None
    if not isinstance(number, int):
        raise damaged(path, "it has no format number")
    if number > FORMAT:
        raise ArchiveError(
            f"{directory} was written by a newer kstate (format {number}, this one knows "
            f"{FORMAT}): update kstate"
        )
    checksum = said.pop("checksum", None)
    if checksum != _checksum({"format": number, **said}):
        raise damaged(path, "its checksum is wrong")
    try:
        return Manifest(
            **{
                **said,
                "reached": _each(said["reached"], lambda found: Reached(**found)),
                "files": _each(said["files"], lambda found: File(**found)),
                "schemas": _each(
                    said["schemas"],
                    lambda found: (found[0], found[1], [(n, v) for n, v in found[2]]),
                ),
            }
        )
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise damaged(path, f"it is none of format {number} ({error})") from error


def _each(found: Any, make: Callable[[Any], T]) -> list[T]:
    return [make(each) for each in found]


def _checksum(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def damaged(path: Path, why: str) -> ArchiveError:
    """The error of a file that is not what it was when it was written."""
    return ArchiveError(f"{path} is damaged: {why}; take another copy of the archive")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into `ArchiveError`."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"{path} cannot be written ({error.strerror or error}): once it can be, start the "
            "export again, which goes on behind its last complete file"
        ) from error


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory as lasting as its files; raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
