"""@reaction: live only, after all events of the command were persisted, in their order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from counter import Added, Count, Counter
from world import World

from kstate import Command, CommandFailed, Context, command, event, reaction

seen: list[tuple[str, int, int]] = []


@dataclass(frozen=True)
class Step(Command[None]):
    amounts: tuple[int, ...]


@dataclass(frozen=True)
class Marked:
    amount: int


class Reacting(Counter):
    name = "reacting"

    @command
    def step(self, ctx: Context[Count], cmd: Step) -> None:
        for amount in cmd.amounts:
            ctx.persist(Added(amount))
            seen.append(("persisted", amount, ctx.seq))

    @reaction
    def first(self, ctx: Context[Count], event: Added) -> None:
        if event.amount == 13:
            raise ValueError("a reaction that raises")
        seen.append(("first", event.amount, ctx.event_seq))

    @reaction
    def second(self, ctx: Context[Count], event: Added) -> None:
        seen.append(("second", event.amount, ctx.event_seq))


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


def test_reactions_run_after_all_events_of_the_command_in_their_order(world: World) -> None:
    world.run(Reacting)
    world.call(Reacting, "a", Step((5, 6)))
    assert seen == [
        ("persisted", 5, 1),
        ("persisted", 6, 2),
        ("first", 5, 1),
        ("second", 5, 1),
        ("first", 6, 2),
        ("second", 6, 2),
    ]


@pytest.mark.parametrize("without_store", [False, True])
def test_reactions_never_run_in_recovery(world: World, without_store: bool) -> None:
    world.run(Reacting)
    world.call(Reacting, "a", Step((5, 6)))
    seen.clear()
    world.restart(without_store=without_store)
    assert world.state(Reacting, "a") == Count(11, 2)
    assert seen == []


def test_a_reaction_that_raises_fails_its_command(world: World) -> None:
    world.run(Reacting)
    with pytest.raises(CommandFailed, match="ValueError: a reaction that raises"):
        world.call(Reacting, "a", Step((5, 13)))
    assert world.journal(Reacting) == []
    assert len(world.dead_letters(Reacting)) == 1


def test_a_reaction_runs_once_per_committed_command_though_its_batch_ran_twice(
    world: World,
) -> None:
    effects: list[int] = []

    class Effective(Counter):
        name = "effective"

        @reaction
        def tell(self, ctx: Context[Count], event: Added) -> None:
            ctx.after_commit(lambda: effects.append(event.amount))

    from counter import Add

    world.run(Effective)
    world.faults.abort()
    world.call(Effective, "a", Add(5))
    world.until(lambda: bool(effects), "the effect ran")
    world.stop()
    assert effects == [5]


def test_event_seq_is_known_in_a_reaction_only(world: World) -> None:
    class Curious(Counter):
        name = "curious"

        @command
        def step(self, ctx: Context[Count], cmd: Step) -> None:
            print(ctx.event_seq)

        @event
        def marked(self, state: Count, event: Marked) -> Count:
            return state

    world.run(Curious)
    with pytest.raises(CommandFailed, match="known in a reaction only"):
        world.call(Curious, "a", Step(()))
