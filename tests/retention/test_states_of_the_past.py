"""States of the past where the first events were removed or erased."""

from __future__ import annotations

import pytest
from counter import Add, Counter
from keeping import Keeper, clean
from world import PATIENCE_S, World

from kstate.errors import JournalError
from kstate.query.states import UNKNOWN


def erased(world: World, cleaned: bool) -> None:
    """Three events of 5 that are erased, then 2 and 3."""
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    world.client.erase(Counter, "a", timeout=PATIENCE_S)
    for amount in (2, 3):
        world.call(Counter, "a", Add(amount))
    if cleaned:
        clean(world, Counter)


@pytest.mark.parametrize("cleaned", [False, True])
def test_an_erased_past_counts_no_more(world: World, cleaned: bool) -> None:
    erased(world, cleaned)
    assert [world.client.state(Counter, "a", at_seq=seq).total for seq in (4, 5)] == [2, 5]
    steps = [(s.seq, state.total) for s, state in world.client.history(Counter, "a")]
    assert steps == [(4, 2), (5, 5)]
    assert [(i, seq, s.total) for i, seq, s in world.client.states(Counter).final()] == [
        ("a", 5, 5)
    ]


def test_an_entity_that_was_erased_and_has_nothing_since_has_no_final_state(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    world.client.erase(Counter, "a", timeout=PATIENCE_S)
    assert list(world.client.states(Counter).final()) == []


def removed(world: World) -> None:
    """Twelve events of 1: the first ones are removed behind the snapshot at seq 10."""
    world.run(Keeper)
    for _ in range(12):
        world.call(Keeper, "a", Add(1))
    world.settled(Keeper)
    clean(world, Keeper)
    first = next(world.client.events.by_id(Keeper, "a")).seq
    assert first == 9


def test_states_are_known_from_the_snapshot_on(world: World) -> None:
    removed(world)
    assert [world.client.state(Keeper, "a", at_seq=seq).total for seq in (10, 11, 12)] == [
        10,
        11,
        12,
    ]
    assert [(i, seq, s.total) for i, seq, s in world.client.states(Keeper).final()] == [
        ("a", 12, 12)
    ]


def test_a_state_before_the_snapshot_is_refused_in_words(world: World) -> None:
    removed(world)
    with pytest.raises(JournalError, match="the first events of 'a' were removed: its state is"):
        world.client.state(Keeper, "a", at_seq=9)


def test_steps_before_the_snapshot_are_told_without_a_state(world: World) -> None:
    removed(world)
    steps = [(stored.seq, state) for stored, state in world.client.history(Keeper, "a")]
    assert steps[0] == (9, UNKNOWN)
    assert [(seq, state.total) for seq, state in steps[1:]] == [(10, 10), (11, 11), (12, 12)]
