"""What is read as JSON before any schema is known: schemas topics, and documents of commands."""

from __future__ import annotations

from typing import Any

import pytest
from codec_samples import bank_codec

from kstate.codec.book import Book
from kstate.codec.limits import MAX_SCHEMA_BYTES
from kstate.codec.port import SchemaRecord
from kstate.errors import BadCommand, SchemaError


def record(name: str, *types: Any, **more: Any) -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields, **more}


@pytest.mark.parametrize("text", [b"[" * 2_000_000, b"[" + b"0," * 1_000_000 + b"0]"])
def test_a_schema_of_megabytes_is_not_parsed(text: bytes) -> None:
    with pytest.raises(SchemaError, match="MAX_SCHEMA_BYTES"):
        Book().learn(SchemaRecord(b"0" * 16, text, []))


def test_a_schema_up_to_the_limit_is_read() -> None:
    entry = Book().add(record("T", "long"), "event", "T").record()
    padded = entry.value + b" " * (MAX_SCHEMA_BYTES - len(entry.value))
    book = Book()
    book.learn(entry._replace(value=padded))
    assert len(book) == 1
    with pytest.raises(SchemaError, match="MAX_SCHEMA_BYTES"):
        Book().learn(entry._replace(value=padded + b" "))


def test_a_schema_nested_100000_deep_is_refused() -> None:
    text = b'{"type":"array","items":' * 40_000 + b'"long"' + b"}" * 40_000
    with pytest.raises(SchemaError, match="is no JSON text"):
        Book().learn(SchemaRecord(b"0" * 16, text, []))


def test_an_object_with_a_hundred_thousand_keys_and_one_of_them_twice_is_refused() -> None:
    keys = ",".join(f'"k{number}":0' for number in range(100_000))
    with pytest.raises(BadCommand, match="the key 'k99999' twice"):
        bank_codec().decode_command(
            f'{{{keys},"k99999":1}}'.encode(), "application/json", "Deposit"
        )
