"""``kstate replay`` as CSV, as Avro files and with state differences; snapshots compared and made
anew; points in time; queries by several tags and by type."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pytest
from click.testing import Result
from shells import Shell
from shop import Cancel, Put, Shop
from world import World

from kstate.core.messages import Snapshot, Write
from kstate.core.partition import partition_for


def fill(world: World) -> None:
    """A shop with some orders, one of them cancelled."""
    for persist_id, count in (("o-1", 1), ("o-2", 200), ("o-1", 2), ("gone", 3), ("o-1", 300)):
        world.call(Shop, persist_id, Put(count), command_id=f"put-{count}")
    world.call(Shop, "gone", Cancel())


@pytest.fixture
def filled(shell: Shell, world: World) -> Shell:
    """A shop of this test's own."""
    fill(world)
    return shell


@pytest.fixture(scope="module")
def shop(shared_world: World) -> World:
    shared_world.run(Shop)
    fill(shared_world)
    return shared_world


def lines(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


# -- forms ---------------------------------------------------------------------------------------


def test_csv_has_headings_and_one_line_per_event(reading: Shell) -> None:
    rows = list(csv.DictReader(reading("replay", "shop", "o-1", "--csv").stdout.splitlines()))
    assert [(row["persist_id"], row["seq"], row["tags"]) for row in rows] == [
        ("o-1", "1", ""),
        ("o-1", "2", ""),
        ("o-1", "3", "many"),
    ]
    assert json.loads(rows[2]["event"])["item"]["count"] == 300


def test_avro_files_hold_the_events_as_they_were_written(reading: Shell, tmp_path: Path) -> None:
    result = reading("replay", "shop", "--avro", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    found = []
    for path in (tmp_path / "out").glob("*.avro"):
        with path.open("rb") as file:
            found += list(fastavro.reader(file))
    events = lines(reading("replay", "shop", "--json"))
    assert sorted((each["persist_id"], each["seq"]) for each in found) == sorted(
        (each["persist_id"], each["seq"]) for each in events
    )
    (last,) = [each for each in found if (each["persist_id"], each["seq"]) == ("o-1", 3)]
    assert last["tags"] == ["many"]
    assert last["command_id"] == "put-300"
    assert last["event"]["item"]["count"] == 300
    assert last["at"].tzinfo is not None


def test_a_directory_with_files_is_not_written_into(reading: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = reading("replay", "shop", "--avro", str(tmp_path))
    assert result.exit_code == 3
    assert "is not empty: give a new directory" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--json", "--csv"), "give one of --json and --csv"),
        (("--state", "--verify"), "give one of --state and --verify"),
        (("--verify", "--csv"), "--verify takes no --csv"),
        (("--verify", "--to-seq", "3"), "--verify takes no bounds"),
        (("--rebuild", "o-1"), "--rebuild takes no ids"),
    ],
)
def test_what_does_not_go_together_is_told(
    reading: Shell, options: tuple[str, ...], told: str
) -> None:
    result = reading("replay", "shop:Shop", *options)
    assert result.exit_code == 2
    assert told in result.stderr


# -- states --------------------------------------------------------------------------------------


def test_each_step_tells_what_its_event_has_changed(reading: Shell) -> None:
    steps = lines(reading("replay", "shop:Shop", "o-1", "--state", "--json"))
    assert [step["changed"]["total"] for step in steps] == [[0, 1], [1, 3], [3, 303]]
    assert steps[1]["changed"].keys() == {"total", "items[1]"}
    text = reading("replay", "shop:Shop", "o-1", "--state", "--from-seq", "3").stdout
    assert "    total: 3 → 303\n" in text


def test_a_state_at_a_point(reading: Shell) -> None:
    for point, total in (("seq:1", 1), ("before:put-300", 3), ("after:put-300", 303)):
        (state,) = lines(reading("state", "shop:Shop", "o-1", "--at", point, "--json"))
        assert state["total"] == total


def test_the_events_between_two_points(reading: Shell) -> None:
    result = reading(
        "state", "shop:Shop", "o-1", "--from", "seq:1", "--at", "before:put-300", "--json"
    )
    beginning, step = lines(result)
    assert (beginning["seq"], beginning["state"]["total"]) == (1, 1)
    assert (step["seq"], step["changed"]["total"]) == (2, [1, 3])


def test_what_is_no_point_is_told(reading: Shell) -> None:
    result = reading("state", "shop:Shop", "o-1", "--at", "yesterday")
    assert result.exit_code == 2
    assert "is no point in time: write seq:10, 2026-03-01T12:00:00Z" in result.stderr


# -- snapshots -----------------------------------------------------------------------------------


def snapshotted(world: World) -> None:
    """Restarts the workers with one command per snapshot, so that there are some."""
    world.restart(max_tail=1, batch_records=1)
    for count in (1, 2, 3):
        world.call(Shop, "o-1", Put(count))
    world.settled(Shop)


def test_snapshots_are_compared_with_their_events(filled: Shell, world: World) -> None:
    snapshotted(world)
    result = filled("replay", "shop:Shop", "--verify")
    assert result.exit_code == 0, result.output
    assert "compared, all as their events make them" in result.stdout


def lie(world: World) -> None:
    """Puts a snapshot into the topic that is not what the events make."""
    machine = world.client.machine(Shop)
    records = [r for r in world.snapshots(Shop) if r.key == b"o-1"]
    true = machine.codec.decode_snapshot(records[-1].value)
    state = type(true.state)(total=7)
    false = Snapshot(true.seq, state, true.version, true.journal_offset, true.at, False, {})
    producer = world.client._log.producer()
    value = machine.codec.encode_snapshot(false)
    topic = world.topics(Shop).snapshots
    producer.send(Write(topic, records[-1].partition, b"o-1", value, [], true.at))
    producer.close()


def test_a_snapshot_that_is_not_what_the_events_make_is_told(filled: Shell, world: World) -> None:
    snapshotted(world)
    world.stop()
    lie(world)
    result = filled("replay", "shop:Shop", "--verify", "--json")
    assert result.exit_code == 34
    differs = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["persist_id"] for each in differs] == ["o-1"]
    assert differs[0]["differs"]["total"]["snapshot"] == 7
    assert "the snapshots of 1 entity are not what the events make: " in result.stderr
    assert "kstate replay --rebuild" in result.stderr


def plant(world: World, persist_id: str, value: bytes) -> None:
    """Puts a record into the snapshots topic."""
    partition = partition_for(persist_id.encode(), 2)
    topic = world.topics(Shop).snapshots
    world.produce(Shop, value, key=persist_id.encode(), partition=partition, topic=topic)


def test_a_snapshot_that_cannot_be_compared_is_told(filled: Shell, world: World) -> None:
    snapshotted(world)
    true = world.snapshot(Shop, "o-1")
    world.stop()
    encode = world.client.machine(Shop).codec.encode_snapshot
    plant(world, "o-1", b"\xc3\x01")
    plant(world, "o-2", encode(replace(true, seq=9)))
    result = filled("replay", "shop:Shop", "--verify")
    assert result.exit_code == 34
    unread, unreached = sorted(result.stdout.splitlines())
    assert unread.startswith("o-1  the snapshot cannot be read: ")
    assert unreached == "o-2@9  the snapshot cannot be compared: the journal ends with seq 1"
    assert "the snapshots of 2 entities are not what the events make: " in result.stderr
    result = filled("replay", "shop:Shop", "o-1", "o-2", "nobody", "--verify", "--json")
    assert result.exit_code == 34
    told = sorted(map(json.loads, result.stdout.splitlines()), key=lambda t: t["persist_id"])
    assert [sorted(each.keys() - {"persist_id", "seq"}) for each in told] == [
        ["absent"],
        ["unreadable"],
        ["unreached"],
    ]
    assert [each["seq"] for each in told] == [None, None, 9]


def test_an_id_that_does_not_exist_is_told_in_a_sentence(reading: Shell) -> None:
    result = reading("replay", "shop:Shop", "nobody", "o-1", "--verify")
    assert result.exit_code == 3
    assert result.stderr.endswith("shop has no event and no snapshot of 'nobody'\n")


def test_what_is_not_compared_is_counted(filled: Shell, world: World) -> None:
    snapshotted(world)
    true = world.snapshot(Shop, "o-1")
    world.stop()
    encode = world.client.machine(Shop).codec.encode_snapshot
    plant(world, "o-2", encode(replace(true, seq=1, version=7)))
    result = filled("replay", "shop:Shop", "o-2", "--verify")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("; 1 of another snapshot_version not compared\n")


@pytest.mark.parametrize("running", [True, False])
def test_snapshots_are_made_anew(filled: Shell, world: World, running: bool) -> None:
    snapshotted(world)
    world.stop()
    lie(world)
    if running:
        world.run(Shop)
        world.call(Shop, "o-1", Put(1))  # it has its partitions
    result = filled("replay", "shop:Shop", "--rebuild")
    assert result.exit_code == 0, result.output
    assert "written" in result.stdout
    assert world.snapshot(Shop, "o-1").state.total == 309 + running
    if not running:
        world.run(Shop)
    assert world.state(Shop, "o-1").total == 309 + running


# -- queries -------------------------------------------------------------------------------------


def test_a_query_by_type_and_without_a_tag(reading: Shell) -> None:
    found = lines(reading("query", "shop", "--type", "Added", "--without", "many", "--json"))
    assert {(each["persist_id"], each["seq"]) for each in found} == {
        ("o-1", 1),
        ("o-1", 2),
        ("gone", 1),
    }


def test_a_query_in_the_order_of_times(reading: Shell) -> None:
    found = lines(reading("query", "shop", "--by-time", "--json"))
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--id", "o-1", "--ids"), "give one of --id and --ids"),
        (("--id", "o-1", "--tag", "many"), "--id takes no --tag"),
    ],
)
def test_a_query_that_makes_no_sense_is_told(
    reading: Shell, options: tuple[str, ...], told: str
) -> None:
    result = reading("query", "shop", *options)
    assert result.exit_code == 2
    assert told in result.stderr
