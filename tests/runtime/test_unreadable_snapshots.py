"""A snapshot that this code cannot read: its entity is rebuilt from its events, and it is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from purses import NEW, OLD, OLDER, Add, Save, garble, in_debt, said, start_new
from world import World

from kstate.codec.avro import AvroCodec
from kstate.errors import DecodeError, LogError
from kstate.log.embedded_member import EmbeddedMember
from kstate.store.sqlitedict import SqliteDictStore


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kstate")


@pytest.mark.parametrize("without_store", [False, True])
def test_an_entity_whose_snapshot_cannot_be_read_is_rebuilt_when_a_command_comes(
    world: World, caplog: pytest.LogCaptureFixture, without_store: bool
) -> None:
    in_debt(world, "a", "b", "c")
    start_new(world, without_store)
    assert world.call(NEW, "a", Add(5)) == 1_000
    assert [seq for seq, _ in world.events(NEW, "a")] == [1, 2, 3]
    assert said(caplog, "3 snapshots of") == said(caplog, "unreadable") == 1
    assert said(caplog, "a purse holds at least 0") >= 1


def test_there_is_one_warning_however_many_partitions_have_some(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [f"id-{number}" for number in range(8)]
    world.run(OLD, partitions=4)
    for persist_id in ids:
        for command_ in (Add(-600), Add(-600), Save()):
            world.call(OLD, persist_id, command_)
    world.restart(NEW, partitions=4)
    assert [world.state(NEW, persist_id).total for persist_id in ids] == [1_000] * len(ids)
    told = [each for each in caplog.records if "are unreadable, that of" in each.getMessage()]
    assert len(told) > 1
    assert [each.levelname for each in told] == ["WARNING", *["INFO"] * (len(told) - 1)]


def test_there_is_one_warning_for_each_type_that_was_stored(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for code, kind in ((OLDER, "wallet"), (OLD, "purse")):
        world.run(code, partitions=4)
        for number in range(8):
            for command_ in (Add(-600), Add(-600), Save()):
                world.call(code, f"{kind}-{number}", command_)
        world.stop()
    caplog.clear()
    world.run(NEW, partitions=4)
    for kind in ("wallet", "purse"):
        assert [world.state(NEW, f"{kind}-{n}").total for n in range(8)] == [1_000] * 8
    for kind in ("Wallet", "Purse"):
        told = [each for each in caplog.records if f"(type {kind}) are" in each.getMessage()]
        assert len(told) > 1
        assert [each.levelname for each in told] == ["WARNING", *["INFO"] * (len(told) - 1)]


def test_those_of_no_known_type_are_told_apart_from_those_of_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    in_debt(world, "a", "b", "c")
    garble(world)
    start_new(world, without_store=True)
    assert world.state(NEW, "b").total == 1_000
    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert sum("(no known type) are unreadable, that of 'a'" in each for each in warned) == 1
    assert sum("(type Purse) are unreadable, that of 'b'" in each for each in warned) == 1


def test_the_others_are_rebuilt_along_with_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    in_debt(world, "a", "b", "c")
    start_new(world)
    assert [world.state(NEW, persist_id).total for persist_id in "abc"] == [1_000] * 3
    assert said(caplog, "is rebuilt") == 1


@pytest.mark.parametrize("without_store", [False, True])
def test_it_is_rebuilt_when_its_later_events_are_folded(
    world: World, caplog: pytest.LogCaptureFixture, without_store: bool
) -> None:
    world.run(OLD, partitions=1)
    for command_ in (Add(-600), Add(-600), Save(), Add(7)):
        world.call(OLD, "a", command_)
    world.stop()
    start_new(world, without_store)
    assert world.state(NEW, "a").total == 1_000
    assert [seq for seq, _ in world.events(NEW, "a")] == [1, 2, 3]
    assert said(caplog, "unreadable") == 1


@pytest.mark.parametrize("without_store", [False, True])
def test_a_snapshot_that_is_none_is_passed_over(
    world: World, caplog: pytest.LogCaptureFixture, without_store: bool
) -> None:
    in_debt(world, "a")
    garble(world)
    if without_store:
        world.forget_stores()
    world.run(OLD, partitions=1)
    assert world.call(OLD, "a", Add(1)) == -199
    assert said(caplog, "1 snapshots of") == 1


def test_one_in_the_local_store_alone_is_read_from_the_topic_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    in_debt(world, "a")
    damage_store(world, {b"a": b"garbled"})
    world.run(OLD, partitions=1)
    assert world.call(OLD, "a", Add(1)) == -199
    assert said(caplog, "unreadable") == 0


def damage_store(world: World, changes: Mapping[bytes, bytes]) -> None:
    store = SqliteDictStore(world.data / world.topics(OLD).group / "0" / "store")
    partition = store.open(world.topics(OLD).snapshots, 0)
    checkpoint = partition.checkpoint()
    assert checkpoint is not None
    partition.apply(dict(changes), checkpoint)
    partition.close()


@pytest.mark.parametrize("ahead", [200, 1])
@pytest.mark.parametrize("batch_records", [1_000, 2])
def test_commands_around_it_run_once_and_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch, batch_records: int, ahead: int
) -> None:
    monkeypatch.setattr("kstate.runtime.worker.AHEAD", ahead)
    in_debt(world, "a")
    for persist_id, amount in (("x", 1), ("a", 2), ("x", 3), ("a", 4), ("x", 5)):
        world.cast(NEW, persist_id, Add(amount))
    offsets = committed_offsets(monkeypatch)
    start_new(world, batch_records=batch_records)
    world.settled(NEW)
    amounts = {each: [e.amount for _, e in world.events(NEW, each)] for each in "ax"}
    assert amounts == {"a": [-600, -600, 2, 4], "x": [1, 3, 5]}
    assert offsets == sorted(offsets)
    assert offsets[0] > 3  # the old code's


def committed_offsets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The progress of partition 0 in each commit from now on."""
    real, found = EmbeddedMember.commit, []

    def commit(self: EmbeddedMember, writes: Any, progress: Any) -> Any:
        found.append(progress[0].offset)
        return real(self, writes, progress)

    monkeypatch.setattr(EmbeddedMember, "commit", commit)
    return found


def test_the_other_partitions_go_on(world: World) -> None:
    world.run(OLD, partitions=4)
    ids = [f"id-{number}" for number in range(12)]
    for persist_id in ids:
        world.call(OLD, persist_id, Add(-1_200))
    world.call(OLD, ids[0], Save())
    world.stop()
    world.run(NEW, partitions=4)
    totals = [world.call(NEW, persist_id, Add(1)) for persist_id in ids]
    assert totals == [1_000] * 12
    assert world.counts(NEW).commands == 12


def test_new_snapshots_take_their_place(world: World, caplog: pytest.LogCaptureFixture) -> None:
    in_debt(world, "a", "b")
    start_new(world)
    for persist_id in "ab":
        world.call(NEW, persist_id, Save())
    caplog.clear()
    world.restart(without_store=True)
    assert [world.state(NEW, persist_id).total for persist_id in "ab"] == [1_000] * 2
    assert said(caplog, "unreadable") == 0


@pytest.mark.parametrize("without_store", [False, True])
def test_a_restart_right_after_the_rebuild_loses_nothing(world: World, without_store: bool) -> None:
    in_debt(world, "a", "b")
    start_new(world)
    assert world.state(NEW, "a").total == 1_000
    for _ in range(2):
        world.restart(without_store=without_store)
        assert [world.state(NEW, persist_id).total for persist_id in "ba"] == [1_000] * 2


def test_more_entities_than_memory_takes_are_rebuilt_too(world: World) -> None:
    ids = [f"id-{number}" for number in range(8)]
    in_debt(world, *ids)
    start_new(world, max_entities=2)
    assert [world.call(NEW, persist_id, Add(1)) for persist_id in ids] == [1_000] * 8
    world.restart(without_store=True)
    assert [len(world.events(NEW, persist_id)) for persist_id in ids] == [3] * 8
    assert [world.state(NEW, persist_id).total for persist_id in ids] == [1_000] * 8


def test_a_rebuild_that_ended_in_the_middle_begins_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_debt(world, "a", "b")
    for persist_id in "ab":
        world.cast(OLD, persist_id, Add(1))
    monkeypatch.setattr("kstate.runtime.recovery.CHUNK", 1)
    world.faults.kill_after_commit()
    start_new(world, max_entities=1)
    world.killed()
    for _ in range(3):
        world.faults.kill_after_commit()
        start_new(world, max_entities=1)
        world.killed()
    start_new(world, max_entities=1)
    world.settled(NEW)
    assert [world.state(NEW, persist_id).total for persist_id in "ab"] == [1_000] * 2
    assert [[seq for seq, _ in world.events(NEW, each)] for each in "ab"] == [[1, 2, 3]] * 2


def test_a_snapshot_that_no_code_reads_twice_the_same_stops_the_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_debt(world, "a")
    real: Any = OLD
    monkeypatch.setattr("kstate.codec.avro.AvroCodec.decode_snapshot", _failing_every_second_time())
    world.cast(real, "a", Add(1))
    world.run(real, partitions=1)
    failure = world.failure()
    assert not isinstance(failure, LogError)
    assert "moody" in str(failure)


def _failing_every_second_time() -> Any:
    decode = AvroCodec.decode_snapshot
    calls: list[int] = []

    def moody(self: AvroCodec, value: bytes | None) -> Any:
        calls.append(1)
        if len(calls) % 2:  # when it enters memory; not when the recovery looks at it
            raise DecodeError("moody")
        return decode(self, value)

    return moody
