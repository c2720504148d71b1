"""The kinds of change that the matrix of docs/schema-evolution.md is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

from pyrsistent import PVector, pvector

from kstate import Aliases, EventAdapter, Scale, SnapshotAdapter, Stored


@dataclass(frozen=True)
class Version:
    """A type as it was, or is: its fields, its name, and the values of one instance."""

    fields: tuple[Any, ...]
    values: Mapping[str, Any]
    name: str = "Entry"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def made(self, *bases: Any) -> type:
        """The class."""
        return make_dataclass(
            self.name, self.fields, bases=bases, namespace=dict(self.extra), frozen=True
        )


@dataclass(frozen=True)
class Change:
    """One kind of change; ``adapters`` belong to today's code, ``more`` to the old one: further
    types that become the new one."""

    title: str
    old: Version
    new: Version
    adapters: tuple[Any, ...] = ()
    more: tuple[Version, ...] = ()


def one(kind: Any, value: Any, *default: Any) -> Version:
    """A type with the one field ``x``."""
    return Version((("x", kind, *default),), {"x": value})


def entry(*fields: Any, **values: Any) -> Version:
    return Version(fields, values)


AMOUNT_ONLY = ("amount", int)
AMOUNT = entry(AMOUNT_ONLY, amount=5)


def line(*fields: Any, called: str = "Line", **extra: Any) -> Any:
    return make_dataclass(called, fields, namespace=extra, frozen=True)


OLD_LINE, NEW_LINE = line(("n", int)), line(("n", int), ("note", str, "none"))
ROW = line(("n", int), called="Row")
ROW_ONCE_LINE = line(("n", int), called="Row", avro_aliases=("Line",))


def colours(*names: str, called: str = "Colour", **extra: Any) -> Any:
    class Colour(Enum):
        locals().update({f"__avro_{name}__": value for name, value in extra.items()})
        locals().update({name: number for number, name in enumerate(names)})

    Colour.__name__ = called
    return Colour


RED_GREEN, RED = colours("RED", "GREEN"), colours("RED")
RED_OR_ELSE = colours("RED", "OTHER", default="OTHER")
MORE = colours("RED", "GREEN", "BLUE")
COLOR = colours("RED", "GREEN", called="Color")
ONCE_COLOR = colours("RED", "GREEN", aliases=("Color",))


class Upcast(EventAdapter):
    """Of an ``Entry`` in cents one in units."""

    reads = ("Entry",)

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        yield (
            stored
            if "units" in stored.data
            else Stored("Entry", {"units": str(stored.data["cents"] // 100)})
        )


class Split(EventAdapter):
    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        for cents in (stored.data["cents"] - 1, 1) if "cents" in stored.data else ():
            yield Stored("Entry", {"units": str(cents)})


class Merge(EventAdapter):
    """Of a ``Record`` and of a ``Refund`` an ``Entry``."""

    reads = ("Record", "Refund")

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        sign = -1 if stored.name == "Refund" else 1
        yield Stored("Entry", {"units": str(sign * stored.data["cents"] // 100)})


class Drop(EventAdapter):
    reads = ("Record",)

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        return ()


class UpcastState(SnapshotAdapter):
    reads = ("Entry", "Record")

    def from_snapshot(self, stored: Stored) -> Stored:
        return Stored("Entry", {"units": str(stored.data["cents"] // 100)})


CENTS = entry(("cents", int), cents=500)
UNITS = entry(("units", str), units="6")
RECORD = Version((("cents", int),), {"cents": 500}, "Record")
REFUND = Version((("cents", int),), {"cents": 200}, "Refund")

CHANGES = [
    Change("the class moves to another module", AMOUNT, Version(
        AMOUNT.fields, {"amount": 6}, extra={"__module__": "elsewhere"})),
    Change("fields change places", entry(("a", int), ("b", str), a=1, b="x"),
           entry(("b", str), ("a", int), a=2, b="y")),
    Change("a field comes, with a default", AMOUNT,
           entry(("amount", int), ("note", str, "none"), amount=6)),
    Change("a field comes, without a default", AMOUNT,
           entry(("amount", int), ("note", str), amount=6, note="")),
    Change("the default of a field changes", entry(AMOUNT_ONLY, ("note", str, "none"), amount=5),
           entry(AMOUNT_ONLY, ("note", str, "other"), amount=6)),
    Change("a field goes", entry(("amount", int), ("note", str), amount=5, note="x"),
           entry(("amount", int), amount=6)),
    Change("a field is renamed, with `Aliases`", CENTS,
           entry(("amount", Annotated[int, Aliases("cents")]), amount=6)),
    Change("a field is renamed, without `Aliases`", CENTS, entry(("amount", int), amount=6)),
    Change("a field with a default is renamed, without `Aliases`", CENTS,
           entry(("amount", int, 0), amount=6)),
    Change("the class is renamed, with `avro_aliases`", RECORD, Version(
        RECORD.fields, {"cents": 600}, extra={"avro_aliases": ("Record",)})),
    Change("the class is renamed or removed", RECORD, Version(RECORD.fields, {"cents": 600})),
    Change("`int` becomes `float`", one(int, 5), one(float, 6.0)),
    Change("`float` becomes `int`", one(float, 5.0), one(int, 6)),
    Change("`str` becomes `bytes`", one(str, "x"), one(bytes, b"y")),
    Change("`bytes` becomes `str`", one(bytes, b"x"), one(str, "y")),
    Change("`int` becomes `str`", one(int, 5), one(str, "6")),
    Change("a field becomes optional", one(int, 5), one(int | None, 6)),
    Change("a field is no longer optional", one(int | None, 5), one(int, 6)),
    Change("a union gets another branch", one(int | str, 5), one(int | str | bytes, 6)),
    Change("a union loses a branch", one(int | str, 5), one(int | None, 6)),
    Change("a tuple becomes a persistent vector", one(tuple[int, ...], (5,)),
           one(PVector[int], pvector([6]))),
    Change("one becomes many", one(int, 5), one(tuple[int, ...], (6,))),
    Change("a record inside gets a field with a default", one(OLD_LINE, OLD_LINE(5)),
           one(NEW_LINE, NEW_LINE(6))),
    Change("a record inside is renamed, with `avro_aliases`", one(OLD_LINE, OLD_LINE(5)),
           one(ROW_ONCE_LINE, ROW_ONCE_LINE(6))),
    Change("a record inside is renamed, without `avro_aliases`", one(OLD_LINE, OLD_LINE(5)),
           one(ROW, ROW(6))),
    Change("an Enum gets a member", one(RED_GREEN, RED_GREEN.GREEN), one(MORE, MORE.RED)),
    Change("an Enum loses a member", one(RED_GREEN, RED_GREEN.GREEN), one(RED, RED.RED)),
    Change("an Enum with `__avro_default__` loses a member", one(RED_GREEN, RED_GREEN.GREEN),
           one(RED_OR_ELSE, RED_OR_ELSE.RED)),
    Change("an Enum is renamed, with `__avro_aliases__`", one(COLOR, COLOR.GREEN),
           one(ONCE_COLOR, ONCE_COLOR.RED)),
    Change("an Enum is renamed, without `__avro_aliases__`", one(COLOR, COLOR.GREEN),
           one(RED_GREEN, RED_GREEN.RED)),
    Change("a Decimal gets another scale", one(Annotated[Decimal, Scale(2)], Decimal("0.50")),
           one(Annotated[Decimal, Scale(4)], Decimal("0.6"))),
    Change("a Decimal gets another precision", one(Annotated[Decimal, Scale(2)], Decimal("0.50")),
           one(Annotated[Decimal, Scale(2, precision=10)], Decimal("0.60"))),
    Change("`int` becomes `datetime`", one(int, 5),
           one(datetime, datetime(2024, 5, 1, tzinfo=UTC))),
    Change("another type, through adapters", CENTS, UNITS, (Upcast(), UpcastState())),
    Change("one event becomes two, through an adapter", CENTS, UNITS, (Split(),)),
    Change("two events become one, through an adapter", RECORD, UNITS, (Merge(), UpcastState()),
           more=(REFUND,)),
    Change("an event is dropped, through an adapter", RECORD, UNITS, (Drop(), UpcastState())),
]  # fmt: skip
