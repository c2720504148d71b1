"""A snapshot that today's code cannot read: its entity is rebuilt from its events, and it is said;
when they are gone, the worker refuses and says what helps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from runtime_tools import execute
from world import World

from kstate import Command, Context, Processor, command, event
from kstate.errors import JournalError, LogError

AnyProcessor = type[Processor[Any]]


@dataclass(frozen=True)
class Add(Command[int]):
    amount: int


@dataclass(frozen=True)
class Save(Command[None]):
    pass


@dataclass(frozen=True)
class Drop(Command[None]):
    pass


@dataclass(frozen=True)
class Added:
    amount: int


def purse_of(smallest: int, factor: int, version: int = 1) -> AnyProcessor:
    """Code that counts in a coin of its own, and takes no state below the smallest."""

    @dataclass(frozen=True)
    class Purse:
        total: int = 1_000

        def __post_init__(self) -> None:
            if self.total < smallest:
                raise ValueError(f"a purse holds at least {smallest}")

    class Purses(Processor[Purse]):
        name = "purses"
        snapshot_every = 0
        snapshot_version = version

        def init(self, persist_id: str) -> Purse:
            return Purse()

        @command
        def add(self, ctx: Context[Purse], cmd: Add) -> int:
            ctx.persist(Added(cmd.amount))
            return ctx.state.total

        @command
        def save(self, ctx: Context[Purse], cmd: Save) -> None:
            ctx.save_snapshot()

        @command
        def drop(self, ctx: Context[Purse], cmd: Drop) -> None:
            ctx.delete()

        @event
        def added(self, state: Purse, event: Added) -> Purse:
            return Purse(state.total + factor * event.amount)

    return Purses


OLD = purse_of(smallest=-(10**9), factor=1)
NEW = purse_of(smallest=0, factor=0)
"""What debts the old code has saved, the new one cannot read; nor does it count any."""


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kstate")


def in_debt(world: World, *persist_ids: str) -> None:
    """Saves debts with the old code, and leaves."""
    world.run(OLD, partitions=1)
    for persist_id in persist_ids:
        world.call(OLD, persist_id, Add(-600))
        world.call(OLD, persist_id, Add(-600))
        world.call(OLD, persist_id, Save())
    world.stop()


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in message for message in caplog.messages)


def start_new(world: World, without_store: bool = False, **settings: Any) -> None:
    if without_store:
        world.forget_stores()
    world.run(NEW, partitions=1, **settings)


def garble(world: World, value: bytes = b"garbled") -> None:
    """Puts a snapshot on the topic that nobody can read."""
    topic = world.topics(OLD).snapshots
    world.produce(OLD, value, key=b"a", partition=0, topic=topic)


def lose_events(world: World, *keys: bytes) -> None:
    """Retention has taken these events."""
    slot = "(SELECT slot FROM topics WHERE name=?)"
    for key in keys:
        journal = world.topics(OLD).journal
        found = execute(world, f"DELETE FROM records WHERE id>>40={slot} AND key=?", journal, key)
        assert found == 1


# -- rebuilt -------------------------------------------------------------------------------------


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
    from kstate.store.sqlitedict import SqliteDictStore

    store = SqliteDictStore(world.data / world.topics(OLD).group / "0" / "store")
    partition = store.open(world.topics(OLD).snapshots, 0)
    checkpoint = partition.checkpoint()
    assert checkpoint is not None
    partition.apply(dict(changes), checkpoint)
    partition.close()


def test_commands_of_the_same_batch_run_once_and_in_order(world: World) -> None:
    in_debt(world, "a")
    for persist_id, amount in (("x", 1), ("a", 2), ("x", 3), ("a", 4), ("x", 5)):
        world.cast(NEW, persist_id, Add(amount))
    start_new(world)
    world.settled(NEW)
    amounts = {each: [e.amount for _, e in world.events(NEW, each)] for each in "ax"}
    assert amounts == {"a": [-600, -600, 2, 4], "x": [1, 3, 5]}


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
    assert world.worker(NEW).counts.commands == 12


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


# -- not without the events ----------------------------------------------------------------------


def refusal(world: World, processor: AnyProcessor = NEW) -> str:
    """What the worker of this code stops with when a command comes."""
    before = world.journal(OLD)
    world.cast(processor, "a", Add(1))
    world.run(processor, partitions=1)
    failure = world.failure()
    assert isinstance(failure, JournalError)
    assert world.journal(OLD) == before
    return str(failure)


@pytest.mark.parametrize("without_store", [False, True])
def test_an_entity_without_its_first_event_is_refused_with_the_cure(
    world: World, without_store: bool
) -> None:
    in_debt(world, "a", "b")
    lose_events(world, b"a@1")
    if without_store:
        world.forget_stores()
    words = refusal(world)
    assert "'a' cannot be rebuilt" in words
    assert "a purse holds at least 0" in words
    assert "the journal goes back to seq 2 only" in words
    assert "run code that can read the snapshot, or give the entity up with a tombstone" in words


def test_an_entity_without_any_event_is_refused_with_the_cure(world: World) -> None:
    in_debt(world, "a", "b")
    lose_events(world, b"a@1", b"a@2")
    assert "the journal has none of its events any more" in refusal(world)


def test_the_code_that_can_read_it_goes_on_after_a_refusal(world: World) -> None:
    in_debt(world, "a")
    lose_events(world, b"a@1")
    refusal(world)
    world.run(OLD, partitions=1)
    assert world.call(OLD, "a", Add(1)) == -198


def test_a_tombstone_gives_the_entity_up(world: World) -> None:
    in_debt(world, "a", "b")
    lose_events(world, b"a@1", b"a@2")
    refusal(world)
    world.produce(OLD, None, key=b"a", partition=0, topic=world.topics(OLD).snapshots)
    world.run(NEW, partitions=1)
    assert world.state(NEW, "b").total == 1_000
    world.settled(NEW)
    assert [seq for seq, _ in world.events(NEW, "a")] == [1]


def test_an_older_snapshot_that_can_be_read_is_a_base(world: World) -> None:
    world.run(OLD, partitions=1)
    for command_ in (Add(1), Save(), Add(2)):
        world.call(OLD, "a", command_)
    world.stop()
    garble(world)
    lose_events(world, b"a@1")
    world.forget_stores()
    world.run(OLD, partitions=1)
    assert world.call(OLD, "a", Add(4)) == 1_007


def test_an_older_snapshot_whose_events_after_it_are_gone_is_none(world: World) -> None:
    world.run(OLD, partitions=1)
    for command_ in (Add(1), Save(), Add(2)):
        world.call(OLD, "a", command_)
    world.stop()
    garble(world)
    lose_events(world, b"a@1", b"a@2")
    world.forget_stores()
    assert "none of its events" in refusal(world, OLD)


# -- snapshot_version, which passes snapshots over as well ---------------------------------------


RAISED = purse_of(smallest=-(10**9), factor=1, version=2)


def test_another_snapshot_version_needs_the_events_too(world: World) -> None:
    in_debt(world, "a")
    lose_events(world, b"a@1", b"a@2")
    assert "'a' cannot be rebuilt: its snapshot is of another snapshot_version" in refusal(
        world, RAISED
    )


def test_a_deleted_entity_needs_no_events(world: World) -> None:
    world.run(OLD, partitions=1)
    world.call(OLD, "a", Add(1))
    world.call(OLD, "a", Drop())
    world.stop()
    lose_events(world, b"a@1", b"a@2")
    world.run(RAISED, partitions=1)
    assert world.call(RAISED, "a", Add(5)) == 1_005
    assert [seq for seq, _ in world.events(RAISED, "a")] == [3]


def test_a_rebuild_for_it_that_ended_in_the_middle_begins_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(OLD, partitions=1)
    for command_ in (Add(1), Add(2), Add(3), Save()):
        for persist_id in "ab":
            world.call(OLD, persist_id, command_)
    world.stop()
    monkeypatch.setattr("kstate.runtime.recovery.CHUNK", 1)
    # each of both entities is snapshotted half rebuilt, and the worker ends
    world.faults.lose_answer()
    world.faults.kill_after_commit()
    world.run(RAISED, partitions=1, max_entities=1)
    world.killed()
    world.run(RAISED, partitions=1)
    assert [world.state(RAISED, persist_id).total for persist_id in "ab"] == [1_006] * 2


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
    from kstate.codec.avro import AvroCodec
    from kstate.errors import DecodeError

    decode = AvroCodec.decode_snapshot
    calls: list[int] = []

    def moody(self: AvroCodec, value: bytes | None) -> Any:
        calls.append(1)
        if len(calls) % 2:  # when it enters memory; not when the recovery looks at it
            raise DecodeError("moody")
        return decode(self, value)

    return moody
