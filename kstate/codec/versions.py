"""Every version of a processor's types: frozen, published, or only in today's code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.differences import differences, field_text
from kstate.codec.schemas import Frozen, frozen, is_reserved_schema
from kstate.codec.writers import fingerprint, parse


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one type."""

    type_name: str
    kind: str | None  # command, event, state or reply; None: no type of today's code
    number: int | None  # None: not frozen
    fingerprint: str  # hexadecimal, as it is in the schemas topic
    path: Path | None  # where it is frozen
    today: bool  # whether it is that of today's code


@dataclass(frozen=True, slots=True)
class Change:
    """What distinguishes today's code from the newest frozen version of a type."""

    type_name: str
    number: int | None  # of the frozen version; None: there is none
    lines: tuple[str, ...]


def versions(codec: AvroCodec, directory: Path, published: Book | None = None) -> list[Version]:
    """By type: the frozen versions in their order, then those that are not frozen."""
    forms = {form.type_name: form for form in codec.forms()}
    kinds: dict[str, str] = {name: form.kind for name, form in forms.items()}
    today = {name: fingerprint(form.schema) for name, form in forms.items()}
    known = [
        entry
        for entry in published or ()
        if entry.kind != "snapshot" and not is_reserved_schema(entry.schema)
    ]
    for entry in known:
        kinds.setdefault(entry.type_name, entry.kind)
    found: dict[tuple[str, bytes], Version] = {}

    def take(name: str, schema: Any, number: int | None = None, path: Path | None = None) -> None:
        mark = fingerprint(schema)
        version = Version(name, kinds.get(name), number, mark.hex(), path, mark == today.get(name))
        found.setdefault((name, mark), version)

    for each in frozen(directory, codec.processor):
        take(each.type_name, each.schema, each.number, each.path)
    for entry in known:
        take(entry.type_name, entry.schema)
    for name, form in forms.items():
        take(name, form.schema)
    return sorted(found.values(), key=lambda v: (v.type_name, v.number or 1_000_000, v.today))


def changes(codec: AvroCodec, directory: Path) -> Iterator[Change]:
    """What a freeze would change: one for each type that differs from its newest version."""
    newest: dict[str, Frozen] = {
        each.type_name: each for each in frozen(directory, codec.processor) if each.newest
    }
    for form in sorted(codec.forms(), key=lambda form: form.type_name):
        before = newest.pop(form.type_name, None)
        if before is not None:
            lines = differences(before.schema, form.schema)
            if lines:
                yield Change(form.type_name, before.number, tuple(lines))
            continue
        written = parse(form.schema)
        schema = written.follow(written.schema)
        fields = schema["fields"] if written.kind(schema) == "record" else ()
        added = tuple(f"+ {field_text(written, item)}" for item in fields)
        yield Change(form.type_name, None, added)
    for name, gone in sorted(newest.items()):
        yield Change(name, gone.number, ("- it is no type of today's code",))
