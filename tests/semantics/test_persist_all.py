"""ctx.persist_all(events): as persist, all or none, validated before the first is applied."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from counter import Add, Added, Count, Counter
from world import World

from kstate import Command, CommandFailed, Context, command, event


@dataclass(frozen=True)
class AddAll(Command[tuple[int, ...]]):
    """The reply is seq and total behind it."""

    amounts: tuple[int, ...]
    broken_at: int = -1
    lazily: bool = False
    catch: bool = False


class Many(Counter):
    name = "many"

    @command
    def add_all(self, ctx: Context[Count], cmd: AddAll) -> tuple[int, ...]:
        events: list[Any] = [Added(amount) for amount in cmd.amounts]
        if cmd.broken_at >= 0:
            events.insert(cmd.broken_at, Added("broken"))  # type: ignore[arg-type]
        try:
            ctx.persist_all(_lazy(events) if cmd.lazily else events)
        except Exception:
            if not cmd.catch:
                raise
        return ctx.seq, ctx.state.total


def _lazy(events: list[Any]) -> Iterator[Any]:
    yield from events
    if len(events) == 3:
        raise RuntimeError("the third was the last")


def test_all_of_them_are_folded_in_order(world: World) -> None:
    world.run(Many)
    assert world.call(Many, "a", AddAll((1, 2, 3, 4))) == (4, 10)
    assert world.events(Many, "a") == [(n, Added(n)) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("broken_at", [0, 1, 3])
def test_none_is_persisted_when_one_cannot_be(world: World, broken_at: int) -> None:
    world.run(Many)
    with pytest.raises(CommandFailed):
        world.call(Many, "a", AddAll((1, 2, 3), broken_at=broken_at))
    assert world.journal(Many) == []


def test_a_handler_that_catches_the_error_is_where_it_was_before(world: World) -> None:
    world.run(Many)
    world.call(Many, "a", AddAll((7,)))
    assert world.call(Many, "a", AddAll((1, 2, 3), broken_at=3, catch=True)) == (1, 7)
    assert world.events(Many, "a") == [(1, Added(7))]


def test_a_generator_that_raises_on_its_way_persists_nothing(world: World) -> None:
    world.run(Many)
    assert world.call(Many, "a", AddAll((1, 2, 3), lazily=True, catch=True)) == (0, 0)
    assert world.call(Many, "a", AddAll((1, 2), lazily=True)) == (2, 3)


def test_no_fold_sees_any_of_them_when_one_cannot_be_persisted(world: World) -> None:
    seen: list[int] = []

    class Watched(Many):
        name = "watched"

        @event
        def added(self, state: Count, event: Added) -> Count:
            seen.append(event.amount)
            return super().added(state, event)

    world.run(Watched)
    assert world.call(Watched, "a", AddAll((1, 2, 3), broken_at=3, catch=True)) == (0, 0)
    assert world.call(Watched, "a", AddAll((1, 2, 3), lazily=True, catch=True)) == (0, 0)
    assert seen == []
    world.call(Watched, "a", AddAll((1, 2)))
    assert seen == [1, 2]


def test_none_is_persisted_when_the_fold_of_one_raises(world: World) -> None:
    class Unlucky(Many):
        name = "unlucky"

        @event
        def added(self, state: Count, event: Added) -> Count:
            if event.amount == 13:
                raise ValueError("unlucky")
            return super().added(state, event)

    world.run(Unlucky)
    assert world.call(Unlucky, "a", AddAll((1, 2, 13), catch=True)) == (0, 0)
    assert world.journal(Unlucky) == []


def test_events_without_end_are_too_many(world: World) -> None:
    class Endless(Counter):
        name = "endless"

        @command
        def add(self, ctx: Context[Count], cmd: Add) -> int:
            ctx.persist_all(Added(1) for _ in itertools.count())
            return 0

    world.run(Endless, max_events=100)
    with pytest.raises(CommandFailed, match="persisted more than 100 events"):
        world.call(Endless, "a", Add(1))
    assert world.journal(Endless) == []


def test_none_is_persisted_behind_a_deletion_on_their_way(world: World) -> None:
    class Hasty(Counter):
        name = "hasty"

        @command
        def add(self, ctx: Context[Count], cmd: Add) -> int:
            def events() -> Iterator[Added]:
                yield Added(1)
                ctx.delete()

            ctx.persist_all(events())
            return 0

    world.run(Hasty)
    with pytest.raises(CommandFailed, match=r"nothing can be persisted after delete\(\)"):
        world.call(Hasty, "a", Add(1))
    assert world.journal(Hasty) == []


def test_an_empty_list_changes_nothing(world: World) -> None:
    world.run(Many)
    assert world.call(Many, "a", AddAll(())) == (0, 0)
    assert world.journal(Many) == []


def test_they_survive_a_restart_together(world: World) -> None:
    world.run(Many)
    world.call(Many, "a", AddAll((1, 2, 3)))
    world.restart(without_store=True)
    assert world.state(Many, "a") == Count(6, 3)
