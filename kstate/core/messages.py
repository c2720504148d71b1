"""The values that travel between the log, the core and the codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

R = TypeVar("R")

Headers = list[tuple[str, bytes]]
"""Record headers in order; a name may repeat."""

MAX_COMMAND_ID_BYTES = 256

UNREADABLE = "kstate-unreadable-headers"
UNREADABLE_HEADERS: Headers = [(UNREADABLE, b"1")]
"""What a log delivers instead of headers of which a name is no text."""


class Record(NamedTuple):
    """One record as a log delivers it; the reader knows which topic it asked for."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int  # milliseconds since the epoch


class Write(NamedTuple):
    """One record to be written; ``partition=None`` lets the log take murmur2(key) mod N."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int  # milliseconds since the epoch


WriteRow = tuple[str, int | None, bytes | None, bytes | None, Headers, int]
"""The fields of a `Write`, which is one of these: whoever writes takes them by their places.

For the hot path: to make a named tuple and to free it takes five times as long as a bare one.
"""

new_record: Callable[[tuple[Any, ...]], Record] = partial(tuple.__new__, Record)
"""From a tuple of the fields, unchecked: a third cheaper, for the hot path alone."""


class Command(Generic[R]):
    """Base of every command; ``R`` is the type of its reply.

    >>> @dataclass(frozen=True)
    ... class Deposit(Command[int]):
    ...     amount: int
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class GetState(Command[Any]):
    """Reserved command: the owner answers with the entity's state; persists nothing."""


@dataclass(frozen=True, slots=True)
class Erase(Command[int]):
    """Reserved command: the owner removes an entity's past; the reply is the seq it reaches to.

    What takes more tombstones than a batch may have goes on with another command, which has
    ``upto``: of the past up to that seq what is left is removed, and the state is let alone.
    """

    upto: int = 0  # 0: all events there are, and the state
    asked: str = ""  # the id of the command that began it: the reply bears it

    def __post_init__(self) -> None:
        if self.upto < 0 or len(self.asked.encode()) > MAX_COMMAND_ID_BYTES:
            raise ValueError(
                "an erasure goes on up to a seq, for a command id of at most 256 bytes"
            )


@dataclass(frozen=True, slots=True)
class Rebuild(Command[int]):
    """Reserved command without a persist id, to a partition: its owner folds every state anew.

    The reply is how many snapshots it wrote.
    """


@dataclass(frozen=True, slots=True)
class Noted:
    """Reserved event of a command that only sent: it makes the command count as executed."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Reserved event: the entity's state starts anew after it; seqs go on."""


RESERVED_EVENTS: tuple[type, ...] = (Noted, Deleted)
RESERVED_COMMANDS: tuple[type, ...] = (GetState, Erase, Rebuild)
RESERVED_NAMESPACE = "kstate"
"""Avro namespace of the reserved types; no processor may bear this name."""


Recent = tuple[int, int, bytes | None]
"""What an entity remembers of a command it executed, to answer a duplicate: the seq of its last
event; when it ran, in milliseconds since the epoch; and its reply, encoded.

``b""`` is the reply None, and None is one that is not kept (too large, or a cast's).  Bare for the
same reason as `WriteRow`.
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The snapshot envelope: an entity as of ``seq``.

    ``journal_offset`` is a lower bound of the offset of the first event after it.  ``recent`` maps
    16-byte hashes of command ids to what is remembered of them, oldest first.  Events up to
    ``removed`` have tombstones in the journal.  After ``erased`` the state began anew: what came
    before was erased.
    """

    seq: int
    state: Any  # None when deleted
    version: int  # the processor's snapshot_version
    journal_offset: int
    at: int  # milliseconds since the epoch
    deleted: bool
    recent: Mapping[bytes, Recent]
    removed: int = 0
    erased: int = 0


class Progress(NamedTuple):
    """What each transaction commits for a partition beside the records themselves.

    ``offset`` is the next command to run; the rest travels as the commit's metadata.
    """

    offset: int
    low_water: int  # the oldest journal offset that no snapshot covers yet
    source: int  # command offset of the newest event, -1 when there is none
    entities: int  # persist ids with at least one event

    def metadata(self, instance: str) -> str:
        """The progress and the writer's instance id, as text for the log's commit metadata."""
        return f"1;{self.low_water};{self.source};{self.entities};{instance}"

    def note(self) -> bytes:
        """The progress as the value of a checkpoint record."""
        return b"1;%d;%d;%d;%d" % self

    @classmethod
    def parse_note(cls, value: bytes) -> Progress | None:
        """The inverse of `note`; None for bytes that this code did not write."""
        version, *fields = value.split(b";")
        if version != b"1" or len(fields) != 4:
            return None
        try:
            return cls(*map(int, fields))
        except ValueError:
            return None

    @classmethod
    def parse(cls, offset: int, metadata: str) -> tuple[Progress, str] | None:
        """The inverse of `metadata`; None for text that this code did not write."""
        version, _, rest = metadata.partition(";")
        fields = rest.split(";", 3)
        if version != "1" or len(fields) != 4:
            return None
        try:
            low_water, source, entities = (int(field) for field in fields[:3])
        except ValueError:
            return None
        return cls(offset, low_water, source, entities), fields[3]


class ImportMark(NamedTuple):
    """What stands in the place of `Progress` while a journal is imported: no worker may run."""

    offset: int  # the next command to run, once it has come to its end
    archive: str  # the id of what is imported
    position: int  # records of the archive that were taken in
    low_water: int  # the oldest journal offset that no snapshot covers yet, -1: none so far
    entities: int

    def metadata(self) -> str:
        """As text for the log's commit metadata."""
        return f"import;{self.archive};{self.position};{self.low_water};{self.entities}"

    def note(self) -> bytes:
        """As the value of a checkpoint record."""
        return f"{self.metadata()};{self.offset}".encode()

    @classmethod
    def parse(cls, offset: int, metadata: str) -> ImportMark | None:
        """The inverse of `metadata`; None for other text."""
        name, *fields = metadata.split(";")
        if name != "import" or len(fields) != 4:
            return None
        try:
            return cls(offset, fields[0], *map(int, fields[1:]))
        except ValueError:
            return None

    @classmethod
    def parse_note(cls, value: bytes) -> ImportMark | None:
        """The inverse of `note`; None for other bytes."""
        metadata, _, offset = value.decode(errors="replace").rpartition(";")
        return cls.parse(int(offset), metadata) if offset.isdecimal() else None
