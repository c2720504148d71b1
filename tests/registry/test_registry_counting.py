"""``kstate schema list --count`` where records bear the ids of a schema registry."""

from __future__ import annotations

import json
from pathlib import Path

import fastavro
import pytest
from click.testing import CliRunner, Result
from counter import Add, Counter, Save
from registry_tools import fresh_name
from world import World

import kstate
from kstate.cli.main import kstate as program
from kstate.codec.registry_client import RegistryClient
from kstate.codec.writers import fingerprint
from kstate.errors import DecodeError, LogUnavailable

NOBODY = "http://127.0.0.1:9"
UNKNOWN = b"\0\x7f\xff\xff\xff\2"
"""A datum whose id no registry has."""


@pytest.fixture
def changed_over(world: World, registry_url: str) -> World:
    """Two events in single-object encoding, then a snapshot and three events with ids."""
    world.run(Counter)
    world.call(Counter, "a", Add(1, times=2))
    world.stop()
    world.client.close()
    world._client = kstate.connect(world.url, prefix=world.prefix, schema_registry=registry_url)
    world.run(Counter, schema_registry=registry_url)
    world.call(Counter, "a", Add(2, times=3))
    world.call(Counter, "a", Save())
    world.stop()
    assert {r.value[:1] for r in world.journal(Counter) if r.value} == {b"\xc3", b"\0"}
    return world


def told(result: Result) -> str:
    """The sentences on standard error, without the progress that a slow reading shows there."""
    lines = result.stderr.splitlines(keepends=True)
    return "".join(each for each in lines if not each.startswith("records: "))


def listed(world: World, registry: str, *arguments: str) -> Result:
    return CliRunner().invoke(
        program,
        ["schema", "list", "counter:Counter", "--count", "--json", *arguments],
        env={
            "KSTATE_LOG": world.url,
            "KSTATE_PREFIX": world.prefix,
            "KSTATE_SCHEMA_REGISTRY": registry,
        },
    )


def records(result: Result) -> dict[str, int]:
    """How many records there are of each type that has any; all replies here are alike."""
    rows = map(json.loads, result.stdout.splitlines())
    found = {row["type"].replace("Add.reply", "reply"): row["records"] for row in rows}
    return {name: count for name, count in found.items() if count and "." not in name}


def test_records_of_both_formats_are_counted_under_the_version_they_were_written_with(
    changed_over: World, registry_url: str
) -> None:
    result = listed(changed_over, registry_url)
    assert result.exit_code == 0, result.output
    assert records(result) == {"Add": 2, "Added": 5, "Save": 1, "Count": 1, "reply": 2}


def test_a_schema_that_only_the_registry_has_is_listed_with_its_records(
    changed_over: World, registry_url: str
) -> None:
    foreign = {
        "type": "record", "name": "Add", "namespace": "counter",
        "fields": [{"name": "amount", "type": "int"}],
    }  # fmt: skip
    with RegistryClient(registry_url).session() as session:
        number = session.register(fresh_name(), foreign, "a command")
    for _ in range(2):
        changed_over.produce(Counter, b"\0" + number.to_bytes(4, "big") + b"\x06")
    rows = [json.loads(line) for line in listed(changed_over, registry_url).stdout.splitlines()]
    (row,) = [each for each in rows if each["fingerprint"] == fingerprint(foreign).hex()]
    assert (row["type"], row["records"], row["today"]) == ("Add", 2, False)
    assert row["first_seen"] == "in the registry"


def test_records_of_ids_that_the_registry_does_not_know_end_the_count_with_one_sentence(
    changed_over: World, registry_url: str
) -> None:
    for value in (UNKNOWN, UNKNOWN, UNKNOWN[:4] + b"\xfe\2"):
        changed_over.produce(Counter, value)
    result = listed(changed_over, registry_url)
    assert result.exit_code == DecodeError.exit_code
    assert told(result) == (
        "kstate: 3 records of counter are not counted: the schema with id 2147483647 cannot be "
        f"had: the schema registry at {registry_url} has none; the schema with id 2147483646 "
        f"cannot be had: the schema registry at {registry_url} has none\n"
    )
    # what is known was counted all the same
    assert records(result) == {"Add": 2, "Added": 5, "Save": 1, "Count": 1, "reply": 2}


def test_of_many_unknown_ids_a_few_are_named(changed_over: World, registry_url: str) -> None:
    for number in range(9):
        changed_over.produce(Counter, UNKNOWN[:4] + bytes([number]) + b"\2")
    said = told(listed(changed_over, registry_url))
    assert said.startswith("kstate: 9 records of counter are not counted: ")
    assert said.endswith("; and 6 further ids\n")


def test_a_value_too_short_for_an_id_bears_none(changed_over: World, registry_url: str) -> None:
    changed_over.produce(Counter, b"\0\0\0")
    assert listed(changed_over, registry_url).exit_code == 0


def test_without_a_registry_the_sentence_names_the_setting(changed_over: World) -> None:
    result = listed(changed_over, "")
    assert result.exit_code == DecodeError.exit_code
    assert told(result) == (
        "kstate: 7 records of counter are not counted: the value is in Confluent's wire format; "
        "set schema_registry (KSTATE_SCHEMA_REGISTRY) to the registry that has its schema\n"
    )
    assert records(result) == {"Add": 1, "Added": 2, "reply": 1}


def test_a_registry_that_is_away_is_one_sentence_and_no_number(changed_over: World) -> None:
    result = listed(changed_over, NOBODY)
    assert result.exit_code == LogUnavailable.exit_code
    assert result.stdout == ""
    assert told(result).startswith(f"kstate: the schema registry at {NOBODY} does not answer: ")


def test_container_files_hold_the_events_of_both_formats(
    changed_over: World, registry_url: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        program,
        ["replay", "counter:Counter", "--avro", str(tmp_path / "out")],
        env={
            "KSTATE_LOG": changed_over.url,
            "KSTATE_PREFIX": changed_over.prefix,
            "KSTATE_SCHEMA_REGISTRY": registry_url,
        },
    )
    assert result.exit_code == 0, result.output
    found = []
    for path in (tmp_path / "out").glob("*.avro"):
        with path.open("rb") as file:
            found += [(each["seq"], each["event"]) for each in fastavro.reader(file)]
    assert sorted(found, key=lambda each: each[0]) == [
        *((seq, {"amount": 1}) for seq in (1, 2)),
        *((seq, {"amount": 2}) for seq in (3, 4, 5)),
    ]
