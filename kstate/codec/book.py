"""Every schema known, by fingerprint: those of today's code and those that came with the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kstate.codec.limits import MAX_SCHEMA_BYTES
from kstate.codec.port import SchemaRecord
from kstate.codec.writers import fingerprint, logical_form
from kstate.errors import SchemaError, UnknownSchema


@dataclass(frozen=True, slots=True)
class Entry:
    """One schema: ``kind`` is command, event, state, reply or snapshot."""

    fingerprint: bytes  # 8 bytes, little-endian, as in the data
    schema: Any  # JSON-able
    kind: str
    type_name: str

    @property
    def text(self) -> str:
        """The schema as compact JSON."""
        return json.dumps(self.schema, separators=(",", ":"), ensure_ascii=False)

    def record(self) -> SchemaRecord:
        """The entry as a record of a schemas topic."""
        headers = [("kind", self.kind.encode()), ("type", self.type_name.encode())]
        return SchemaRecord(self.fingerprint.hex().encode(), self.text.encode(), headers)


class Book:
    """Implements `kstate.codec.port.SchemaBook`.

    ``refresh`` is called when data bears an unknown fingerprint; it is to `learn` what the
    schemas topic has by then, and may raise a `LogError`, which passes through.

    A fingerprint covers neither logical types nor precision and scale (Avro specification,
    "Parsing Canonical Form"): of two schemas that differ only there, the first one stays and the
    second is a `SchemaError`, or stored numbers would silently change their meaning.
    """

    def __init__(self, refresh: Callable[[], None] | None = None) -> None:
        self.refresh = refresh
        self._entries: dict[bytes, Entry] = {}
        self._ours: dict[bytes, Entry] = {}
        self._published: set[bytes] = set()

    def add(self, schema: Any, kind: str, type_name: str) -> Entry:
        """Takes in a schema of today's code; raises `SchemaError` if it may not be used."""
        entry = Entry(fingerprint(schema), schema, kind, type_name)
        self._keep(entry)
        return self._ours.setdefault(entry.fingerprint, entry)

    def learn(self, record: SchemaRecord) -> None:
        """Takes over a schema from the topic; one already known under its fingerprint stays.

        Raises `SchemaError` for a record that is no schema, whose key is not its fingerprint, or
        that gives another logical type to a known fingerprint.
        """
        entry = load(record)
        self._keep(entry)
        self._published.add(entry.fingerprint)

    def meet(self, schema: Any, kind: str, type_name: str) -> Entry:
        """Takes in a schema that came with the data from elsewhere than the schemas topic.

        It counts neither as today's nor as published.  Raises `SchemaError` as `add` does.
        """
        entry = Entry(fingerprint(schema), schema, kind, type_name)
        self._keep(entry)
        return self._entries[entry.fingerprint]

    def unpublished(self) -> Sequence[SchemaRecord]:
        """The schemas of today's code that were not learned from the topic."""
        return [
            entry.record()
            for entry in self._ours.values()
            if entry.fingerprint not in self._published
        ]

    def get(self, fingerprint: bytes) -> Entry | None:
        """What is known under a fingerprint now."""
        return self._entries.get(fingerprint)

    def find(self, fingerprint: bytes) -> Entry:
        """Like `get`, after a `refresh` if need be; raises `UnknownSchema`."""
        entry = self._entries.get(fingerprint)
        if entry is None and self.refresh is not None:
            self.refresh()
            entry = self._entries.get(fingerprint)
        if entry is None:
            raise UnknownSchema(fingerprint)
        return entry

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def _keep(self, entry: Entry) -> None:
        known = self._entries.setdefault(entry.fingerprint, entry)
        if known is not entry:
            check_same_meaning(known.schema, entry.schema, entry.type_name)


def check_same_meaning(known: Any, schema: Any, type_name: str) -> None:
    """Raises `SchemaError` if two schemas of one fingerprint read the same bytes differently."""
    if known != schema and logical_form(known) != logical_form(schema):
        raise SchemaError(
            f"{type_name} has the fingerprint of a schema that was used before and differs from "
            "it in a logical type, a precision or a scale: stored values would change their "
            "meaning; keep the old one and add a field of another name"
        )


def load(record: SchemaRecord) -> Entry:
    """A record of a schemas topic as an entry; the inverse of `Entry.record`."""
    headers = dict(record.headers)
    where = f"the schema record {record.key[:32]!r}"
    if len(record.value) > MAX_SCHEMA_BYTES:
        raise SchemaError(
            f"{where} has {len(record.value):,} bytes, more than {MAX_SCHEMA_BYTES:,} "
            "(MAX_SCHEMA_BYTES)"
        )
    try:
        schema = json.loads(record.value)
        kind, type_name = ((headers.get(n) or b"").decode() for n in ("kind", "type"))
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{where} is no JSON text: {error}") from error
    found = fingerprint(schema)
    if record.key != found.hex().encode():
        raise SchemaError(f"{where} holds the schema of fingerprint {found.hex()}")
    return Entry(found, schema, kind, type_name)
