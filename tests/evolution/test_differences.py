"""What ``kstate schema diff`` says of two versions of a type."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar

import pytest

from kstate.codec.derive import Aliases, Scale, derive
from kstate.codec.differences import differences


def schema(*fields: Any, name: str = "Event") -> Any:
    return derive(make_dataclass(name, fields, frozen=True), "bank")


OLD = schema(("cents", int), ("note", str, ""))


def test_a_type_that_is_the_same_has_no_differences() -> None:
    assert differences(OLD, OLD) == []


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        (schema(("cents", int), ("note", str, ""), ("by", str, "me")), ['+ by: string = "me"']),
        (schema(("cents", int)), ['- note: string = ""']),
        (schema(("cents", float), ("note", str, "")), ["~ cents: long → double"]),
        (schema(("cents", int | None), ("note", str, "")), ["~ cents: long → long or null"]),
        (schema(("cents", int), ("note", str, "-")), ['~ note: default "" → "-"']),
        (schema(("cents", int), ("note", str)), ['~ note: default "" → none']),
        (
            schema(("amount", Annotated[int, Aliases("cents")]), ("note", str, "")),
            ["~ cents → amount"],
        ),
        (schema(("cents", int), ("note", str, ""), name="Happening"), ["~ Event → Happening"]),
        (
            schema(("cents", Annotated[Decimal, Scale(2)]), ("note", str, "")),
            ["~ cents: long → decimal(38, 2)"],
        ),
        (schema(("cents", list[int]), ("note", str, "")), ["~ cents: long → list of long"]),
    ],
)
def test_each_change_is_a_line(new: Any, lines: list[str]) -> None:
    assert differences(OLD, new) == lines


def lines_with(*fields: Any) -> Any:
    line = make_dataclass("Line", fields, frozen=True)
    return schema(("lines", tuple[line, ...]), ("first", line))


def test_a_field_of_a_record_inside_is_named_with_its_path_and_once() -> None:
    before = lines_with(("price", int))
    assert differences(before, lines_with(("price", float))) == ["~ lines[…].price: long → double"]
    assert differences(before, lines_with(("price", int), ("count", int, 1))) == [
        "+ lines[…].count: long = 1"
    ]


def test_symbols_of_an_enum_come_and_go() -> None:
    def coloured(*names: str) -> Any:
        return schema(("colour", Enum("Colour", names)))

    assert differences(coloured("RED", "GREEN"), coloured("RED", "BLUE")) == [
        "+ colour: BLUE", "- colour: GREEN",
    ]  # fmt: skip


def test_a_type_that_holds_itself_is_walked_once() -> None:
    @dataclass(frozen=True)
    class Node:
        avro_aliases: ClassVar[tuple[str, ...]] = ("Tree",)
        value: int
        next: Node | None = None

    made = derive(Node, "bank", {"Node": Node})
    assert differences(made, made) == []
