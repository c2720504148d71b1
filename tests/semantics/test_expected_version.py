"""expected version: where the entity is elsewhere, the caller gets Conflict and nothing runs."""

from __future__ import annotations

import pytest
from counter import Add, Added, Counter, Look
from world import World, header

from kstate import Conflict


def test_a_command_runs_when_the_entity_is_where_it_is_expected(world: World) -> None:
    world.run(Counter)
    assert world.call(Counter, "a", Add(5), expected_seq=0) == 5
    assert world.call(Counter, "a", Add(5), expected_seq=1) == 10


@pytest.mark.parametrize("expected", [0, 1, 3, 10**17])
def test_elsewhere_the_caller_learns_where_and_nothing_runs(world: World, expected: int) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=2))
    with pytest.raises(Conflict) as conflict:
        world.call(Counter, "a", Add(1), expected_seq=expected)
    assert conflict.value.actual_seq == 2
    assert world.events(Counter, "a") == [(1, Added(5)), (2, Added(5))]
    assert world.dead_letters(Counter) == []


def test_it_holds_for_commands_that_persist_nothing_too(world: World) -> None:
    world.run(Counter)
    with pytest.raises(Conflict):
        world.call(Counter, "a", Look(), expected_seq=1)


@pytest.mark.parametrize("without_store", [False, True])
def test_it_holds_across_a_restart(world: World, without_store: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=2))
    world.restart(without_store=without_store)
    with pytest.raises(Conflict) as conflict:
        world.call(Counter, "a", Add(1), expected_seq=1)
    assert conflict.value.actual_seq == 2


def test_of_two_commands_that_expect_the_same_one_runs_also_within_a_batch(
    world: World,
) -> None:
    world.run(Counter)
    world.stop()
    for amount in (1, 2):
        world.cast(Counter, "a", Add(amount), expected_seq=0)
    world.restart()
    world.settled(Counter)
    assert world.events(Counter, "a") == [(1, Added(1))]


def test_a_conflicting_cast_is_silent_and_counted(world: World) -> None:
    world.run(Counter)
    world.cast(Counter, "a", Add(1), expected_seq=7)
    world.settled(Counter)
    assert world.journal(Counter) == world.replies(Counter) == world.dead_letters(Counter) == []
    assert world.counts(Counter).conflicts == 1


@pytest.mark.parametrize("value", [b"-1", b"one", b"", b"1.0", b"9" * 30, b"\xff"])
def test_an_expectation_that_is_no_number_is_refused(world: World, value: bytes) -> None:
    world.run(Counter)
    reply = world.ask(Counter, world.encoded(Counter, Add(1)), headers=[("expected-seq", value)])
    assert header(reply, "status") == "error"
    assert header(reply, "code") == "bad-header"
    assert world.journal(Counter) == []
    assert len(world.dead_letters(Counter)) == 1
