"""Data of schemas that were made up: a value or one of kstate's own errors, in bounded time."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from codec_samples import Deposit, Order, bank_codec
from hostile_schemas import (
    AsItIs,
    StateAsItIs,
    doubled,
    fuzzed,
    hostile_schemas,
    in_time,
    junk,
    nested,
    published,
    record,
)
from hypothesis import given
from hypothesis import strategies as st

from kstate.codec.book import Book
from kstate.codec.generic import decode_datum
from kstate.codec.plain import PlainMessages
from kstate.codec.port import SchemaRecord
from kstate.codec.schemas import check_book, load
from kstate.codec.snapshots import encode_envelope
from kstate.codec.writers import header
from kstate.core.messages import Snapshot
from kstate.errors import BadCommand, DecodeError, SchemaError

ADAPTED: dict[str, Any] = {"adapters": (AsItIs(),), "snapshot_adapters": (StateAsItIs(),)}
FIXED = {"type": "fixed", "name": "F", "size": 2**31 - 1}
KNOWN: dict[str, Any] = {
    "as many values as one large value has bytes": record(
        "bank.Deposited", {"type": "array", "items": record("A", doubled(28, "null"), FIXED)}
    ),
    "an enum": {"type": "enum", "name": "bank.Deposited", "symbols": ["A", "B"]},
    "no symbols": record("bank.Deposited", {"type": "enum", "name": "E", "symbols": []}),
    "a size that is none": record("bank.Deposited", FIXED | {"size": -1}),
    "fields that double": record("bank.Deposited", doubled(30, "null")),
    "fields that nest": record("bank.Deposited", nested(120, lambda i, n: record(f"N{n}", i))),
}
SNAPSHOT = Snapshot(2, None, 1, 0, 0, False, {})


def readers(book: Book, **changes: Any) -> list[Callable[[bytes], Any]]:
    """Everything that reads a value of any kind."""
    codec, plain = bank_codec(book, **changes), PlainMessages(book)
    return [
        lambda value: codec.decode_command(value, None, None),
        codec.decode_event,
        codec.decode_state,
        codec.decode_snapshot,
        codec.snapshot_version,
        codec.state_type,
        lambda value: codec.decode_snapshot(encode_envelope(SNAPSHOT, value)),
        lambda value: codec.state_type(encode_envelope(SNAPSHOT, value)),
        lambda value: codec.decode_reply(Deposit, value),
        lambda value: codec.decode_reply(Order, value),
        lambda value: plain.decode_reply(Order, value),
        lambda value: decode_datum(value, book),
    ]


@pytest.mark.parametrize("changes", [{}, ADAPTED], ids=["plain", "adapted"])
@fuzzed
@given(schema=hostile_schemas, data=st.binary(max_size=60))
def test_data_of_a_made_up_schema_is_a_value_or_an_error(
    changes: dict[str, Any], schema: Any, data: bytes
) -> None:
    book = Book()
    with in_time():
        found = readers(book, **changes)
        try:
            book.learn(published(schema))
        except SchemaError:
            return
        for value in (header(schema) + data, header(schema)):
            for read in found:
                with suppress(BadCommand, DecodeError):
                    read(value)


@pytest.mark.parametrize("changes", [{}, ADAPTED], ids=["plain", "adapted"])
@fuzzed
@given(schema=hostile_schemas)
def test_the_check_of_a_made_up_schema_comes_to_a_verdict(
    changes: dict[str, Any], schema: Any
) -> None:
    book = Book()
    with in_time():
        codec = bank_codec(book, **changes)
        with suppress(SchemaError):
            book.learn(published(schema))
        assert all(each.sentence for each in check_book(codec, book))


headers = st.lists(
    st.tuples(st.sampled_from(["kind", "type", "x"]), st.none() | st.binary(max_size=5)), max_size=3
)


@fuzzed
@given(
    key=st.sampled_from([b"", b"meta", b"0" * 16, header("int")[2:].hex().encode()]),
    value=st.binary(max_size=30)
    | st.just(b"[" * 100_000)
    | st.just(b'"int"')
    | junk.map(lambda each: json.dumps(each).encode()),
    marks=headers,
)
def test_a_made_up_record_of_the_topic_is_a_schema_or_an_error(
    key: bytes, value: bytes, marks: Any
) -> None:
    with in_time():
        with suppress(SchemaError):
            Book().learn(SchemaRecord(key, value, marks))
        with suppress(SchemaError):
            load([(key, value, marks)], Book())


@pytest.mark.parametrize("changes", [{}, ADAPTED], ids=["plain", "adapted"])
@pytest.mark.parametrize("schema", KNOWN.values(), ids=KNOWN)
def test_what_was_made_up_once_is_refused_in_time(changes: dict[str, Any], schema: Any) -> None:
    book = Book()
    with in_time():
        codec = bank_codec(book, **changes)
        book.learn(published(schema))
        (found,) = [each for each in check_book(codec, book) if each.type_name == "Deposited"]
        assert found.verdict == "incompatible"
        with pytest.raises(DecodeError):
            codec.decode_event(header(schema) + b"\x02\x00")
