"""What stands in a record when a schema registry is used, and what is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import pytest
from counter import Add, Added, Count, Counter
from registry_tools import codec, fresh_name

from kstate import Command, Context, Processor, Scale, command, event
from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.registry import Ids
from kstate.codec.registry_client import RegistryClient
from kstate.codec.registry_codec import RegistryMessages
from kstate.core.messages import Snapshot
from kstate.errors import BadCommand, DecodeError, SchemaError
from kstate.processor import definition_of


def number_of(value: bytes) -> int:
    assert value[0] == 0
    return int.from_bytes(value[1:5], "big")


def registered(url: str, number: int) -> Any:
    with RegistryClient(url).session() as session:
        return session.schema(number)


def plain() -> AvroCodec:
    return AvroCodec(definition_of(Counter))


def test_a_command_bears_the_id_of_its_schema(registry_url: str) -> None:
    value = codec(Counter, registry_url).encode_command("counter", Add(3))
    assert registered(registry_url, number_of(value))["name"] == "Add"
    assert value[5:] == plain().encode_command("counter", Add(3))[10:]


def test_events_replies_and_states_bear_ids(registry_url: str) -> None:
    made = codec(Counter, registry_url)
    values = [made.encode_event(Added(1)), made.encode_reply(Add, 7), made.encode_state(Count())]
    names = [registered(registry_url, number_of(value)) for value in values]
    assert [n["name"] if isinstance(n, dict) else n for n in names] == ["Added", "long", "Count"]


def test_everything_reads_back(registry_url: str) -> None:
    made = codec(Counter, registry_url)
    assert made.decode_event(made.encode_event(Added(5))) == Added(5)
    assert made.decode_state(made.encode_state(Count(3, 2))) == Count(3, 2)
    assert made.decode_reply(Add, made.encode_reply(Add, 7)) == 7
    value = made.encode_command("counter", Add(3))
    assert made.decode_command(value, None, None) == Add(3)


def test_a_snapshot_bears_the_id_of_its_states_schema(registry_url: str) -> None:
    made = codec(Counter, registry_url)
    kept = Snapshot(2, Count(3, 2), 1, 0, 0, False, {})
    value = made.encode_snapshot(kept)
    assert made.encode_state(Count(3, 2)) in value
    assert made.decode_snapshot(value).state == Count(3, 2)


def test_a_snapshot_tells_the_type_of_its_state_with_an_id_or_a_fingerprint(
    registry_url: str,
) -> None:
    made, without = codec(Counter, registry_url), plain()
    kept = Snapshot(2, Count(3, 2), 1, 0, 0, False, {})
    assert made.state_type(made.encode_snapshot(kept)) == "Count"
    assert made.state_type(without.encode_snapshot(kept)) == "Count"
    assert without.state_type(made.encode_snapshot(kept)) is None


def test_single_object_encoding_is_read_as_well(registry_url: str) -> None:
    made, without = codec(Counter, registry_url), plain()
    assert made.decode_event(without.encode_event(Added(5))) == Added(5)
    value = without.encode_command("counter", Add(3))
    assert made.decode_command(value, None, None) == Add(3)
    assert made.decode_reply(Add, without.encode_reply(Add, 7)) == 7


def test_without_a_registry_its_records_are_refused_by_a_sentence_that_names_the_setting(
    registry_url: str,
) -> None:
    made, without = codec(Counter, registry_url), plain()
    with pytest.raises(DecodeError, match="set schema_registry"):
        without.decode_event(made.encode_event(Added(5)))
    with pytest.raises(BadCommand, match="set schema_registry"):
        without.decode_command(made.encode_command("counter", Add(3)), None, None)


def test_events_are_read_by_their_schemas_alone(registry_url: str) -> None:
    value = codec(Counter, registry_url).encode_event(Added(5))
    book = Book()
    messages = RegistryMessages(book, Ids(RegistryClient(registry_url), book))
    assert messages.decode_event(value) == {"amount": 5}


def test_a_client_by_name_writes_what_the_processor_reads(registry_url: str) -> None:
    book = Book()
    messages = RegistryMessages(book, Ids(RegistryClient(registry_url), book))
    value = messages.encode_command("counter", Add(3))
    assert number_of(value)
    assert codec(Counter, registry_url).decode_command(value, None, None) == Add(3)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"\0", "truncated"),
        (b"\0\0\0\1", "truncated"),
        (b"\0\x7f\xff\xff\xff\2", "unknown-schema"),
        (b"\0\xff\xff\xff\xff\2", "unknown-schema"),
    ],
)
def test_a_head_that_leads_nowhere_is_a_bad_command(
    registry_url: str, value: bytes, code: str
) -> None:
    with pytest.raises(BadCommand) as refused:
        codec(Counter, registry_url).decode_command(value, None, None)
    assert refused.value.code == code


def test_a_command_that_ends_within_its_datum_is_a_bad_command(registry_url: str) -> None:
    made = codec(Counter, registry_url)
    with pytest.raises(BadCommand) as refused:
        made.decode_command(made.encode_command("counter", Add(300))[:-2], None, None)
    assert refused.value.code == "truncated"


def test_a_foreign_schema_is_fetched_and_resolved(registry_url: str) -> None:
    foreign = {
        "type": "record", "name": "Add", "namespace": "counter",
        "fields": [{"name": "amount", "type": "int"}],
    }  # fmt: skip
    with RegistryClient(registry_url).session() as session:
        number = session.register(f"foreign.{fresh_name()}", foreign, "a command")
    value = b"\0" + number.to_bytes(4, "big") + b"\x06"
    assert codec(Counter, registry_url).decode_command(value, None, None) == Add(3)


@pytest.mark.parametrize(
    ("schema", "code"), [('"string"', "unknown-type"), ('{"type":"map","values":"long"}', None)]
)
def test_a_schema_of_another_type_is_a_bad_command(
    registry_url: str, schema: str, code: str | None
) -> None:
    with RegistryClient(registry_url).session() as session:
        number = session.register(fresh_name(), json.loads(schema), "a thing")
    with pytest.raises(BadCommand) as refused:
        codec(Counter, registry_url).decode_command(
            b"\0" + number.to_bytes(4, "big") + b"\0", None, None
        )
    assert code in (None, refused.value.code)


# -- what is registered ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Purse:
    content: Annotated[Decimal, Scale(2)] = Decimal("0.00")


@dataclass(frozen=True)
class Pay(Command[int]):
    amount: Annotated[Decimal, Scale(2)]


@dataclass(frozen=True)
class Paid:
    amount: Annotated[Decimal, Scale(2)]


def purse(called: str) -> type[Processor[Purse]]:
    class Purses(Processor[Purse]):
        name = called

        def init(self, persist_id: str) -> Purse:
            return Purse()

        @command
        def pay(self, ctx: Context[Purse], cmd: Pay) -> int:
            ctx.persist(Paid(cmd.amount))
            return ctx.seq

        @event
        def paid(self, state: Purse, event: Paid) -> Purse:
            return Purse(state.content + event.amount)

    return Purses


def test_the_subject_is_the_full_name_and_the_schema_its_full_text(registry_url: str) -> None:
    name = fresh_name()
    made = codec(purse(name), registry_url)
    value = made.encode_event(Paid(Decimal("1.50")))
    schema = registered(registry_url, number_of(value))
    assert schema["fields"][0]["type"]["logicalType"] == "decimal"
    with RegistryClient(registry_url).session() as session:
        assert session.find(f"{name}.Paid", schema) == number_of(value)


def test_a_reply_without_a_name_has_the_subject_of_its_command(registry_url: str) -> None:
    name = fresh_name()
    codec(purse(name), registry_url)
    with RegistryClient(registry_url).session() as session:
        assert session.find(f"{name}.Pay.Reply", "long") is not None


def test_a_second_start_registers_nothing_new(registry_url: str) -> None:
    processor = purse(fresh_name())
    first = codec(processor, registry_url).encode_event(Paid(Decimal("1.00")))
    assert codec(processor, registry_url).encode_event(Paid(Decimal("1.00"))) == first


def test_a_refusal_names_the_subject_and_the_type(registry_url: str) -> None:
    name = fresh_name()
    before = {
        "type": "record", "name": "Paid", "namespace": name,
        "fields": [{"name": "amount", "type": "boolean"}],
    }  # fmt: skip
    client = RegistryClient(registry_url)
    with client.session() as session:
        session.register(f"{name}.Paid", before, "the event Paid")
        session._client.set_compatibility(f"{name}.Paid", "BACKWARD")
    with pytest.raises(SchemaError, match=f"the event Paid under the subject {name}.Paid"):
        codec(purse(name), registry_url)
