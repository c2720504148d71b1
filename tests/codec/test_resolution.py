"""Data of yesterday's schema, read by today's type: the rules of Avro's schema resolution."""

from __future__ import annotations

import enum
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import fastavro
import pytest
from codec_samples import Colour, Deposited, Money, bank_codec

from kstate.codec.book import Book
from kstate.codec.decoders import FAULTS, Decoder, compile_decoder
from kstate.codec.derive import Aliases, Scale, shape_of
from kstate.codec.writers import header, parse
from kstate.errors import DecodeError


def decoder(written: Any, today: Any) -> Decoder:
    return compile_decoder(parse(written), shape_of(today, "bank"), "the value")


def written_as(schema: Any, datum: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, datum)
    return out.getvalue()


def resolved(written: Any, datum: Any, today: Any) -> Any:
    found = decoder(written, today)
    assert found.problems == ()
    return found.read(written_as(written, datum), 0)


def record(name: str, **fields: Any) -> dict[str, Any]:
    listed = [{"name": key, "type": value} for key, value in fields.items()]
    return {"type": "record", "name": name, "namespace": "bank", "fields": listed}


@dataclass(frozen=True)
class Event:
    amount: int
    note: str = "none"
    tags: list[str] = field(default_factory=list)
    money: Money = Money(Decimal(1))  # noqa: RUF009 -- frozen
    maybe: int | None = None


def test_fields_are_matched_by_name_not_by_position() -> None:
    written = record("Event", note="string", amount="long")
    assert resolved(written, {"note": "x", "amount": 5}, Event) == Event(5, "x")


def test_a_new_field_takes_its_default() -> None:
    assert resolved(record("Event", amount="long"), {"amount": 5}, Event) == Event(5)


def test_a_default_made_by_a_factory_is_made_anew_each_time() -> None:
    found = decoder(record("Event", amount="long"), Event)
    first, second = found.read(b"\x02", 0), found.read(b"\x02", 0)
    assert first.tags is not second.tags


def test_a_dropped_field_is_read_past() -> None:
    gone = {"type": "array", "items": record("Gone", price={"type": "map", "values": "double"})}
    written = record("Event", gone=gone, amount="long")
    datum = {"gone": [{"price": {"a": 1.5}}], "amount": 5}
    assert resolved(written, datum, Event) == Event(5)


def test_a_dropped_field_may_hold_what_no_python_type_can() -> None:
    date = {"type": "int", "logicalType": "date"}
    found = decoder(record("Event", day=date, amount="long"), Event)
    data = written_as(record("Event", day="int", amount="long"), {"day": 2**31 - 1, "amount": 5})
    assert found.read(data, 0) == Event(5)


def test_a_new_field_without_a_default_is_a_problem_that_names_it() -> None:
    (problem,) = decoder(record("Event", note="string"), Event).problems
    assert problem.path == "Event.amount"
    assert "not in the stored data and has no default" in str(problem)
    assert "give amount a default" in problem.cure


@pytest.mark.parametrize(
    ("written", "today", "datum", "value"),
    [
        ("int", int, 5, 5), ("int", float, 5, 5.0), ("long", float, 5, 5.0),
        ("float", float, 0.5, 0.5), ("string", bytes, "zoë", b"zo\xc3\xab"),
        ("bytes", str, b"zo\xc3\xab", "zoë"),
        ("long", int | None, 5, 5), ("int", str | float, 5, 5.0), ("int", float | int, 5, 5),
        (["null", "long"], int | str | None, None, None), (["long", "string"], str | int, 5, 5),
        ({"type": "array", "items": "int"}, tuple[float, ...], [1, 2], (1.0, 2.0)),
        ({"type": "map", "values": "int"}, Mapping[str, float], {"a": 1}, {"a": 1.0}),
    ],
)  # fmt: skip
def test_a_written_type_is_promoted(written: Any, today: Any, datum: Any, value: Any) -> None:
    found = resolved(written, datum, today)
    assert found == value
    assert type(found) is type(value) or isinstance(found, Mapping)


def test_milliseconds_become_microseconds() -> None:
    import datetime

    written = {"type": "long", "logicalType": "timestamp-millis"}
    found = decoder(written, datetime.datetime).read(b"\x04", 0)
    assert found == datetime.datetime(1970, 1, 1, 0, 0, 0, 2000, datetime.UTC)


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("string", int), ("long", str), ("double", int), ("boolean", int), ("long", bool),
        ("null", int), ("long", list[int]), ({"type": "array", "items": "string"}, list[int]),
        ({"type": "map", "values": "long"}, list[int]), (record("Other"), Money),
        ({"type": "long", "logicalType": "timestamp-micros"}, int),
        ({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4},
         Annotated[Decimal, Scale(2)]),
        ({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2},
         Annotated[Decimal, Scale(2, precision=10)]),
        ("bytes", Annotated[Decimal, Scale(2)]),
        ("long", str | None), (["long", "string"], int),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_resolved_is_a_problem(written: Any, today: Any) -> None:
    (problem,) = decoder(written, today).problems
    assert "now" in problem.reason
    assert problem.cure


def test_a_branch_that_cannot_be_read_fails_only_where_it_was_written() -> None:
    found = decoder(["long", "string"], int)
    assert found.read(b"\x00\x0a", 0) == 5
    with pytest.raises(FAULTS, match="it was string and is long now"):
        found.read(b"\x02\x02x", 0)


COLOURS = {"type": "enum", "name": "Colour", "namespace": "bank"}


def test_enums_are_matched_by_symbol() -> None:
    assert resolved({**COLOURS, "symbols": ["GREEN", "RED"]}, "GREEN", Colour) is Colour.GREEN


def test_a_symbol_that_is_gone_is_a_problem_and_fails_where_it_was_written() -> None:
    found = decoder({**COLOURS, "symbols": ["RED", "BLUE"]}, Colour)
    assert "has no member BLUE any more" in str(found.problems[0])
    assert found.read(b"\x00", 0) is Colour.RED
    with pytest.raises(FAULTS, match="BLUE"):
        found.read(b"\x02", 0)


def test_a_former_name_of_a_field_is_read() -> None:
    @dataclass(frozen=True)
    class Renamed:
        amount: Annotated[int, Aliases("cents", "pence")]

    assert resolved(record("Renamed", pence="long"), {"pence": 5}, Renamed) == Renamed(5)


def test_a_former_name_of_an_event_is_read() -> None:
    @dataclass(frozen=True)
    class MoneyCameIn:
        avro_aliases: ClassVar[tuple[str, ...]] = ("MoneyIn",)
        amount: int

    book = Book()
    old = book.add(record("MoneyIn", amount="long"), "event", "MoneyIn")
    codec = bank_codec(book, folds=(MoneyCameIn,))
    assert codec.decode_event(header(old.schema) + b"\x0a") == MoneyCameIn(5)


def test_a_recursive_type_of_yesterday_is_read() -> None:
    @dataclass(frozen=True)
    class Tree:
        left: Tree | None = None
        weight: int = 1

    written = record("Tree", left=["null", "bank.Tree"])
    shape = shape_of(Tree, "bank", {"Tree": Tree})
    found = compile_decoder(parse(written), shape, "t")
    assert found.read(b"\x02\x02\x00", 0) == Tree(Tree(Tree()))


def test_the_codec_reads_an_old_event_and_makes_its_reader_once() -> None:
    book = Book()
    old = record("Deposited", amount="int", by="string")
    book.add(old, "event", "Deposited")
    codec = bank_codec(book)
    value = header(old) + b"\x0a\x02x"
    assert codec.decode_event(value) == Deposited(5)
    assert codec._events.readers[value[:10]] is codec._events.readers[value[:10]]


def test_the_codec_names_the_type_it_cannot_resolve() -> None:
    book = Book()
    old = record("Deposited", amount="string")
    book.add(old, "event", "Deposited")
    with pytest.raises(DecodeError, match=r"Deposited\.amount: it was string and is long now"):
        bank_codec(book).decode_event(header(old) + b"\x02x")


def test_the_codec_names_an_event_that_today_does_not_know() -> None:
    book = Book()
    old = record("Withdrawn", amount="long")
    book.add(old, "event", "Withdrawn")
    with pytest.raises(DecodeError, match=r"bank\.Withdrawn is no type of bank's events"):
        bank_codec(book).decode_event(header(old) + b"\x02")


def test_an_enum_of_strings_is_matched_by_member_name_not_by_value() -> None:
    class Size(enum.StrEnum):
        S = "small"

    written = {"type": "enum", "name": "Size", "namespace": "bank", "symbols": ["S"]}
    assert resolved(written, "S", Size) is Size.S
