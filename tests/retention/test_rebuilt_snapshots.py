"""client.rebuild() and kstate.upkeep.rebuild(): states are folded anew, and snapshots written."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from counter import Add, Added, Count, Counter, Look, Reset, Save
from keeping import Keeper, clean, tombstones
from world import PATIENCE_S, World

import kstate.aio
from kstate import CommandFailed, event
from kstate.config import Config
from kstate.core.messages import Rebuild
from kstate.errors import JournalError, ProcessorAbsent, RebuildTimeout
from kstate.upkeep import rebuild
from kstate.wiring import open_log

without_store = pytest.mark.parametrize("without_store", [False, True])


class Twice(Counter):
    """Other folds, and nobody raised the version: old snapshots count until they are rebuilt."""

    name = "counter"

    @event
    def added(self, state: Count, event: Added) -> Count:
        return replace(state, total=state.total + 2 * event.amount, events=state.events + 1)


def saved(world: World, *persist_ids: str) -> None:
    """Entities with a snapshot that only the old folds explain."""
    world.run(Counter)
    for persist_id in persist_ids:
        world.call(Counter, persist_id, Add(5))
        world.call(Counter, persist_id, Save())
    world.restart(Twice)


def asked(world: World, processor: type[Any] = Twice) -> int:
    return world.client.rebuild(processor, timeout=PATIENCE_S)


def alone(world: World, processor: type[Any] = Twice, **more: Any) -> int:
    """Rebuilds while no worker runs."""
    log = open_log(world.url)
    config = Config(log=world.url, prefix=world.prefix, data=world.data)
    try:
        return rebuild(config, log, processor, **more)
    finally:
        log.close()


# -- by the owners -------------------------------------------------------------------------------


@without_store
def test_states_are_what_the_events_make_of_them(world: World, without_store: bool) -> None:
    saved(world, "a", "b", "c")
    assert world.state(Twice, "a") == Count(5, 1)
    assert asked(world) == 3
    assert [world.state(Twice, each) for each in "abc"] == [Count(10, 1)] * 3
    assert world.snapshot(Twice, "a").state == Count(10, 1)
    world.restart(without_store=without_store)
    assert world.state(Twice, "a") == Count(10, 1)
    assert world.call(Twice, "a", Add(1)) == 12


def test_commands_go_on_where_they_were(world: World) -> None:
    saved(world, "a")
    world.call(Twice, "a", Add(1), command_id="once")
    asked(world)
    assert world.call(Twice, "a", Add(1), command_id="once") == 7  # the reply it had
    assert world.call(Twice, "a", Add(1)) == 14
    assert [record.key for record in world.journal(Twice)] == [b"a@1", b"a@2", b"a@3"]


def test_it_is_carried_out_once(world: World) -> None:
    saved(world, "a")
    asked(world)
    before = len(world.snapshots(Twice))
    world.call(Twice, "a", Look())
    world.restart(without_store=True)
    world.call(Twice, "a", Look())
    assert len(world.snapshots(Twice)) == before


def test_it_may_be_asked_for_again(world: World) -> None:
    saved(world, "a")
    assert [asked(world), asked(world)] == [1, 1]


def test_several_who_ask_at_once_are_all_answered(world: World) -> None:
    saved(world, "a")
    world.stop()
    for partition in (0, 0, 1):
        world.produce(Twice, world.encoded(Twice, Rebuild()), key=None, partition=partition)
    world.run(Twice)
    assert asked(world) == 1
    assert world.dead_letters(Twice) == []


def test_entities_that_are_not_in_memory_are_rebuilt_too(world: World) -> None:
    world.run(Counter, partitions=1, max_entities=1)
    for number in range(4):
        world.call(Counter, f"id-{number}", Add(5))
    world.restart(Twice)
    asked(world)
    assert {world.state(Twice, f"id-{number}").total for number in range(4)} == {10}


def test_it_may_be_awaited(world: World) -> None:
    saved(world, "a")

    async def written() -> int:
        async with kstate.aio.connect(world.url, prefix=world.prefix) as k:
            return await k.rebuild(Twice, timeout=PATIENCE_S)

    assert asyncio.run(written()) == 1


@pytest.mark.parametrize("fault", ["abort", "kill_before_commit", "kill_after_commit"])
def test_a_fault_in_the_middle_ends_in_new_snapshots_all_the_same(world: World, fault: str) -> None:
    saved(world, "a")
    world.stop()
    for partition in (0, 1):
        world.produce(Twice, world.encoded(Twice, Rebuild()), key=None, partition=partition)
    getattr(world.faults, fault)()
    world.run(Twice)
    if fault != "abort":
        world.killed()
        world.run(Twice)
    world.until(lambda: world.snapshot(Twice, "a").state == Count(10, 1), "it was rebuilt")
    assert world.state(Twice, "a") == Count(10, 1)


def test_a_deleted_entity_stays_deleted(world: World) -> None:
    saved(world, "a")
    world.call(Twice, "a", Reset())
    assert asked(world) == 0
    assert world.state(Twice, "a") == Count()
    assert world.call(Twice, "a", Add(1)) == 2


def test_an_erased_entity_begins_where_it_was_erased(world: World) -> None:
    saved(world, "a")
    world.client.erase(Twice, "a", timeout=PATIENCE_S)
    world.call(Twice, "a", Add(3))
    world.call(Twice, "a", Save())
    clean(world, Twice)
    assert asked(world) == 1
    assert world.state(Twice, "a") == Count(6, 1)


class TwiceKept(Keeper):
    name = "keeper"

    @event
    def added(self, state: Count, event: Added) -> Count:
        return replace(state, total=state.total + 2 * event.amount, events=state.events + 1)


def test_an_entity_whose_beginning_was_removed_keeps_its_snapshot(world: World) -> None:
    world.run(Keeper, partitions=1)
    world.call(Keeper, "gone", Add(1, times=5))
    world.call(Keeper, "there", Add(1))
    world.call(Keeper, "there", Save())
    world.restart(TwiceKept)
    asked(world, TwiceKept)
    assert world.state(TwiceKept, "gone") == Count(5, 5)
    assert world.state(TwiceKept, "there") == Count(2, 1)


def test_a_journal_that_cannot_be_folded_leaves_all_as_it_was(world: World) -> None:
    saved(world, "a")
    partition = world.journal(Twice)[0].partition
    topic = world.topics(Twice).journal
    world.produce(Twice, None, key=b"a@1", partition=partition, topic=topic)
    clean(world, Twice)
    with pytest.raises(CommandFailed, match="the journal has none of its events any more"):
        asked(world)
    assert world.state(Twice, "a") == Count(5, 1)
    assert world.call(Twice, "a", Add(1)) == 7


def test_silent_owners_are_named(world: World) -> None:
    saved(world, "a")
    world.stop()
    with pytest.raises(RebuildTimeout, match=r"partitions 0, 1 of .*counter did not answer"):
        world.client.rebuild(Twice, timeout=0.5)


# -- without workers -----------------------------------------------------------------------------


@without_store
def test_without_workers_a_seat_of_its_own_does_it(world: World, without_store: bool) -> None:
    saved(world, "a", "b", "c")
    world.stop()
    seen: list[tuple[int, int]] = []
    assert alone(world, watch=lambda done, count: seen.append((done, count))) == 3
    assert seen[-1] == (2, 2)
    assert world.snapshot(Twice, "a").state == Count(10, 1)
    if without_store:
        world.forget_stores()
    world.run(Twice)
    assert [world.state(Twice, each) for each in "abc"] == [Count(10, 1)] * 3
    assert world.call(Twice, "a", Add(1)) == 12


def test_commands_that_wait_are_let_alone(world: World) -> None:
    saved(world, "a")
    world.stop()
    world.cast(Twice, "a", Add(1))
    alone(world)
    assert len(world.journal(Twice)) == 1
    world.run(Twice)
    assert world.state(Twice, "a") == Count(12, 2)


def test_where_workers_run_they_are_asked(world: World) -> None:
    saved(world, "a")
    world.call(Twice, "a", Look())
    assert alone(world, timeout_s=PATIENCE_S) == 1
    assert world.state(Twice, "a") == Count(10, 1)


def test_events_that_are_gone_are_told(world: World) -> None:
    saved(world, "a")
    partition = world.journal(Twice)[0].partition
    topic = world.topics(Twice).journal
    world.produce(Twice, None, key=b"a@1", partition=partition, topic=topic)
    clean(world, Twice)
    world.stop()
    with pytest.raises(JournalError, match="the journal has none of its events any more"):
        alone(world)
    world.run(Twice)
    assert world.state(Twice, "a") == Count(5, 1)


def test_a_processor_that_is_not_there_is_told(world: World) -> None:
    world.run(Counter)
    world.stop()
    with pytest.raises(ProcessorAbsent):
        alone(world, Keeper)


def test_retention_goes_along(world: World) -> None:
    """What was switched on later applies to all entities at once, also to those that are idle."""
    world.run(Counter)
    world.call(Counter, "a", Add(1, times=10))
    world.stop()

    class Kept(Counter):
        name = "counter"
        keep = kstate.after_snapshot(3)

    assert alone(world, Kept) == 1
    assert tombstones(world.journal(Counter)) == [b"a@%d" % seq for seq in range(1, 8)]
