"""Journal records as a query finds them, and the events they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kstate.codec.port import Messages
from kstate.core.adapters import Several
from kstate.core.messages import Record
from kstate.core.positions import Skip, format_position
from kstate.core.topics import parse_event_key

DELETED = "kstate.Deleted"
NOTED = "kstate.Noted"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the journal has it."""

    persist_id: str
    seq: int
    type: str  # the name it was stored under
    event: Any  # a dataclass of today's code, or plain data where the code is not at hand
    tags: tuple[str, ...]
    at: datetime  # UTC
    command_id: str
    partition: int
    offset: int
    position: str  # resumes the same query behind this event, elsewhere
    part: int = 0  # its place among the events that adapters made of one stored record


class Match(NamedTuple):
    """A journal record and what stands in its key and headers; its value is not decoded."""

    key: bytes
    seq: int
    type: str
    tags: tuple[str, ...]
    command_id: str
    source: int  # offset of the command it came of; -1 where nothing tells
    record: Record


def match_of(record: Record) -> Match | None:
    """What a journal record is; None for a tombstone and for a record that is no event."""
    parsed = parse_event_key(record.key)
    if parsed is None or record.value is None:
        return None
    kind = command_id = ""
    source = -1
    tags: tuple[str, ...] = ()
    for name, value in record.headers:
        if name == "type":
            kind = (value or b"").decode(errors="replace")
        elif name == "tag":
            tags = (*tags, (value or b"").decode(errors="replace"))
        elif name == "command-id":
            command_id = (value or b"").decode(errors="replace")
        elif name == "source":
            digits = (value or b"").rpartition(b":")[2]
            source = int(digits) if digits.isdigit() else -1
    return Match(parsed[0], parsed[1], kind, tags, command_id, source, record)


def stored_events(
    messages: Messages, match: Match, positions: Mapping[int, int], first: int = 0
) -> Iterator[StoredEvent]:
    """The events of a record: one, unless adapters make none or several of it.

    ``positions`` are those behind the record, per partition; ``first`` is how many of its events
    were had already.  Raises `DecodeError`.
    """
    record = match.record
    decoded = messages.decode_event(record.value)
    events = decoded if type(decoded) is Several else (decoded,)
    for part, event in enumerate(events[first:], first):
        position = format_position(positions)
        if part + 1 < len(events):
            position = format_position(positions, Skip(record.offset, part + 1), record.partition)
        yield StoredEvent(
            persist_id=match.key.decode(),
            seq=match.seq,
            type=match.type,
            event=event,
            tags=match.tags,
            at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
            command_id=match.command_id,
            partition=record.partition,
            offset=record.offset,
            position=position,
            part=part,
        )
