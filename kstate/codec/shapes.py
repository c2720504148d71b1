"""What an annotation comes to: a small tree that knows its Avro schema.

`kstate.codec.derive` builds shapes from annotations; encoders and decoders are generated from
them.  A shape says more than a schema does (which class, which container), and a schema is
rendered from it.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
MICROSECOND = datetime.timedelta(microseconds=1)

MAX_NESTING = 8
"""How many lists and maps may lie in one another without a record between: Python takes no more
than 20 loops in one function, and a decoder has two for each."""

Base = Literal["null", "boolean", "long", "double", "string", "bytes"]

BASE_TYPES: dict[Base, type] = {
    "null": type(None), "boolean": bool, "long": int, "double": float, "string": str,
    "bytes": bytes,
}  # fmt: skip


class Shape:
    """Base of the tree."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Plain(Shape):
    """A primitive: None, bool, int, float, str or bytes."""

    base: Base


@dataclass(frozen=True, slots=True)
class Choice(Shape):
    """A ``Literal`` of strings."""

    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stamp(Shape):
    """An aware datetime: timestamp-micros; reads back in UTC."""


@dataclass(frozen=True, slots=True)
class Day(Shape):
    """A date."""


@dataclass(frozen=True, slots=True)
class Uuid(Shape):
    """A UUID, as its 36 characters."""


@dataclass(frozen=True, slots=True)
class Scaled(Shape):
    """A Decimal of a fixed scale."""

    scale: int
    precision: int


@dataclass(frozen=True, slots=True, eq=False)
class Enumerated(Shape):
    """An Enum; a symbol is a member's name."""

    cls: type[enum.Enum]
    name: str  # full name
    members: tuple[enum.Enum, ...]
    default: enum.Enum | None = None  # what a symbol becomes that today's class does not have
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Array(Shape):
    """A list, tuple or pyrsistent vector."""

    item: Shape
    container: Literal["list", "tuple", "pvector"]


@dataclass(frozen=True, slots=True)
class Table(Shape):
    """A mapping of strings."""

    value: Shape
    container: Literal["dict", "mapping", "immutables", "pmap"]


@dataclass(frozen=True, slots=True)
class Union(Shape):
    """One of several; the order is the schema's."""

    branches: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Default:
    """A field's default: ``make`` gives it anew, ``json`` is its form in a schema."""

    make: Callable[[], Any]
    constant: bool  # make() always gives one and the same object
    json: Any


@dataclass(slots=True, eq=False)
class Field:
    """A field of a record; shape and default are settled at the end of a derivation."""

    name: str
    shape: Shape
    default: Default | None = None
    aliases: tuple[str, ...] = ()
    keyword: bool = False  # the constructor takes it by keyword only


@dataclass(slots=True, eq=False)
class Record(Shape):
    """A frozen dataclass."""

    cls: type
    name: str  # full name
    fields: list[Field] = field(default_factory=list)
    aliases: tuple[str, ...] = ()


def endless(shape: Shape) -> frozenset[str]:
    """The full names of the records that can nest without end, or that hold one that can."""
    reach: dict[str, set[str]] = {}

    def visit(part: Shape, above: tuple[str, ...]) -> None:
        match part:
            case Array(inner) | Table(inner):
                visit(inner, above)
            case Union(branches):
                for branch in branches:
                    visit(branch, above)
            case Record():
                for name in above:
                    reach[name].add(part.name)
                if part.name in reach:
                    return
                reach[part.name] = set()
                for item in part.fields:
                    visit(item.shape, (*above, part.name))

    visit(shape, ())
    return frozenset(reach.keys() - set(peel(reach)))


def peel(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """The nodes of a graph from which no cycle can be reached, each after all it leads to."""
    open_, sources = {name: len(set(those)) for name, those in edges.items()}, _reversed(edges)
    order = [name for name, count in open_.items() if not count]
    for name in order:  # grows
        for source in sources.get(name, ()):
            open_[source] -= 1
            if not open_[source]:
                order.append(source)
    return order


def _reversed(edges: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, those in edges.items():
        for each in set(those):
            found.setdefault(each, []).append(name)
    return found


REFUSED = Choice(())
"""Stands where an annotation was refused, until the derivation ends in its mistakes."""


def is_whole(shape: Shape, seen: frozenset[str] = frozenset()) -> bool:
    """Whether no part of the shape was refused."""
    match shape:
        case Array(inner) | Table(inner):
            return is_whole(inner, seen)
        case Union(branches):
            return all(is_whole(branch, seen) for branch in branches)
        case Record() if shape.name not in seen:
            return all(is_whole(item.shape, seen | {shape.name}) for item in shape.fields)
    return shape is not REFUSED


def base_type(shape: Shape) -> str:
    """The Avro type under the shape: what two branches of a union may not share."""
    match shape:
        case Plain(base):
            return base
        case Choice() | Uuid():
            return "string"
        case Stamp():
            return "long"
        case Day():
            return "int"
        case Scaled():
            return "bytes"
        case Enumerated() | Record():
            return shape.name
        case Array():
            return "array"
        case Table():
            return "map"
    return "union"


def schema_of(shape: Shape, seen: set[str] | None = None) -> Any:
    """The Avro schema, JSON-able; a named type is spelt out where it first occurs."""
    seen = set() if seen is None else seen
    match shape:
        case Plain(base):
            return base
        case Choice():
            return "string"
        case Stamp():
            return {"type": "long", "logicalType": "timestamp-micros"}
        case Day():
            return {"type": "int", "logicalType": "date"}
        case Uuid():
            return {"type": "string", "logicalType": "uuid"}
        case Scaled(scale, precision):
            logical = {"logicalType": "decimal", "precision": precision, "scale": scale}
            return {"type": "bytes", **logical}
        case Array(item):
            return {"type": "array", "items": schema_of(item, seen)}
        case Table(value):
            return {"type": "map", "values": schema_of(value, seen)}
        case Union(branches):
            return [schema_of(branch, seen) for branch in branches]
        case Enumerated() | Record():
            if shape.name in seen:
                return shape.name
            seen.add(shape.name)
            return _named(shape, seen)
    raise AssertionError(shape)


def _named(shape: Enumerated | Record, seen: set[str]) -> dict[str, Any]:
    namespace, _, name = shape.name.rpartition(".")
    if isinstance(shape, Enumerated):
        symbols = [member.name for member in shape.members]
        kind: dict[str, Any] = {"type": "enum", "name": name, "namespace": namespace}
        if shape.aliases:
            kind["aliases"] = list(shape.aliases)
        return kind | {"symbols": symbols} | _enum_default(shape)
    schema: dict[str, Any] = {"type": "record", "name": name, "namespace": namespace}
    if shape.aliases:
        schema["aliases"] = list(shape.aliases)
    fields = schema["fields"] = []
    for item in shape.fields:
        entry: dict[str, Any] = {"name": item.name, "type": schema_of(item.shape, seen)}
        if item.default is not None:
            entry["default"] = item.default.json
        if item.aliases:
            entry["aliases"] = list(item.aliases)
        fields.append(entry)
    return schema


def _enum_default(shape: Enumerated) -> dict[str, str]:
    return {} if shape.default is None else {"default": shape.default.name}


def takes_no_bytes(shape: Shape, inside: frozenset[str] = frozenset()) -> bool:
    """Whether a value can be encoded in zero bytes: a list of such has no bound in its size."""
    if isinstance(shape, Record):
        if shape.name in inside:
            return True
        inner = inside | {shape.name}
        return all(takes_no_bytes(item.shape, inner) for item in shape.fields)
    return shape == Plain("null")


def exact_types(shape: Shape) -> tuple[type, ...]:
    """The types of value a shape takes; no subclass of them, as it would come back as its base."""
    match shape:
        case Plain(base):
            return (BASE_TYPES[base],)
        case Choice():
            return (str,)
        case Stamp():
            return (datetime.datetime,)
        case Day():
            return (datetime.date,)
        case Uuid():
            return (uuid.UUID,)
        case Scaled():
            return (decimal.Decimal,)
        case Enumerated() | Record():
            return (shape.cls,)
        case Array(_, container):
            return array_types(container)
        case Table(_, container):
            return table_types(container)
        case Union(branches):
            return tuple(cls for branch in branches for cls in exact_types(branch))
    raise AssertionError(shape)


def array_types(container: str) -> tuple[type, ...]:
    """The exact types of value an array shape takes."""
    if container == "pvector":
        import pyrsistent  # optional: imported only for an annotation that names it

        return (type(pyrsistent.pvector()),)
    return (list,) if container == "list" else (tuple,)


def table_types(container: str) -> tuple[type, ...]:
    """The exact types of value a table shape takes."""
    if container == "immutables":
        import immutables  # optional, like pyrsistent

        return (immutables.Map,)
    if container == "pmap":
        import pyrsistent

        return (type(pyrsistent.pmap()),)
    return (dict,) if container == "dict" else (dict, MappingProxyType)


def decimal_context(precision: int) -> decimal.Context:
    """Arithmetic that never rounds: it raises instead, whatever the caller's own context says."""
    return decimal.Context(prec=precision, traps=[decimal.Inexact, decimal.InvalidOperation])


def quantum(scale: int) -> decimal.Decimal:
    """The smallest step of a scale: 0.01 for 2."""
    return decimal.Decimal((0, (1,), -scale))
