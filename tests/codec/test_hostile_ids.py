"""Data in Confluent's wire format, damaged or made up: a value or one of kstate's own errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import pytest
from codec_samples import Account, Deposit, Deposited, Money, Order, Three, definition, everything
from hostile_schemas import fuzzed, hostile_schemas, in_time
from hypothesis import given
from hypothesis import strategies as st

from kstate.codec.book import Book
from kstate.codec.registry import Ids, UnknownId, head_of
from kstate.codec.registry_codec import RegistryCodec, RegistryMessages
from kstate.codec.snapshots import encode_envelope
from kstate.core.messages import Snapshot
from kstate.errors import BadCommand, DecodeError

Read = Callable[[bytes], Any]


class Shelf:
    """A registry in memory: schemas by number."""

    url = "memory:"

    def __init__(self) -> None:
        self.texts: list[str] = []

    @contextmanager
    def session(self) -> Iterator[Shelf]:
        yield self

    def find(self, subject: str, schema: Any) -> int | None:
        text = json.dumps(schema)
        return self.texts.index(text) + 1 if text in self.texts else None

    def register(self, subject: str, schema: Any, what: str) -> int:
        self.texts.append(json.dumps(schema))
        return len(self.texts)

    def schema(self, number: int) -> Any:
        if not 0 < number <= len(self.texts):
            raise UnknownId(number, "there is none")
        return json.loads(self.texts[number - 1])


def bank(shelf: Shelf) -> RegistryCodec:
    book = Book()
    codec = RegistryCodec(definition(), Ids(shelf, book), book)
    codec.register()
    return codec


def readers(codec: RegistryCodec) -> dict[str, Read]:
    """Everything that reads a value, by what it reads."""
    plain = RegistryMessages(codec.book, codec.ids)
    snapshot = Snapshot(2, None, 1, 0, 0, False, {})
    return {
        "command": lambda value: codec.decode_command(value, None, None),
        "event": codec.decode_event,
        "state": codec.decode_state,
        "reply": lambda value: codec.decode_reply(Order, value),
        "number": lambda value: codec.decode_reply(Deposit, value),
        "snapshot": lambda value: codec.decode_snapshot(encode_envelope(snapshot, value)),
        "type": lambda value: codec.state_type(encode_envelope(snapshot, value)),
        "plain event": plain.decode_event,
        "plain state": plain.decode_state,
        "plain reply": lambda value: plain.decode_reply(Order, value),
    }


CODEC = bank(Shelf())
READERS = readers(CODEC)
VALUES = [
    CODEC.encode_command("bank", Deposit(5)),
    CODEC.encode_event(Deposited(7)),
    CODEC.encode_event(Three(1, "text", 2.5)),
    CODEC.encode_event(everything()),
    CODEC.encode_state(Account(5)),
    CODEC.encode_reply(Order, Money(Decimal("1.50"))),
    CODEC.encode_reply(Deposit, 5),
]
values = st.sampled_from(VALUES)
ids = st.one_of(st.integers(0, 30), st.sampled_from([2**31 - 1, 2**31, 2**32 - 1]))


def test_each_value_is_read_by_the_reader_of_its_kind() -> None:
    kinds = ["command", "event", "event", "event", "state", "reply", "number"]
    assert READERS["command"](VALUES[0]) == Deposit(5)
    assert all(READERS[kind](value) is not None for kind, value in zip(kinds, VALUES, strict=True))


def hold(value: bytes, found: dict[str, Read]) -> None:
    with in_time():
        for read in found.values():
            with suppress(BadCommand, DecodeError):
                read(value)


@fuzzed
@given(data=st.binary(max_size=80))
def test_random_bytes_behind_a_zero_are_a_value_or_an_error(data: bytes) -> None:
    hold(b"\0" + data, READERS)


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_that_was_cut_off_is_an_error_wherever_that_was(value: bytes) -> None:
    kinds = ["command", "event", "event", "event", "state", "reply", "number"]
    read = READERS[kinds[VALUES.index(value)]]
    for end in range(len(value)):
        with pytest.raises((BadCommand, DecodeError)):
            read(value[:end])


@fuzzed
@given(value=values, number=ids)
def test_a_value_under_another_id_is_a_value_or_an_error(value: bytes, number: int) -> None:
    hold(head_of(number) + value[5:], READERS)


@fuzzed
@given(value=values, other=values, data=st.data())
def test_a_damaged_value_is_a_value_or_an_error(
    value: bytes, other: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, max(0, len(damaged) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "splice", "random"])):
            case "flip" if damaged:
                damaged[where] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del damaged[where:]
            case "splice":
                damaged[where:where] = other[data.draw(st.integers(0, len(other))) :]
            case _:
                damaged[where : where + 2] = data.draw(st.binary(max_size=6))
    hold(bytes(damaged), READERS)


@fuzzed
@given(schema=hostile_schemas, data=st.binary(max_size=60))
def test_data_of_a_made_up_schema_of_the_registry_is_a_value_or_an_error(
    schema: Any, data: bytes
) -> None:
    shelf = Shelf()
    codec = bank(shelf)
    shelf.texts.append(json.dumps(schema))
    hold(head_of(len(shelf.texts)) + data, readers(codec))
