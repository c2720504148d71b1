"""Java's own clients and Avro's own library understand kstate's topics, and are understood."""

from __future__ import annotations

import json
import random
import sys
import unicodedata
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from interop_tools import PARTITIONS, JavaClient
from java_programs import Java
from world import PATIENCE_S, World, header

from kstate import Command, Context, Processor, command, event
from kstate.core.partition import partition_for
from kstate.query.events import StoredEvent
from processors.bank import Bank, Close, Deposit, Deposited, Transfer, Withdraw

LARGEST = 2**63 - 1


@pytest.fixture
def client(java: Java, bank: World) -> JavaClient:
    return JavaClient(java, bank)


def ok(seq: int, value: Any) -> dict[str, Any]:
    return {"status": "ok", "code": None, "error": None, "seq": seq, "value": value}


# -- commands and replies --------------------------------------------------------------------------


def test_a_command_from_java_is_done_and_java_reads_the_reply(
    client: JavaClient, bank: World, schemas: Path
) -> None:
    client.send(
        schemas / "Deposit.avsc",
        ("acct-1", "one", {"amount": 5}),
        ("acct-1", "two", {"amount": LARGEST - 5}),
    )
    assert client.replies("one", "two") == {"one": ok(1, 5), "two": ok(2, LARGEST)}
    assert bank.events(Bank, "acct-1") == [(1, Deposited(5)), (2, Deposited(LARGEST - 5))]


def test_a_command_that_java_sends_twice_is_done_once_and_answered_again(
    client: JavaClient, bank: World, schemas: Path
) -> None:
    for _ in range(2):
        client.send(schemas / "Deposit.avsc", ("acct-1", "one", {"amount": 5}))
    bank.settled(Bank)
    assert bank.events(Bank, "acct-1") == [(1, Deposited(5))]
    first, second = bank.replies(Bank)
    assert (first.key, first.value) == (second.key, second.value)
    assert header(second, "status") == "ok"


def test_java_reads_a_refusal(client: JavaClient, schemas: Path) -> None:
    client.send(schemas / "Withdraw.avsc", ("acct-1", "one", {"amount": 5}))
    refusal = {"status": "rejected", "code": "funds", "error": "the balance is 0", "seq": 0}
    assert client.replies("one") == {"one": {**refusal, "value": None}}


def test_java_reads_a_reply_that_is_none(client: JavaClient, schemas: Path) -> None:
    client.send(schemas / "Close.avsc", ("acct-1", "one", {}))
    assert client.replies("one") == {"one": ok(1, None)}


def test_a_command_for_another_entity_that_java_set_off_is_done(
    client: JavaClient, bank: World, schemas: Path
) -> None:
    bank.call(Bank, "from", Deposit(5))
    client.send(schemas / "Transfer.avsc", ("from", "one", {"to": "to", "amount": 3}))
    assert client.replies("one") == {"one": ok(2, 2)}
    bank.until(lambda: bank.events(Bank, "to") == [(1, Deposited(3))], "the money arrived")


# -- partitions ------------------------------------------------------------------------------------


def persist_ids(count: int, seed: int) -> list[str]:
    """Different ids of code points from all of Unicode, those without a character included."""
    chance = random.Random(seed)
    found: set[str] = set()
    while len(found) < count:
        size = chance.randint(1, 24)
        beyond = chance.choice(
            (0x7F, 0x7FF, 0xFFFF, sys.maxunicode)
        )  # as long in UTF-8 as it may be
        text = "".join(chr(chance.randint(0x20, beyond)) for _ in range(size))
        if not any(unicodedata.category(each) in ("Cc", "Cs") for each in text):
            found.add(text)
    return sorted(found)


def test_java_puts_keys_of_all_of_unicode_where_kstate_has_them_and_none_is_forwarded(
    client: JavaClient, bank: World, schemas: Path
) -> None:
    keys = {uuid.uuid4().hex: key for key in persist_ids(1_000, seed=1)}
    commands = [(key, number, {"amount": 1}) for number, key in keys.items()]
    lie = client.send(schemas / "Deposit.avsc", *commands)
    assert lie == {n: partition_for(key.encode(), PARTITIONS) for n, key in keys.items()}
    assert client.replies(*keys) == {number: ok(1, 1) for number in keys}
    counts = bank.counts(Bank)
    assert (counts.forwarded, counts.commands) == (0, 1_000)
    assert bank.dead_letters(Bank) == []
    assert [each["persist_id"] for each in client.journal()] == sorted(keys.values())
    assert sorted(bank.client.ids(Bank)) == sorted(keys.values())


# -- the journal -----------------------------------------------------------------------------------


def as_java_tells(stored: StoredEvent) -> dict[str, Any]:
    """An event of kstate's own query, in the form that the Java program prints."""
    fields = asdict(stored.event)
    return {
        "persist_id": stored.persist_id, "seq": stored.seq, "type": stored.type, "event": fields
    }  # fmt: skip


def test_java_reads_the_journal_as_kstates_own_query_does(client: JavaClient, bank: World) -> None:
    for amount in (5, 20_000, LARGEST - 20_005):
        bank.call(Bank, "a@1", Deposit(amount))
    for _ in range(10):  # the tenth costs a fee
        bank.call(Bank, "a@1", Withdraw(1))
    bank.call(Bank, "a@1", Transfer("ключ 🔑", 7))
    bank.call(Bank, "empty", Close())
    bank.settled(Bank)
    told = sorted(bank.client.events.all(Bank), key=lambda each: (each.persist_id, each.seq))
    assert {each.type for each in told} == {
        "Deposited", "Withdrawn", "FeeCharged", "kstate.Deleted"
    }  # fmt: skip
    assert client.journal() == [as_java_tells(each) for each in told]


def test_java_sees_nothing_of_what_was_aborted(client: JavaClient, bank: World) -> None:
    bank.call(Bank, "acct-1", Deposit(5))
    (stored,) = bank.journal(Bank)
    servers = bank.url.removeprefix("kafka://")
    writer = Producer({"bootstrap.servers": servers, "transactional.id": f"{bank.prefix}dying"})
    writer.init_transactions(PATIENCE_S)
    writer.begin_transaction()
    writer.produce(
        bank.topics(Bank).journal, stored.value, b"acct-1@2", stored.partition,
        headers=stored.headers,
    )  # fmt: skip
    assert writer.flush(PATIENCE_S) == 0  # it lies in the log now
    writer.abort_transaction(PATIENCE_S)
    bank.call(Bank, "acct-1", Deposit(6))
    assert [(e["seq"], e["event"]["amount"]) for e in client.journal()] == [(1, 5), (2, 6)]


@dataclass(frozen=True)
class Drawer:
    total: int = 0


class Earlier:
    """The messages of a till, as they once were."""

    @dataclass(frozen=True)
    class Pay(Command[int]):
        cents: int

    @dataclass(frozen=True)
    class Paid:
        cents: int


class Today:
    """The same with a field more each."""

    @dataclass(frozen=True)
    class Pay(Command[int]):
        cents: int
        note: str = "none"

    @dataclass(frozen=True)
    class Paid:
        cents: int
        note: str = "none"


class EarlierTill(Processor[Drawer]):
    name = "till"

    def init(self, persist_id: str) -> Drawer:
        return Drawer()

    @command
    def pay(self, ctx: Context[Drawer], cmd: Earlier.Pay) -> int:
        ctx.persist(Earlier.Paid(cmd.cents))
        return ctx.state.total

    @event
    def paid(self, state: Drawer, event: Earlier.Paid) -> Drawer:
        return replace(state, total=state.total + event.cents)


class TodaysTill(Processor[Drawer]):
    name = "till"

    def init(self, persist_id: str) -> Drawer:
        return Drawer()

    @command
    def pay(self, ctx: Context[Drawer], cmd: Today.Pay) -> int:
        ctx.persist(Today.Paid(cmd.cents, cmd.note))
        return ctx.state.total

    @event
    def paid(self, state: Drawer, event: Today.Paid) -> Drawer:
        return replace(state, total=state.total + event.cents)


@pytest.fixture
def changed(world: World) -> World:
    """A till whose code was changed after its first event."""
    world.run(EarlierTill)
    assert world.call(EarlierTill, "a", Earlier.Pay(5)) == 5
    world.restart(TodaysTill)
    return world


def test_java_reads_an_older_event_in_the_newest_form_of_its_type(
    java: Java, changed: World
) -> None:
    assert changed.call(TodaysTill, "a", Today.Pay(6, "tip")) == 11
    assert [each["event"] for each in JavaClient(java, changed, "till").journal()] == [
        {"cents": 5, "note": "none"},
        {"cents": 6, "note": "tip"},
    ]


PAY = {"type": "record", "namespace": "till", "name": "Pay"}


def schema_file(directory: Path, *fields: dict[str, Any]) -> Path:
    """A schema of `Pay` that a producer has made by itself."""
    path = directory / "Pay.avsc"
    path.write_text(json.dumps({**PAY, "fields": list(fields)}))
    return path


def test_a_command_that_java_writes_in_an_older_form_of_its_type_is_done(
    java: Java, changed: World, tmp_path: Path
) -> None:
    client = JavaClient(java, changed, "till")
    older = schema_file(tmp_path, {"name": "cents", "type": "long"})
    client.send(older, ("a", "one", {"cents": 6}))
    assert client.replies("one") == {"one": ok(2, 11)}
    assert changed.events(TodaysTill, "a")[1:] == [(2, Today.Paid(6, "none"))]


def test_a_form_that_differs_in_what_a_fingerprint_omits_is_the_same(
    java: Java, changed: World, tmp_path: Path
) -> None:
    client = JavaClient(java, changed, "till")
    told = schema_file(
        tmp_path,
        {"name": "cents", "type": "long", "doc": "hundredths"},
        {"name": "note", "type": {"type": "string", "avro.java.string": "String"}},
    )
    client.send(told, ("a", "one", {"cents": 6, "note": "tip"}))
    assert client.replies("one") == {"one": ok(2, 11)}
    assert changed.events(TodaysTill, "a")[1:] == [(2, Today.Paid(6, "tip"))]


def test_a_form_that_no_worker_has_published_is_a_dead_letter_though_it_would_resolve(
    java: Java, changed: World, tmp_path: Path
) -> None:
    client = JavaClient(java, changed, "till")
    own = schema_file(tmp_path, {"name": "cents", "type": "int"})
    client.send(own, ("a", "one", {"cents": 6}))
    reply = client.replies("one")["one"]
    assert (reply["status"], reply["code"], reply["seq"]) == ("error", "unknown-schema", 1)
    (letter,) = changed.dead_letters(TodaysTill)
    assert (header(letter, "persist-id"), header(letter, "command-id")) == ("a", "one")
    assert header(letter, "error-type") == "BadCommand"
