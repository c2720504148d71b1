"""What producers without kstate send: each record is done, or answered and set aside."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from confluent_kafka import Producer
from interop_tools import PARTITIONS
from world import PATIENCE_S, World, header

from kstate.core.partition import partition_for
from processors.bank import Bank, Deposit, Deposited

DEPOSIT = b'{"amount": 5}'
JSON = [("content-type", b"application/json"), ("type", b"Deposit")]

Sent = tuple[str, bytes | None, Iterable[tuple[str, bytes | None]]]
"""Persist id, value and headers of a record."""


def producer(world: World, **properties: Any) -> Producer:
    """A plain producer, as it is without any settings but these."""
    named = {name.replace("_", "."): value for name, value in properties.items()}
    return Producer({"bootstrap.servers": world.url.removeprefix("kafka://"), **named})


def send(world: World, plain: Producer, *records: Sent, partition: int = -1) -> None:
    """Writes records to the bank's commands."""
    for key, value, headers in records:
        plain.produce(
            world.topics(Bank).commands, value, key.encode(), partition, headers=list(headers)
        )
    assert plain.flush(PATIENCE_S) == 0


def ask(
    world: World, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> Mapping[str, str]:
    """The headers of the reply to such a record for ``acct-1``."""
    asking = [("command-id", b"one"), ("reply-to", world.topics(Bank).replies.encode())]
    send(world, producer(world), ("acct-1", value, [*asking, *headers]))
    reply = world.reply_to(Bank, b"one")
    return {name: value.decode() for name, value in reply.headers}


# -- content types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json;",
    ],
)
def test_json_is_told_by_its_content_type_whatever_its_parameters(
    bank: World, content_type: str
) -> None:
    headers = [("content-type", content_type.encode()), ("type", b"Deposit")]
    assert ask(bank, DEPOSIT, headers)["status"] == "ok"
    assert bank.events(Bank, "acct-1") == [(1, Deposited(5))]


@pytest.mark.parametrize(
    "content_type",
    [b"application/cloudevents+json", b"text/json", b"json", b"", None],
    ids=["cloudevents", "text/json", "json", "empty", "null"],
)
def test_json_under_another_content_type_is_a_dead_letter(
    bank: World, content_type: bytes | None
) -> None:
    reply = ask(bank, DEPOSIT, [("content-type", content_type), ("type", b"Deposit")])
    assert (reply["status"], reply["code"]) == ("error", "not-avro")
    (letter,) = bank.dead_letters(Bank)
    assert ("content-type", content_type) in letter.headers
    assert bank.journal(Bank) == []


@pytest.mark.parametrize("content_type", [b"application/avro", b"avro/binary", b"text/plain"])
def test_avro_is_done_under_any_content_type_but_json(bank: World, content_type: bytes) -> None:
    value = bank.encoded(Bank, Deposit(5))
    assert ask(bank, value, [("content-type", content_type)])["status"] == "ok"


def test_avro_that_is_called_json_is_a_dead_letter(bank: World) -> None:
    reply = ask(bank, bank.encoded(Bank, Deposit(5)), JSON)
    assert (reply["status"], reply["code"]) == ("error", "bad-json")
    assert len(bank.dead_letters(Bank)) == 1


def test_of_an_avro_command_its_schema_counts_and_no_header_type(bank: World) -> None:
    reply = ask(bank, bank.encoded(Bank, Deposit(5)), [("type", b"Withdraw")])
    assert reply["status"] == "ok"
    assert bank.events(Bank, "acct-1") == [(1, Deposited(5))]


@pytest.mark.parametrize(
    "value",
    [
        DEPOSIT.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + DEPOSIT,
        gzip.compress(DEPOSIT),
        DEPOSIT + b"\n" + DEPOSIT,
        json.dumps(DEPOSIT.decode()).encode(),
        b'{"amount": "5"}',
        b'{"Deposit": {"amount": 5}}',
    ],
    ids=["UTF-16", "byte order mark", "gzip", "two", "JSON in JSON", "text", "wrapped"],
)
def test_json_that_other_tools_write_differently_is_a_dead_letter(
    bank: World, value: bytes
) -> None:
    reply = ask(bank, value, JSON)
    assert (reply["status"], reply["code"]) == ("error", "bad-json")
    (letter,) = bank.dead_letters(Bank)
    assert letter.value == value


@pytest.mark.parametrize(
    "value",
    [
        b"Obj\x01\x04\x16avro.schema",
        b"\xac\xed\x00\x05sr\x00\x0ebank.Deposit",
        b"\x0a",
        b"\x08\x05",
        b"\x00\x00\x00\x00\x01\x0a",
    ],
    ids=["Avro file", "Java's serialisation", "bare datum", "protobuf", "Confluent's"],
)
def test_other_encodings_are_dead_letters(bank: World, value: bytes) -> None:
    reply = ask(bank, value, [("__TypeId__", b"bank.Deposit")])
    assert (reply["status"], reply["code"]) == ("error", "not-avro")
    (letter,) = bank.dead_letters(Bank)
    assert (letter.value, header(letter, "__TypeId__")) == (value, "bank.Deposit")


# -- headers ---------------------------------------------------------------------------------------


def test_headers_without_values_count_as_absent_and_the_command_is_done(bank: World) -> None:
    names = [
        *("command-id", "reply-to", "reply-partition", "expected-seq", "traceparent"),
        *("content-type", "type", "mine"),
    ]
    value = bank.encoded(Bank, Deposit(5))
    send(bank, producer(bank), ("acct-1", value, [(name, None) for name in names]))
    bank.settled(Bank)
    assert bank.events(Bank, "acct-1") == [(1, Deposited(5))]
    assert bank.dead_letters(Bank) == bank.replies(Bank) == []


def test_a_command_whose_headers_have_no_values_is_forwarded_as_it_came(bank: World) -> None:
    right = partition_for(b"acct-1", PARTITIONS)
    sent = [("mine", None), ("command-id", b"one"), ("", b"nameless")]
    value = bank.encoded(Bank, Deposit(5))
    send(bank, producer(bank), ("acct-1", value, sent), partition=(right + 1) % PARTITIONS)
    bank.until(lambda: bank.events(Bank, "acct-1") == [(1, Deposited(5))], "it was done")
    (there,) = [r for r in bank.read(bank.topics(Bank).commands) if r.partition == right]
    assert there.headers == sent


# -- producers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_commands_are_read_however_they_are_compressed(bank: World, codec: str) -> None:
    plain = producer(bank, compression_type=codec, linger_ms=100)
    send(bank, plain, *[("acct-1", DEPOSIT, JSON)] * 50)
    bank.settled(Bank)
    assert [seq for seq, _ in bank.events(Bank, "acct-1")] == list(range(1, 51))


def test_what_a_producers_transaction_takes_back_is_not_done(bank: World) -> None:
    plain = producer(bank, transactional_id=f"{bank.prefix}plain", partitioner="murmur2_random")
    plain.init_transactions(PATIENCE_S)
    plain.begin_transaction()
    send(bank, plain, ("acct-1", b'{"amount": 1000}', JSON))
    plain.abort_transaction(PATIENCE_S)
    plain.begin_transaction()
    send(bank, plain, ("acct-1", DEPOSIT, JSON))
    plain.commit_transaction(PATIENCE_S)
    bank.until(lambda: bank.events(Bank, "acct-1") == [(1, Deposited(5))], "one was done")
    assert bank.counts(Bank).commands == 1


def test_librdkafkas_own_partitioner_costs_forwarding_and_nothing_else(bank: World) -> None:
    keys = [f"acct-{number}" for number in range(100)]
    send(bank, producer(bank), *[(key, DEPOSIT, JSON) for key in keys])
    bank.until(lambda: len(bank.journal(Bank)) == len(keys), "all were done")
    assert bank.counts(Bank).forwarded > 0
    assert {(r.key, r.partition) for r in bank.journal(Bank)} == {
        (f"{key}@1".encode(), partition_for(key.encode(), PARTITIONS)) for key in keys
    }


def test_with_murmur2_random_nothing_is_forwarded(bank: World) -> None:
    keys = [f"acct-{number}" for number in range(100)]
    plain = producer(bank, partitioner="murmur2_random")
    send(bank, plain, *[(key, DEPOSIT, JSON) for key in keys])
    bank.settled(Bank)
    assert len(bank.journal(Bank)) == len(keys)
    assert bank.counts(Bank).forwarded == 0


@pytest.mark.usefixtures("kcat")
def test_a_header_whose_name_is_no_text_makes_a_dead_letter(bank: World) -> None:
    where = ["-b", bank.url.removeprefix("kafka://"), "-t", bank.topics(Bank).commands]
    subprocess.run(
        ["kcat", "-P", *where, "-k", "acct-1", "-H", b"\xff\xfe=1"], input=b"x", check=True
    )
    assert bank.call(Bank, "acct-1", Deposit(5)) == 5
    (letter,) = bank.dead_letters(Bank)
    assert (header(letter, "persist-id"), letter.value) == ("acct-1", b"x")
    assert header(letter, "error") == "the name of a header is not UTF-8"
