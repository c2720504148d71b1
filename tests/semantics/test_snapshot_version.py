"""snapshot_version: raised when the folds changed; states are rebuilt before anything is served."""

from __future__ import annotations

import pytest
from counter import Add, Added, Count, Counter, Save
from world import World

from kstate import event


class First(Counter):
    name = "versioned"


class Second(Counter):
    """The same processor with another fold: every amount counts double."""

    name = "versioned"
    snapshot_version = 2

    @event
    def added(self, state: Count, event: Added) -> Count:
        return Count(state.total + 2 * event.amount, state.events + 1)


class Unraised(Second):
    snapshot_version = 1


@pytest.mark.parametrize("without_store", [False, True])
def test_states_are_rebuilt_with_the_new_folds(world: World, without_store: bool) -> None:
    world.run(First)
    world.call(First, "a", Add(5))
    world.call(First, "a", Save())
    world.call(First, "a", Add(1))
    world.restart(Second, without_store=without_store)
    assert world.state(Second, "a") == Count(12, 2)
    assert world.call(Second, "a", Add(1)) == 14


@pytest.mark.parametrize("without_store", [False, True])
def test_without_raising_it_the_old_snapshot_counts(world: World, without_store: bool) -> None:
    world.run(First)
    world.call(First, "a", Add(5))
    world.call(First, "a", Save())
    world.restart(Unraised, without_store=without_store)
    assert world.state(Unraised, "a") == Count(5, 1)


def test_evicted_entities_are_rebuilt_too(world: World) -> None:
    world.run(First, partitions=1, max_entities=1)
    for number in range(5):
        world.call(First, f"id-{number}", Add(number))
    world.restart(Second)
    assert [world.state(Second, f"id-{n}").total for n in range(5)] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("without_store", [False, True])
def test_new_snapshots_bear_the_new_version_and_count(world: World, without_store: bool) -> None:
    world.run(First)
    world.call(First, "a", Add(5))
    world.call(First, "a", Save())
    world.restart(Second)
    world.call(Second, "a", Save())
    assert world.snapshot(Second, "a").version == 2
    assert world.snapshot(Second, "a").state == Count(10, 1)
    world.restart(Second, without_store=without_store)
    assert world.state(Second, "a") == Count(10, 1)


@pytest.mark.parametrize("without_store", [False, True])
def test_two_restarts_with_the_new_folds_give_the_same(world: World, without_store: bool) -> None:
    world.run(First)
    world.call(First, "a", Add(5))
    world.call(First, "a", Save())
    for _ in range(2):
        world.restart(Second, without_store=without_store)
        assert world.state(Second, "a") == Count(10, 1)


def test_a_rebuild_that_no_command_followed_is_done_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(First, partitions=1)
    world.call(First, "a", Add(5))
    world.call(First, "a", Save())
    with caplog.at_level("INFO", "kstate.worker"):
        caplog.clear()
        world.restart(Second)
        world.until(lambda: "is ready" in caplog.text, "the partition was taken over")
    world.restart(Second)
    assert world.state(Second, "a") == Count(10, 1)
    assert world.call(Second, "a", Add(1)) == 12
