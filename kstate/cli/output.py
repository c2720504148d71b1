"""How values look: as text for people, as JSON for machines."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

import click

from kstate.query import StoredEvent


def jsonable(value: Any) -> Any:
    """Anything that a codec gives, as JSON has it; dataclasses are objects."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: jsonable(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    from kstate.codec.jsonform import to_jsonable

    return to_jsonable(value)


def as_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(jsonable(value), ensure_ascii=False)


def show(value: Any, as_jsons: bool) -> None:
    """Prints a value: JSON if asked for, else plain text, fields as ``name=value``."""
    click.echo(as_json(value) if as_jsons else plain(value))


def plain(value: Any) -> str:
    """A value for people."""
    found = jsonable(value)
    if isinstance(found, dict):
        return " ".join(f"{name}={plain_field(each)}" for name, each in found.items())
    return plain_field(found)


def plain_field(value: Any) -> str:
    """A value inside a line: texts as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def event_json(stored: StoredEvent) -> dict[str, Any]:
    """An event as a machine wants it."""
    return {
        "persist_id": stored.persist_id,
        "seq": stored.seq,
        "type": stored.type,
        "event": jsonable(stored.event),
        "tags": list(stored.tags),
        "at": stored.at.isoformat(),
        "command_id": stored.command_id,
        "partition": stored.partition,
        "offset": stored.offset,
        "position": stored.position,
    }


def show_event(stored: StoredEvent, as_jsons: bool) -> None:
    """Prints an event as one line."""
    if as_jsons:
        click.echo(json.dumps(event_json(stored), ensure_ascii=False))
        return
    tags = f"  [{', '.join(stored.tags)}]" if stored.tags else ""
    at = stored.at.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    line = f"{stored.persist_id}@{stored.seq}  {at}  {stored.type} {plain(stored.event)}"
    click.echo(line.rstrip() + tags)
