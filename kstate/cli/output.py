"""How values look: as text for people, as JSON for machines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from kstate.cli.errors import written
from kstate.codec.jsonform import to_jsonable
from kstate.query.events import StoredEvent

_BARE = re.compile(r"[^\s\"=\[\]{},\x00-\x1f\x7f-\x9f]+")
"""Texts that need no quotes inside a line."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal might obey; tabs and line ends are harmless."""


def jsonable(value: Any) -> Any:
    """Anything that a codec gives, as `json.dumps` takes it.

    Dataclasses are objects, enum members their names; the rest as `kstate.codec.jsonform` has it.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: jsonable(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [jsonable(each) for each in value]
    return to_jsonable(value)


def as_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(jsonable(value), ensure_ascii=False)


def plain(value: Any) -> str:
    """A value for people: the fields of a record as ``name=value``, a text as it is."""
    found = jsonable(value)
    if isinstance(found, dict):
        return " ".join(f"{name}={_field(each)}" for name, each in found.items())
    if isinstance(found, str) and not _CONTROL.search(found):
        return found
    return json.dumps(found, ensure_ascii=False)


def _field(value: Any) -> str:
    """A value inside a line: plain words as they are, the rest as JSON."""
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def show(value: Any, as_jsons: bool) -> None:
    """Prints one value: JSON if asked for, else plain text."""
    line(as_json(value) if as_jsons else plain(value), at_once=True)


def line(text: str, at_once: bool = False) -> None:
    """Prints one of many lines; ``at_once`` for what somebody waits for, else it is buffered.

    Raises `OutputLost`.
    """
    with written():
        sys.stdout.write(f"{text}\n")
        if at_once:
            sys.stdout.flush()


def moment(at: datetime) -> str:
    """A time in UTC, as ``--since`` takes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_fields(stored: StoredEvent) -> dict[str, Any]:
    """An event as a machine wants it."""
    return {
        "persist_id": stored.persist_id,
        "seq": stored.seq,
        "type": stored.type,
        "event": stored.event,
        "tags": stored.tags,
        "at": moment(stored.at),
        "command_id": stored.command_id,
        "partition": stored.partition,
        "offset": stored.offset,
        "position": stored.position,
    }


def event_line(stored: StoredEvent, as_jsons: bool) -> str:
    """An event as one line."""
    if as_jsons:
        return as_json(event_fields(stored))
    tags = f"  [{', '.join(stored.tags)}]" if stored.tags else ""
    text = f"{stored.persist_id}@{stored.seq}  {moment(stored.at)}  {stored.type} "
    return f"{text}{plain(stored.event)}".rstrip() + tags
