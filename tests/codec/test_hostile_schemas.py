"""Schemas made to harm: refused before any code is generated, by a limit that has a name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codec_samples import Deposit, Deposited, bank_codec

from kstate.codec import limits, wire
from kstate.codec.book import Book
from kstate.codec.decoders import Decoder, compile_decoder
from kstate.codec.derive import shape_of
from kstate.codec.generic import decode_datum
from kstate.codec.scalars import GENERIC
from kstate.codec.shapes import schema_of
from kstate.codec.wire import Malformed
from kstate.codec.writers import header, parse
from kstate.errors import BadCommand, DecodeError, SchemaError


def record(name: str, *types: Any) -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def table(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def fixed(size: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": "F", "size": size}


def enum(symbols: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": symbols}


def doubled(levels: int, leaf: str) -> Any:
    """Each record holds two of the next: the number of values doubles with each level."""
    schema = record(f"D{levels}", leaf)
    for level in range(levels - 1, -1, -1):
        schema = record(f"D{level}", schema, f"D{level + 1}")
    return schema


def chained(length: int) -> Any:
    """Records that may hold each other, the text not being nested."""
    links = [record("C0", "long")]
    links += [record(f"C{i}", ["null", f"C{i - 1}"]) for i in range(1, length)]
    return record("Top", *(["null", each] for each in links))


def ring(size: int) -> Any:
    """Records each of which may hold the one before, and all the first."""
    links = [record("R0", ["null", "Top"])]
    links += [record(f"R{i}", ["null", "Top", f"R{i - 1}"]) for i in range(1, size)]
    return record("Top", *(["null", each] for each in links))


def made(schema: Any) -> Decoder:
    return compile_decoder(parse(schema), GENERIC, "Foreign")


def refusal(schema: Any, data: bytes = b"") -> str:
    decoder = made(schema)
    (problem,) = decoder.problems
    with pytest.raises(Malformed) as caught:
        decoder.read(data, 0)
    assert caught.value.code == "schema-limit"
    assert str(caught.value) == str(problem)
    return str(problem)


# -- what becomes part of a decoder's text ---------------------------------------------------------


def test_a_size_that_is_python_is_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the size of F is no number" in refusal(fixed("print('run') or 1"), b"abc")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("size", [-5, 1.5, True, None, [], "4", 2**31, 2**62])
def test_a_size_is_a_number_of_bytes(size: Any) -> None:
    assert "MAX_FIXED_BYTES" in refusal(fixed(size), b"abc")


@pytest.mark.parametrize(
    "name", [5, None, float("nan"), ["a"], {"a": 1}, "", "a b", "a.", "1a", "é", "a'\n"], ids=repr
)
def test_a_field_has_an_avro_name(name: Any) -> None:
    schema = {"type": "record", "name": "T", "fields": [{"name": name, "type": "long"}]}
    try:
        parse(schema)
    except SchemaError:
        return  # fastavro knows it for what it is
    assert "name" in refusal(schema, b"\x02")


@pytest.mark.parametrize("symbols", ["AB", {"A": 1}, []], ids=repr)
def test_symbols_are_a_list(symbols: Any) -> None:
    assert "the symbols of E are no list" in refusal(enum(symbols), b"\x00")


def test_names_that_clash_are_refused() -> None:
    twice = {"type": "record", "name": "T", "fields": [{"name": "a", "type": "long"}] * 2}
    assert "T has the field a twice" in refusal(twice, b"\x02\x02")
    assert "named long, like one of Avro's own" in refusal(record("long", "int"), b"\x02")
    with pytest.raises(SchemaError, match="redefined named type: A"):
        parse(record("T", record("A", "long"), record("A", "string")))


# -- how large a schema may be ---------------------------------------------------------------------


def branches(number: int) -> Any:
    return [fixed(each) | {"name": f"F{each}"} for each in range(1, number + 1)]


@pytest.mark.parametrize(
    ("make", "limit", "name"),
    [
        (lambda n: record("W", *["long"] * n), limits.MAX_PARTS, "MAX_PARTS"),
        (lambda n: record("W", *[array("int")] * (n // 2)), limits.MAX_PARTS, "MAX_PARTS"),
        (branches, limits.MAX_BRANCHES, "MAX_BRANCHES"),
        (lambda n: enum([f"S{i}" for i in range(n)]), limits.MAX_SYMBOLS, "MAX_SYMBOLS"),
        (lambda n: enum(["s" * n]), limits.MAX_NAME_CHARS, "MAX_NAME_CHARS"),
        (lambda n: record("r" * n, "long"), limits.MAX_NAME_CHARS, "MAX_NAME_CHARS"),
        (lambda n: chained(n - 1), limits.MAX_RECORD_NESTING, "MAX_RECORD_NESTING"),
    ],
    ids=["fields", "lists", "branches", "symbols", "a symbol", "a name", "nesting"],
)
def test_a_schema_is_read_up_to_a_limit(make: Callable[[int], Any], limit: int, name: str) -> None:
    assert made(make(limit)).problems == ()
    assert name in refusal(make(limit + 2))


def test_named_types_are_read_up_to_a_limit() -> None:
    types = [fixed(1) | {"name": f"F{number}"} for number in range(limits.MAX_TYPES)]
    assert made(record("T", *types[1:])).problems == ()
    assert "MAX_TYPES" in refusal(record("T", *types))


def test_what_is_compiled_at_the_limits_can_be_read() -> None:
    wide = made(record("W", *["long"] * limits.MAX_PARTS))
    assert set(wide.read(b"\x02" * limits.MAX_PARTS, 0).values()) == {1}
    many = made(branches(limits.MAX_BRANCHES))
    assert many.read(b"\xfe\x03" + b"x" * limits.MAX_BRANCHES, 0) == b"x" * limits.MAX_BRANCHES
    levels = limits.MAX_RECORD_NESTING - 1
    deep = made(chained(levels)).read(b"\x00" * (levels - 1) + b"\x02" * levels + b"\x02", 0)
    found = deep[f"f{levels - 1}"]
    for _ in range(levels - 1):
        found = found["f0"]
    assert found == {"f0": 1}


def test_a_chain_of_hundreds_of_records_is_refused_and_not_walked_by_recursion() -> None:
    assert "MAX_RECORD_NESTING" in refusal(chained(600))


def test_records_that_can_hold_their_own_kind_are_bounded_while_they_are_read() -> None:
    read = made(ring(300)).read
    with pytest.raises(Malformed, match="nests more than 100 deep"):
        read((b"\x00" * 299 + b"\x02\x02") * 500, 0)


def test_a_union_in_a_union_is_refused() -> None:
    schema: Any = "long"
    for _ in range(150):
        schema = ["null", schema]
    assert "a union that holds a union" in refusal(schema)


# -- values without bytes --------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", ["null", "boolean"])
def test_records_that_double_are_refused(leaf: str) -> None:
    assert "more than 4096 values without bytes" in refusal(doubled(30, leaf))
    assert "MAX_EMPTY_VALUES" in refusal(array(doubled(30, "null")), b"\x02\x00")
    assert "MAX_EMPTY_VALUES" in refusal(["null", doubled(30, "null")], b"\x02")


@pytest.mark.parametrize("around", [array, table, lambda part: ["null", part]])
def test_a_byte_of_a_list_map_or_union_is_a_few_values_at_most(
    around: Callable[[Any], Any],
) -> None:
    # the record is a value, too; one of its fields takes a byte
    most = limits.MAX_EMPTY_VALUES * 2 - 1
    assert made(around(record("A", *["null"] * most, "boolean"))).problems == ()
    assert "MAX_EMPTY_VALUES" in refusal(around(record("A", *["null"] * (most + 1), "boolean")))


def test_a_wide_record_of_records_in_a_list_is_no_danger() -> None:
    pairs = [record(f"P{number}", "long", "long") for number in range(500)]
    assert made(array(record("Wide", *pairs))).problems == ()


def test_a_record_that_always_holds_another_of_its_kind_is_refused() -> None:
    assert "N always holds another of its kind" in refusal(record("N", "N", "N"))
    assert "A always holds another" in refusal(record("A", record("B", "A")))


def test_a_value_beyond_what_a_log_carries_is_refused_where_it_could_multiply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_DATUM_BYTES", 10)
    listed, plain = made(array("int")).read, made("bytes").read
    assert listed(b"\x10" + b"\x02" * 8 + b"\x00", 0) == [1] * 8
    with pytest.raises(Malformed, match="MAX_DATUM_BYTES") as caught:
        listed(b"\x12" + b"\x02" * 9 + b"\x00", 0)
    assert caught.value.code == "too-large"
    assert plain(b"\x18" + b"x" * 12, 0) == b"x" * 12


# -- what it comes to ------------------------------------------------------------------------------


def hostile(name: str) -> dict[str, Any]:
    return record(name, fixed("exit()")) | {"namespace": "bank"}


def test_a_command_of_such_a_schema_is_refused_like_any_other() -> None:
    book = Book()
    codec = bank_codec(book)
    book.learn(Book().add(hostile("Deposit"), "command", "Deposit").record())
    with pytest.raises(BadCommand, match=r"the size of bank\.F is no number") as caught:
        codec.decode_command(header(hostile("Deposit")) + b"abc", None, None)
    assert caught.value.code == "schema-limit"
    good = codec.encode_command("bank", Deposit(5))
    assert codec.decode_command(good, None, None) == Deposit(5)


def test_an_event_of_such_a_schema_stops_with_one_sentence() -> None:
    book = Book()
    codec = bank_codec(book)
    book.learn(Book().add(hostile("Deposited"), "event", "Deposited").record())
    value = header(hostile("Deposited")) + b"abc"
    with pytest.raises(DecodeError, match=r"the event cannot be read: Deposited: of its schema"):
        codec.decode_event(value)
    with pytest.raises(DecodeError, match="MAX_FIXED_BYTES"):
        decode_datum(value, book)
    assert codec.decode_event(codec.encode_event(Deposited(5))) == Deposited(5)


def test_a_type_of_ones_own_beyond_a_limit_is_told_before_anything_is_written() -> None:
    names = [(f"f{number}", int) for number in range(limits.MAX_PARTS + 1)]
    huge = dataclasses.make_dataclass("Huge", names, frozen=True)
    shape = shape_of(huge, "bank", None)
    with pytest.raises(SchemaError, match="MAX_PARTS"):
        compile_decoder(parse(schema_of(shape)), shape, "Huge")


def test_the_table_of_limits_in_the_docs_has_their_values() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "guarantees.md"
    rows = re.findall(r"^\| `(MAX_[A-Z_]+)` \| ([0-9,]+) \|", page.read_text("utf-8"), re.M)
    told = {name: int(value.replace(",", "")) for name, value in rows}
    known = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
    assert told == known | {"MAX_DEPTH": wire.MAX_DEPTH}
