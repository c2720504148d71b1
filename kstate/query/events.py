"""Journal records as a query finds them, and the events they hold.

What stands in keys and headers is taken from there when it is asked for: a query that reads a
million events pays for what its caller uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kstate.codec.port import Messages
from kstate.core.adapters import Several
from kstate.core.messages import Record
from kstate.core.positions import Skip, format_position
from kstate.core.topics import parse_event_key

DELETED = "kstate.Deleted"
NOTED = "kstate.Noted"

Positions = Mapping[int, int]
"""Per partition, the next offset to read."""
NOWHERE: Positions = {}


class StoredEvent:
    """An event as the journal has it: what a query finds, and then decodes."""

    __slots__ = ("_last", "behind", "event", "key", "part", "record", "seq")

    def __init__(
        self,
        key: bytes,
        seq: int,
        record: Record,
        behind: Positions,
        event: Any = None,
        part: int = 0,
        last: bool = True,
    ) -> None:
        self.key = key
        self.seq = seq
        self.record = record
        self.behind = behind
        """How far a query has read with this record, but for its own partition."""
        self.event = event
        """A dataclass of today's code, or plain data where the code is not at hand; None before it
        was decoded."""
        self.part = part
        """Its place among the events that adapters made of one stored record."""
        self._last = last  # of those

    @property
    def persist_id(self) -> str:
        """Whose event it is."""
        return self.key.decode()

    @property
    def type(self) -> str:
        """The name it was stored under."""
        return _header(self.record, "type").decode(errors="replace")

    @property
    def tags(self) -> tuple[str, ...]:
        """What the adapters tagged it with."""
        headers = self.record.headers
        return tuple((v or b"").decode(errors="replace") for n, v in headers if n == "tag")

    @property
    def command_id(self) -> str:
        """Of the command it came of."""
        return _header(self.record, "command-id").decode(errors="replace")

    @property
    def source(self) -> int:
        """The offset of the command it came of; -1 where nothing tells."""
        digits = _header(self.record, "source").rpartition(b":")[2]
        return int(digits) if digits.isdigit() else -1

    @property
    def at(self) -> datetime:
        """When it was persisted, UTC."""
        return datetime.fromtimestamp(self.record.timestamp / 1000, UTC)

    @property
    def partition(self) -> int:
        """Where in the journal it stands."""
        return self.record.partition

    @property
    def offset(self) -> int:
        """Where in its partition it stands."""
        return self.record.offset

    @property
    def position(self) -> str:
        """Resumes the same query behind this event, elsewhere."""
        record = self.record
        positions = {**self.behind, record.partition: record.offset + 1}
        if self._last:
            return format_position(positions)
        return format_position(positions, Skip(record.offset, self.part + 1), record.partition)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredEvent):
            return NotImplemented
        return (self.record, self.part, self.event) == (other.record, other.part, other.event)

    def __hash__(self) -> int:
        return hash((self.record.partition, self.record.offset, self.part))

    def __repr__(self) -> str:
        return f"<StoredEvent {self.persist_id}@{self.seq} {self.type} {self.event!r}>"


def _header(record: Record, wanted: str) -> bytes:
    """The last header of this name; empty where there is none."""
    found = b""
    for name, value in record.headers:
        if name == wanted:
            found = value or b""
    return found


def event_of(record: Record, behind: Positions = NOWHERE) -> StoredEvent | None:
    """What a journal record is, not decoded; None for a tombstone and for what is no event."""
    parsed = parse_event_key(record[2])
    if parsed is None or record[3] is None:
        return None
    return StoredEvent(parsed[0], parsed[1], record, behind)


def decoded(messages: Messages, matches: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
    """The events of these records; raises `DecodeError`."""
    decode = messages.decode_event
    for match in matches:
        event = decode(match.record[3])
        if type(event) is Several:
            yield from _several(match, event, 0)
        else:
            match.event = event  # most often one record is one event
            yield match


def stored_events(messages: Messages, match: StoredEvent, first: int = 0) -> Iterator[StoredEvent]:
    """The events of one record: one, unless adapters make none or several of it.

    ``first`` is how many of its events were had already.  Raises `DecodeError`.
    """
    event = messages.decode_event(match.record.value)
    if type(event) is Several:
        yield from _several(match, event, first)
    elif not first:
        match.event = event
        yield match


def _several(match: StoredEvent, events: Several, first: int) -> Iterator[StoredEvent]:
    last = len(events) - 1
    for part, event in enumerate(events[first:], first):
        yield StoredEvent(
            match.key, match.seq, match.record, match.behind, event, part, part == last
        )
