"""Avro schemas as data: parsing, canonical form, fingerprint, and questions about their types.

A *written* schema is what a record was written with: perhaps long ago, by other code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fastavro.schema
from fastavro.schema import SchemaParseException, UnknownType

from kstate.codec.shapes import MAX_NESTING
from kstate.errors import SchemaError

_KINDS = frozenset(
    {
        "null", "boolean", "int", "long", "float", "double", "bytes", "string",
        "union", "record", "enum", "fixed", "array", "map",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A parsed schema: every name in it full, every definition in ``named``."""

    schema: Any
    named: Mapping[str, Any]

    def follow(self, schema: Any) -> Any:
        """The definition behind a name, or the schema itself."""
        return self.named[schema] if isinstance(schema, str) and schema in self.named else schema

    def kind(self, schema: Any) -> str:
        """``union``, a primitive, or the ``type`` of a complex schema."""
        schema = self.follow(schema)
        if isinstance(schema, list):
            return "union"
        if isinstance(schema, dict):
            inner = schema["type"]
            return inner if isinstance(inner, str) else self.kind(inner)
        return str(schema)

    def logical(self, schema: Any) -> str | None:
        """The logical type, if it stands on the type the specification gives it."""
        schema = self.follow(schema)
        if not isinstance(schema, dict):
            return None
        logical = schema.get("logicalType")
        if not isinstance(logical, str) or self.kind(schema) not in _LOGICAL.get(logical, ()):
            return None
        return None if logical == "decimal" and not _is_decimal(schema) else logical

    def name(self) -> str | None:
        """The full name of the whole schema; None for what has none."""
        schema = self.follow(self.schema)
        return schema.get("name") if isinstance(schema, dict) else None


MAX_JSON_DEPTH = 400
MAX_PRECISION = 10_000


def _is_decimal(schema: Mapping[str, Any]) -> bool:
    """Whether precision and scale make sense; a logical type that does not is to be ignored."""
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    return (
        type(precision) is int
        and type(scale) is int
        and 0 < precision <= MAX_PRECISION
        and 0 <= scale <= precision
    )


_LOGICAL: Mapping[str, tuple[str, ...]] = {
    "timestamp-micros": ("long",),
    "timestamp-millis": ("long",),
    "date": ("int",),
    "uuid": ("string",),
    "decimal": ("bytes", "fixed"),
}


def parse(schema: Any) -> Written:
    """A schema as `Written`; raises `SchemaError` for what is none."""
    _check_depth(schema)
    named: dict[str, Any] = {}
    try:
        parsed = fastavro.schema.parse_schema(schema, named, _write_hint=False)
    except (
        SchemaParseException, UnknownType, KeyError, TypeError, ValueError, AttributeError,
        RecursionError,
    ) as error:  # fmt: skip
        raise SchemaError(f"this is no Avro schema: {type(error).__name__}: {error}") from error
    written = Written(parsed, named)
    _verify(written)
    return written


def _check_depth(schema: Any) -> None:
    """fastavro walks a schema by recursion in C, which ends the process when it is too deep."""
    level = [schema]
    for _ in range(MAX_JSON_DEPTH):
        if not level:
            return
        inner = [each for each in level if isinstance(each, dict | list)]
        level = [part for each in inner
                 for part in (each.values() if isinstance(each, dict) else each)]  # fmt: skip
    raise SchemaError(f"this schema is nested more than {MAX_JSON_DEPTH} deep")


def _verify(written: Written) -> None:
    """Refuses types that only fastavro knows (``error``) and schemas nested beyond reason."""
    waiting = [(written.schema, 0), *((each, 0) for each in written.named.values())]
    seen: set[str] = set()
    while waiting:
        schema, depth = waiting.pop()
        kind = written.kind(schema)
        if kind not in _KINDS:
            raise SchemaError(f"this is no Avro schema: {kind[:80]!r} is no type")
        if depth > MAX_NESTING:
            raise SchemaError(f"arrays and maps are nested more than {MAX_NESTING} deep")
        if kind == "union":
            waiting += ((branch, depth) for branch in schema)
            continue
        schema = written.follow(schema)
        if kind in ("array", "map"):
            waiting.append((schema["items" if kind == "array" else "values"], depth + 1))
        elif kind == "record" and schema["name"] not in seen:
            seen.add(schema["name"])
            waiting += ((item["type"], 0) for item in schema["fields"])


def canonical(schema: Any) -> str:
    """The Parsing Canonical Form; of two schemas, equal if data of one reads as the other."""
    parse(schema)  # the next line is as lenient as a schema can be wrong
    return str(fastavro.schema.to_parsing_canonical_form(schema))


def fingerprint(schema: Any) -> bytes:
    """CRC-64-AVRO (Rabin) of the canonical form: 8 bytes, little-endian, as data carries it."""
    return bytes.fromhex(fastavro.schema.fingerprint(canonical(schema), "CRC-64-AVRO"))


def logical_form(schema: Any) -> str:
    """The canonical form with logical types, precisions and scales, which a fingerprint omits."""
    written = parse(schema)
    parts: list[Any] = []
    _collect(written, written.schema, parts, set())
    return json.dumps(parts)


def _collect(written: Written, schema: Any, parts: list[Any], seen: set[str]) -> None:
    kind = written.kind(schema)
    if kind == "union":
        parts.append([kind, len(schema)])
        for branch in schema:
            _collect(written, branch, parts, seen)
        return
    schema = written.follow(schema)
    detail = schema if isinstance(schema, dict) else {}
    logical = written.logical(schema)
    entry = [kind, detail.get("name"), logical]
    if logical == "decimal":
        entry += [detail.get("precision"), detail.get("scale", 0)]
    parts.append(entry)
    if kind == "array":
        _collect(written, schema["items"], parts, seen)
    elif kind == "map":
        _collect(written, schema["values"], parts, seen)
    elif kind == "record" and schema["name"] not in seen:
        seen.add(schema["name"])
        for item in schema["fields"]:
            _collect(written, item["type"], parts, seen)


MAGIC = b"\xc3\x01"
CONFLUENT_BYTES = 5
"""Bytes before a datum in Confluent's wire format: ``00`` and a schema's id."""


def header(schema: Any) -> bytes:
    """The ten bytes before a datum in single-object encoding."""
    return MAGIC + fingerprint(schema)


def is_confluent(value: bytes | None) -> bool:
    """Whether a value is in Confluent's wire format, or begins like it."""
    return bool(value) and value[0] == 0  # type: ignore[index]
