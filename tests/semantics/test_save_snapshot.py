"""Snapshots: on request, every so many events, and before an entity leaves memory."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from counter import Add, Added, Count, Counter, Save
from world import World

from kstate import Command, CommandFailed, Context, command


@dataclass(frozen=True)
class SaveBetween(Command[None]):
    """Asks for a snapshot between two events."""

    fail: bool = False


class Saver(Counter):
    name = "saver"
    snapshot_every = 0

    @command
    def save_between(self, ctx: Context[Count], cmd: SaveBetween) -> None:
        ctx.persist(Added(1))
        ctx.save_snapshot()
        ctx.persist(Added(1))
        if cmd.fail:
            raise ValueError


class Often(Counter):
    name = "often"
    snapshot_every = 5


def test_a_snapshot_is_of_the_state_at_the_last_seq_of_its_command(world: World) -> None:
    world.run(Saver)
    world.call(Saver, "a", SaveBetween())
    snapshot = world.snapshot(Saver, "a")
    assert (snapshot.seq, snapshot.state) == (2, Count(2, 2))


def test_a_command_may_do_nothing_but_save(world: World) -> None:
    world.run(Saver)
    world.call(Saver, "a", Add(5))
    world.call(Saver, "a", Save())
    assert world.snapshot(Saver, "a").seq == 1
    assert len(world.journal(Saver)) == 1


def test_a_command_that_fails_saves_nothing(world: World) -> None:
    world.run(Saver)
    with pytest.raises(CommandFailed):
        world.call(Saver, "a", SaveBetween(fail=True))
    assert world.snapshots(Saver) == []


def test_before_its_first_event_there_is_nothing_to_save(world: World) -> None:
    world.run(Saver)
    world.call(Saver, "a", Save())
    assert world.snapshots(Saver) == []


def test_without_a_request_and_with_snapshot_every_zero_there_is_none(world: World) -> None:
    world.run(Saver)
    world.call(Saver, "a", Add(1, times=200))
    assert world.snapshots(Saver) == []


def test_a_snapshot_is_taken_every_so_many_events(world: World) -> None:
    world.run(Often)
    for _ in range(12):
        world.call(Often, "a", Add(1))
    world.call(Often, "b", Add(1))
    seqs = [world.snapshot(Often, "a").seq, len(world.snapshots(Often))]
    assert seqs == [10, 2]


@pytest.mark.parametrize("without_store", [False, True])
def test_an_entity_goes_on_from_its_snapshot_and_the_events_since(
    world: World, without_store: bool
) -> None:
    world.run(Saver)
    world.call(Saver, "a", Add(5))
    world.call(Saver, "a", Save())
    world.call(Saver, "a", Add(3))
    world.restart(without_store=without_store)
    assert world.call(Saver, "a", Add(1)) == 9
    assert [seq for seq, _ in world.events(Saver, "a")] == [1, 2, 3]


@pytest.mark.parametrize("without_store", [False, True])
def test_what_a_snapshot_covers_is_not_folded_again(world: World, without_store: bool) -> None:
    world.run(Saver, partitions=1)
    world.call(Saver, "a", Add(5))
    world.call(Saver, "a", Save())

    class Other(Saver):
        def added(self, state: Count, event: Added) -> Count:
            raise AssertionError("covered by a snapshot")

    world.restart(Other, without_store=without_store)
    assert world.state(Other, "a") == Count(5, 1)


@pytest.mark.parametrize("store", ["sqlitedict", "memory", "rocksdb"])
def test_an_entity_that_was_evicted_comes_back_as_it_was(world: World, store: str) -> None:
    world.run(Saver, partitions=1, max_entities=2, store=store)
    for round_ in (1, 2):
        for number in range(6):
            assert world.call(Saver, f"id-{number}", Add(number)) == number * round_
    assert world.counts(Saver).evicted >= 9
    world.restart(without_store=True)
    assert [world.state(Saver, f"id-{n}") for n in range(6)] == [Count(2 * n, 2) for n in range(6)]


def test_an_entity_is_snapshotted_before_it_leaves_memory(world: World) -> None:
    world.run(Saver, partitions=1, max_entities=1)
    for persist_id in ("a", "b", "c"):
        world.call(Saver, persist_id, Add(1))
    assert world.snapshot(Saver, "a").state == Count(1, 1)


def test_an_entity_that_did_not_change_is_not_snapshotted_again(world: World) -> None:
    world.run(Saver, partitions=1, max_entities=1)
    for persist_id in ("a", "b", "c", "a", "b", "c"):
        world.call(Saver, persist_id, Add(1))
    before = len(world.snapshots(Saver))
    for _ in range(2):
        for persist_id in ("a", "b"):
            world.state(Saver, persist_id)
    # only c had something new
    assert len(world.snapshots(Saver)) == before + 1


def test_a_long_tail_of_the_journal_is_shortened_by_snapshots_of_the_oldest(
    world: World,
) -> None:
    world.run(Saver, partitions=1, max_tail=10)
    world.call(Saver, "old", Add(1))
    for number in range(15):
        world.call(Saver, f"new-{number}", Add(1))
    assert world.snapshot(Saver, "old").state == Count(1, 1)
    assert world.snapshot(Saver, "new-14") is None


def test_recovery_with_more_entities_than_memory_holds_loses_none(world: World) -> None:
    world.run(Saver, partitions=1)
    for number in range(20):
        world.call(Saver, f"id-{number}", Add(number))
    world.restart(without_store=True, max_entities=3)
    assert [world.state(Saver, f"id-{n}").total for n in range(20)] == list(range(20))
    world.restart(without_store=True)
    assert [world.call(Saver, f"id-{n}", Add(1)) for n in range(20)] == list(range(1, 21))
