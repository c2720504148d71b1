"""The client: states, now and then, and the ids that there are."""

from __future__ import annotations

import pytest
from client_tools import connected_without_a_worker
from counter import Add, Count, Counter, Look
from world import World

from kstate import CallTimeout, KStateError
from kstate.errors import ConfigError, StateTimeout


def test_the_state_now_is_told_by_the_owner(world: World) -> None:
    world.run(Counter)
    assert world.state(Counter, "a") == Count()
    world.call(Counter, "a", Add(5))
    assert world.state(Counter, "a") == Count(5, 1)
    assert world.client.ids(Counter) == ["a"]
    assert len(world.journal(Counter)) == 1


def test_the_state_then_is_folded_from_the_journal_without_an_owner(world: World) -> None:
    world.run(Counter)
    for amount in (1, 2, 3):
        world.call(Counter, "a", Add(amount))
    world.stop()
    client = world.client
    assert [client.state(Counter, "a", at_seq=seq) for seq in range(4)] == [
        Count(),
        Count(1, 1),
        Count(3, 2),
        Count(6, 3),
    ]


def test_a_seq_that_is_not_there_yet_is_refused(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(1))
    with pytest.raises(ConfigError, match="'a' is at seq 1, it has no seq 2 yet"):
        world.client.state(Counter, "a", at_seq=2)


def test_a_seq_below_zero_is_refused(world: World) -> None:
    world.run(Counter)
    with pytest.raises(ConfigError, match="a seq is 0 or more, not -1"):
        world.client.state(Counter, "a", at_seq=-1)


def test_a_past_state_needs_the_processors_class(world: World) -> None:
    world.run(Counter)
    with pytest.raises(KStateError, match="folding events needs the code of counter"):
        world.client.state("counter", "a", at_seq=1)


def test_asking_for_a_state_without_an_owner_times_out(world: World) -> None:
    connected_without_a_worker(world)
    with pytest.raises(StateTimeout) as timeout:
        world.client.state(Counter, "a", timeout=0.05)
    assert isinstance(timeout.value, CallTimeout)
    assert str(timeout.value) == (
        "the owner of 'a' did not answer within 0.05 s: see whether a worker is at work "
        "(kstate status counter), or wait longer"
    )


def test_ids_are_those_with_events_sorted(world: World) -> None:
    world.run(Counter)
    for persist_id in ("b", "a", "é", "c"):
        world.call(Counter, persist_id, Add(1))
    world.call(Counter, "only-looked-at", Look())
    assert world.client.ids(Counter) == ["a", "b", "c", "é"]
