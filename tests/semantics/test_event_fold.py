"""@event fold: pure, the same function live and in recovery, never with a context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from counter import Add, Added, Count, Counter
from world import World

from kstate import Command, Context, KStateError, Processor, command, event
from kstate.errors import SchemaError

folded: list[tuple[Any, ...]] = []


class Watched(Counter):
    name = "watched"

    @event
    def added(self, state: Count, event: Added) -> Count:
        folded.append((state, event))
        return Count(state.total + event.amount, state.events + 1)


@pytest.fixture(autouse=True)
def _nothing_folded() -> None:
    folded.clear()


def test_a_fold_gets_the_state_and_the_event_and_nothing_else(world: World) -> None:
    world.run(Watched)
    world.call(Watched, "a", Add(5))
    world.call(Watched, "a", Add(2))
    assert folded == [(Count(), Added(5)), (Count(5, 1), Added(2))]


def test_recovery_folds_the_same_events_into_the_same_states(world: World) -> None:
    world.run(Watched)
    world.call(Watched, "a", Add(5, times=2))
    live = folded.copy()
    folded.clear()
    world.restart(without_store=True)
    assert world.state(Watched, "a") == Count(10, 2)
    assert folded == live


def test_a_fold_that_raises_in_recovery_stops_the_worker_before_it_serves(world: World) -> None:
    world.run(Watched)
    world.call(Watched, "a", Add(5))

    class Broken(Watched):
        @event
        def added(self, state: Count, event: Added) -> Count:
            raise ZeroDivisionError("new code, old events")

    world.restart(Broken, without_store=True)
    failure = world.failure()
    assert isinstance(failure, KStateError)
    assert str(failure) == (
        "the fold of Added raised for 'a' at seq 1: ZeroDivisionError: new code, old events"
    )


def test_an_event_without_a_fold_today_stops_the_worker_before_it_serves(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))

    @dataclass(frozen=True)
    class Ping(Command[None]):
        pass

    class Forgetful(Processor[Count]):
        name = "counter"

        def init(self, persist_id: str) -> Count:
            return Count()

        @command
        def ping(self, ctx: Context[Count], cmd: Ping) -> None:
            pass

    with pytest.raises(SchemaError, match="Added is no type of today's code"):
        world.restart(Forgetful)
