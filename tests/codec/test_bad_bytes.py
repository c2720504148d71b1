"""Bytes from a hostile or clumsy world: one kind of error, bounded work, never a crash."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from codec_samples import (
    Colour,
    Deposit,
    Deposited,
    Everything,
    Node,
    Pair,
    Planted,
    Positive,
    Three,
    bank_codec,
    everything,
    records,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kstate.codec.book import Book
from kstate.codec.decoders import FAULTS, compile_decoder
from kstate.codec.derive import NoAvroForm
from kstate.codec.generic import decode_datum
from kstate.codec.scalars import GENERIC
from kstate.codec.shapes import MAX_NESTING
from kstate.codec.wire import Malformed
from kstate.codec.writers import Written, header, parse
from kstate.core.messages import GetState
from kstate.errors import BadCommand, DecodeError, SchemaError

slow = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"  # 2^62 - 1 … as a zigzag long
CODEC = bank_codec()


def code_of(value: bytes | None) -> str:
    with pytest.raises(BadCommand) as caught:
        CODEC.decode_command(value, None, None)
    return caught.value.code


def head_of(message: Any) -> bytes:
    return CODEC.encode_command("bank", message)[:10]


DEPOSIT = head_of(Deposit(1))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "no-value"),
        (b"", "no-value"),
        (b"\xc3", "truncated"),
        (b"\xc3\x01abc", "truncated"),
        (DEPOSIT, "truncated"),
        (DEPOSIT + b"\x80", "truncated"),
        (DEPOSIT + b"\x80" * 9, "truncated"),
        (DEPOSIT + b"\x80" * 10 + b"\x01", "malformed"),
        (DEPOSIT + b"\xff" * 9 + b"\x7f", "malformed"),
        (DEPOSIT + b"\x02\x00", "trailing"),
        (b"\x00\x00\x00\x00\x01\x02", "not-avro"),
        (b'{"amount": 5}', "not-avro"),
        (b"\xc3\x02" + DEPOSIT[2:] + b"\x02", "not-avro"),
        (b"\xc3\x01" + b"x" * 8 + b"\x02", "unknown-schema"),
        (CODEC.encode_event(Deposited(5)), "unknown-type"),
        (CODEC.encode_state(CODEC._forms.state.shape.cls()), "unknown-type"),  # type: ignore[attr-defined]
        (head_of(Positive(1)) + b"\x00", "invalid-value"),
    ],
)
def test_a_value_that_is_no_command_is_refused_with_a_code(value: bytes | None, code: str) -> None:
    assert code_of(value) == code


def test_the_reserved_command_is_accepted() -> None:
    value = CODEC.encode_command("bank", GetState())
    assert CODEC.decode_command(value, None, None) == GetState()


def test_other_content_types_than_json_are_read_as_avro() -> None:
    value = CODEC.encode_command("bank", Deposit(7))
    assert CODEC.decode_command(value, "application/octet-stream", None) == Deposit(7)


def test_an_unreadable_event_is_a_decode_error_that_names_the_fault() -> None:
    value = CODEC.encode_event(Three(1, "abc", 2.5))
    with pytest.raises(DecodeError, match="the data ends too early"):
        CODEC.decode_event(value[:-1])
    with pytest.raises(DecodeError, match="has no value"):
        CODEC.decode_event(None)
    with pytest.raises(DecodeError, match=r"bank\.Deposit is no type of bank's events"):
        CODEC.decode_event(CODEC.encode_command("bank", Deposit(1)))


@pytest.mark.parametrize(
    ("annotation", "data"),
    [
        (str, HUGE), (bytes, HUGE), (str, b"\x01"), (bytes, b"\x03abc"),
        (list[int], HUGE), (list[int], HUGE + b"\x02" * 50), (dict[str, int], HUGE),
        (list[int], b"\x01\x00"), (list[int], b"\x01\x7f\x02"),
        (list[int], b"\xff" * 9 + b"\x01\x00"),
    ],
)  # fmt: skip
def test_a_length_beyond_the_end_is_refused_before_anything_is_allotted(
    annotation: Any, data: bytes
) -> None:
    with pytest.raises(FAULTS):
        Pair(annotation).decode(data)


@pytest.mark.parametrize(
    ("annotation", "data"),
    [
        (bool, b"\x02"), (str, b"\x04\xc3\x28"), (Colour, b"\x04"), (Colour, b"\x01"),
        (int | None, b"\x04"), (int | None, b"\x01"), (float, b"\0" * 7),
    ],
)  # fmt: skip
def test_what_the_type_does_not_have_is_refused(annotation: Any, data: bytes) -> None:
    with pytest.raises(FAULTS):
        Pair(annotation).decode(data)


def test_a_datum_nested_100000_deep_is_refused_in_no_time() -> None:
    head = CODEC.encode_event(Planted(Node(0)))[:10]
    data = head + b"\x00\x02" * 100_000 + b"\x00\x00" + b"\x00" * 100_001
    with pytest.raises(DecodeError, match="nests more than 100 deep"):
        CODEC.decode_event(data)
    with pytest.raises(DecodeError, match="nests more than 100 deep"):
        decode_datum(data, CODEC.book)


def test_a_deep_command_has_its_own_code() -> None:
    from codec_samples import Plant

    assert code_of(head_of(Plant(Node(0))) + b"\x00\x02" * 5_000) == "too-deep"


def test_a_foreign_list_of_items_without_bytes_is_refused() -> None:
    written = parse({"type": "array", "items": "null"})
    read = compile_decoder(written, GENERIC, "x").read
    assert read(b"\x00", 0) == []
    with pytest.raises(Malformed):
        read(HUGE + b"\x00", 0)


def test_lists_within_lists_do_not_multiply_the_work() -> None:
    pair = Pair(list[list[list[int]]])
    data = b"\x80\x89\x7a" + b"\x00" * 999_997
    with pytest.raises(FAULTS):  # a million empty lists, no more, then the end
        pair.decode(data)


@slow
@given(st.binary(max_size=60))
def test_random_bytes_after_any_header_give_a_value_or_one_error(tail: bytes) -> None:
    for entry in CODEC.schemas():
        value = b"\xc3\x01" + entry.fingerprint + tail
        for read in (
            lambda value: CODEC.decode_command(value, None, None),
            CODEC.decode_event, CODEC.decode_state, CODEC.decode_snapshot, CODEC.snapshot_version,
            lambda value: CODEC.decode_reply(Deposit, value),
            lambda value: decode_datum(value, CODEC.book),
        ):  # fmt: skip
            with suppress(BadCommand, DecodeError):
                read(value)


@slow
@given(st.data())
def test_a_damaged_event_gives_a_value_or_one_error(data: st.DataObject) -> None:
    value = bytearray(CODEC.encode_event(everything()))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(10, len(value) - 1))
        value[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        found = CODEC.decode_event(bytes(value))
    except DecodeError:
        return
    assert type(found) is Everything


@slow
@given(records(), st.data())
def test_a_truncated_datum_is_always_refused(drawn: tuple[type, Any], data: st.DataObject) -> None:
    cls, value = drawn
    pair = Pair(cls)
    encoded = pair.encode(value)
    if encoded:
        cut = data.draw(st.integers(0, len(encoded) - 1))
        with pytest.raises(FAULTS):
            pair.decode(encoded[:cut])


def test_blocks_with_sizes_are_read() -> None:
    assert Pair(list[int]).decode(b"\x03\x04\x02\x04\x00") == [1, 2]


def test_several_blocks_are_read_as_one_list() -> None:
    assert Pair(list[int]).decode(b"\x02\x02\x02\x04\x00") == [1, 2]


@pytest.mark.parametrize("days", [2**31 - 1, -(2**31)])
def test_a_date_out_of_range_is_refused(days: int) -> None:
    import datetime

    from kstate.codec.wire import zigzag

    with pytest.raises(FAULTS):
        Pair(datetime.date).decode(zigzag(days))
    with pytest.raises(FAULTS):
        Pair(datetime.datetime).decode(zigzag(2**63 - 1))


def test_an_unknown_schema_makes_the_book_look_again_once() -> None:
    asked = []
    book = Book(refresh=lambda: asked.append(1))
    codec = bank_codec(book)
    value = header({"type": "record", "name": "Gone", "namespace": "bank", "fields": []})
    with pytest.raises(BadCommand) as caught:
        codec.decode_command(value, None, None)
    assert caught.value.code == "unknown-schema"
    assert asked == [1]


def test_a_schema_that_came_meanwhile_is_used() -> None:
    fields = [{"name": "amount", "type": "long"}, {"name": "note", "type": "string"}]
    newer = {"type": "record", "name": "Deposited", "namespace": "bank", "fields": fields}
    book = Book()
    book.refresh = lambda: book.learn(Book().add(newer, "event", "Deposited").record())
    assert bank_codec(book).decode_event(header(newer) + b"\x0a\x02x") == Deposited(5)


# -- foreign schemas ----------------------------------------------------------------------------


def generic(schema: Any, data: bytes) -> Any:
    return compile_decoder(parse(schema), GENERIC, "x").read(data, 0)


@pytest.mark.parametrize(
    "extra",
    [{}, {"precision": 0}, {"precision": "4"}, {"precision": 10**9}, {"precision": 2, "scale": 3},
     {"precision": 2, "scale": -1}],
)  # fmt: skip
def test_a_decimal_that_makes_no_sense_is_read_as_bytes(extra: dict[str, Any]) -> None:
    written = Written({"type": "bytes", "logicalType": "decimal", **extra}, {})
    assert compile_decoder(written, GENERIC, "x").read(b"\x02a", 0) == b"a"


@pytest.mark.parametrize("logical", ["nothing", "uuid", ["date"], None, 5])
def test_a_logical_type_on_another_type_is_ignored(logical: Any) -> None:
    assert generic({"type": "long", "logicalType": logical}, b"\x0a") == 5


@pytest.mark.parametrize(
    "schema",
    [
        "nothing", {"type": "error", "name": "E", "fields": []}, {"type": "record", "fields": []},
        {"type": {"type": "array", "items": "long"}}, {"type": "fixed", "name": "F"},
        {"type": "enum", "name": "E"}, 5, None, {}, [5],
    ],
)  # fmt: skip
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        parse(schema)


def nested(depth: int) -> Any:
    schema: Any = "long"
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def test_lists_nest_up_to_a_limit() -> None:
    assert generic(nested(MAX_NESTING), b"\x02" * MAX_NESTING + b"\x0a" + b"\x00" * MAX_NESTING)
    for depth in (MAX_NESTING + 1, 50, 100_000):
        with pytest.raises(SchemaError):
            parse(nested(depth))


def test_a_list_of_the_size_of_the_limit_reads_back() -> None:
    annotation: Any = int
    value: Any = 5
    for _ in range(MAX_NESTING):
        annotation, value = list[annotation], [value]
    assert Pair(annotation).again(value) == value
    with pytest.raises(NoAvroForm, match="nested more than"):
        Pair(list[annotation])
