"""Speaking to a processor without its class: by message classes, or by schemas alone."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from codec_samples import (
    REPLIES,
    Account,
    Deposit,
    Line,
    Money,
    Node,
    Order,
    Plant,
    Planted,
    Three,
    When,
    bank_codec,
    everything,
)

from kstate.codec.avro import AvroCodec, command_encoder, reply_decoder
from kstate.codec.book import Book
from kstate.codec.generic import decode_datum
from kstate.codec.jsonform import encode_json
from kstate.codec.plain import PlainMessages
from kstate.codec.texts import from_text
from kstate.codec.writers import header
from kstate.core.messages import Command, GetState
from kstate.errors import DecodeError, DefinitionError, UnknownSchema

NOW = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
SAMPLES: list[tuple[type, Any]] = [
    (Deposit, 5), (Order, Money(Decimal("1.50"))), (Order, None), (Plant, None), (When, NOW),
]  # fmt: skip


def book_of(codec: AvroCodec) -> Book:
    book = Book()
    for entry in codec.schemas():
        book.learn(entry.record())
    return book


def test_a_command_is_encoded_as_the_processor_would() -> None:
    codec = bank_codec()
    assert command_encoder("bank", Deposit)(Deposit(5)) == codec.encode_command("bank", Deposit(5))


@pytest.mark.parametrize(("command", "reply"), SAMPLES)
def test_a_reply_is_decoded_by_the_command_class_alone(command: type, reply: Any) -> None:
    value = bank_codec().encode_reply(command, reply)
    assert reply_decoder("bank", command)(value) == reply


@pytest.mark.parametrize(("command", "reply"), SAMPLES)
def test_a_client_without_the_processors_name_decodes_replies(command: type, reply: Any) -> None:
    codec = bank_codec()
    messages = PlainMessages(book_of(codec))
    assert messages.decode_reply(command, codec.encode_reply(command, reply)) == reply


def test_a_reply_of_another_version_is_resolved_by_the_book() -> None:
    @dataclass(frozen=True)
    class Receipt:
        seq: int
        note: str = "none"

    @dataclass(frozen=True)
    class Buy(Command[Receipt]):
        pass

    old = {"type": "record", "name": "Receipt", "namespace": "bank",
           "fields": [{"name": "seq", "type": "long"}]}  # fmt: skip
    book = Book()
    book.add(old, "reply", "Buy.reply")
    decode = reply_decoder("bank", Buy, book, Receipt)
    assert decode(header(old) + b"\x0a") == Receipt(5)
    with pytest.raises(UnknownSchema):
        reply_decoder("bank", Buy, None, Receipt)(header(old) + b"\x0a")


@pytest.mark.parametrize(
    "value", [b"", None, b"\xc3\x01", header("string") + b"\x02x", header("long")]
)
def test_bytes_that_are_no_such_reply_are_a_decode_error(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        reply_decoder("bank", Deposit)(value)


def test_bytes_where_the_reply_is_none_are_a_decode_error() -> None:
    assert reply_decoder("bank", Plant)(b"") is None
    with pytest.raises(DecodeError, match="is to be None, and has bytes"):
        reply_decoder("bank", Plant)(header("long") + b"\x02")


def test_the_reply_to_a_request_for_the_state_is_the_state() -> None:
    codec = bank_codec()
    value = codec.encode_reply(GetState, Account(5))
    assert codec.decode_reply(GetState, value) == Account(5)
    assert reply_decoder("bank", GetState, None, Account)(value) == Account(5)


def test_a_class_that_is_no_command_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="does not say what its reply is"):
        reply_decoder("bank", Money)


# -- by schemas alone ---------------------------------------------------------------------------


def test_a_value_is_read_as_plain_data_with_its_name() -> None:
    codec = bank_codec()
    value = codec.encode_event(Three(1, "x", 2.5))
    found = decode_datum(value, book_of(codec))
    assert found == ("bank.Three", {"amount": 1, "who": "x", "rate": 2.5})


def test_plain_data_has_pythons_own_types() -> None:
    codec = bank_codec()
    _, found = decode_datum(codec.encode_event(everything()), book_of(codec))
    expected = everything()
    for name in ("price", "moment", "day", "ident", "raw", "maybe", "listed", "table"):
        assert found[name] == getattr(expected, name)
    assert found["colour"] == "GREEN"


def test_of_a_union_of_records_each_is_named() -> None:
    codec = bank_codec()
    _, found = decode_datum(
        codec.encode_event(everything(either=Money(Decimal(1)))), book_of(codec)
    )
    assert found["either"] == {"Money": {"amount": Decimal("1.00"), "currency": "EUR"}}


def test_a_recursive_value_is_read_as_plain_data() -> None:
    codec = bank_codec()
    _, found = decode_datum(codec.encode_event(Planted(Node(1, Node(2)))), book_of(codec))
    assert found["tree"]["next"] == {"value": 2, "next": None, "children": []}


def test_events_and_states_come_as_plain_data_to_who_has_no_code() -> None:
    codec = bank_codec()
    messages = PlainMessages(book_of(codec))
    assert messages.decode_event(codec.encode_event(Three(1, "x", 2.5)))["who"] == "x"
    assert messages.decode_state(codec.encode_state(Account(5))) == {"balance": 5, "lines": []}


@pytest.mark.parametrize("value", [None, b"", b"\xc3\x01", b"not avro at all"])
def test_what_is_no_value_is_a_decode_error(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        decode_datum(value, Book())


def test_an_unknown_schema_is_asked_for() -> None:
    codec = bank_codec()
    book = Book()
    records = [entry.record() for entry in codec.schemas()]
    messages = PlainMessages(book, lambda: [book.learn(record) for record in records] and None)
    assert messages.decode_event(codec.encode_event(Three(1, "x", 2.5)))["amount"] == 1


def test_a_command_can_be_made_of_text_and_a_schema() -> None:
    codec = bank_codec()
    entry = next(e for e in book_of(codec) if e.type_name == "Deposit")
    value = header(entry.schema) + encode_json(
        entry.schema, from_text(entry.schema, {"amount": "5"})
    )
    assert codec.decode_command(value, None, None) == Deposit(5)


# -- the codec as a whole -------------------------------------------------------------------------


def test_types_without_an_avro_form_are_told_all_at_once() -> None:
    @dataclass(frozen=True)
    class First(Command[set[int]]):
        thing: object

    @dataclass(frozen=True)
    class Second:
        price: Decimal

    with pytest.raises(DefinitionError) as caught:
        bank_codec(commands={First: set[int]}, folds=(Second,))
    assert len(caught.value.mistakes) == 3


def test_each_schema_is_listed_once_with_its_kind() -> None:
    entries = bank_codec().schemas()
    assert len({entry.fingerprint for entry in entries}) == len(entries)
    assert {entry.kind for entry in entries} == {"command", "event", "state", "reply", "snapshot"}


def test_event_types_are_short_names_and_reserved_ones_full() -> None:
    from kstate.core.messages import Deleted, Noted

    codec = bank_codec()
    assert codec.event_type(Three) == b"Three"
    assert [codec.event_type(cls) for cls in (Noted, Deleted)] == [
        b"kstate.Noted",
        b"kstate.Deleted",
    ]
    for event in (Noted(), Deleted()):
        assert codec.decode_event(codec.encode_event(event)) == event


def test_an_order_for_another_processor_is_read_by_that_processor() -> None:
    line = Line("a", 1, Money(Decimal(1)))
    other = bank_codec(name="ledger-2", commands={Order: REPLIES[Order]})
    value = bank_codec().encode_command("ledger-2", Order((line,)))
    assert other.decode_command(value, None, None) == Order((line,))
