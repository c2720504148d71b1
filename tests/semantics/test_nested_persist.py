"""Nested persist: what a reaction persists queues behind, and is reacted to in its turn."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from world import World

from kstate import Command, CommandFailed, Context, Processor, command, event, reaction
from kstate.core.policy import Policy


@dataclass(frozen=True)
class Texts:
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Greet(Command[tuple[str, ...]]):
    names: tuple[str, ...]
    depth: int = 1


@dataclass(frozen=True)
class Said:
    text: str
    depth: int = 0


@dataclass(frozen=True)
class Inlined:
    text: str
    depth: int


seen: list[tuple[str, int, int, int]] = []


class Greeter(Processor[Texts]):
    name = "greeter"

    def init(self, persist_id: str) -> Texts:
        return Texts()

    @command
    def greet(self, ctx: Context[Texts], cmd: Greet) -> tuple[str, ...]:
        for name in cmd.names:
            ctx.persist(Said(name, cmd.depth))
        return ctx.state.texts

    @event
    def said(self, state: Texts, event: Said) -> Texts:
        return Texts((*state.texts, event.text))

    @event
    def inlined(self, state: Texts, event: Inlined) -> Texts:
        return Texts((*state.texts, event.text))

    @reaction
    def when_said(self, ctx: Context[Texts], event: Said) -> None:
        seen.append((event.text, ctx.event_seq, ctx.seq, len(ctx.state.texts)))
        if event.depth:
            ctx.persist(Inlined("inline", event.depth - 1))

    @reaction
    def when_inlined(self, ctx: Context[Texts], event: Inlined) -> None:
        seen.append((event.text, ctx.event_seq, ctx.seq, len(ctx.state.texts)))
        if event.depth:
            ctx.persist(Inlined("inline", event.depth - 1))


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


def journal(world: World) -> list[tuple[int, str]]:
    return [(seq, event.text) for seq, event in world.events(Greeter, "a")]


def test_nested_events_queue_behind_those_of_the_command(world: World) -> None:
    world.run(Greeter)
    world.call(Greeter, "a", Greet(("hello-1", "hello-2")))
    assert journal(world) == [(1, "hello-1"), (2, "hello-2"), (3, "inline"), (4, "inline")]


def test_a_reaction_sees_the_newest_state_and_seq_and_its_own_events_seq(world: World) -> None:
    world.run(Greeter)
    world.call(Greeter, "a", Greet(("hello-1", "hello-2")))
    assert seen == [
        ("hello-1", 1, 2, 2),
        ("hello-2", 2, 3, 3),
        ("inline", 3, 4, 4),
        ("inline", 4, 4, 4),
    ]


def test_reactions_to_nested_events_run_too(world: World) -> None:
    world.run(Greeter)
    world.call(Greeter, "a", Greet(("hello",), depth=3))
    assert journal(world) == [(1, "hello"), (2, "inline"), (3, "inline"), (4, "inline")]


def test_the_reply_is_what_the_handler_returned_before_the_reactions(world: World) -> None:
    world.run(Greeter)
    assert world.call(Greeter, "a", Greet(("hello-1", "hello-2"))) == ("hello-1", "hello-2")


@pytest.mark.parametrize("without_store", [False, True])
def test_nested_events_are_recovered_like_all_others(world: World, without_store: bool) -> None:
    world.run(Greeter)
    world.call(Greeter, "a", Greet(("hello-1", "hello-2")))
    world.restart(without_store=without_store)
    assert world.state(Greeter, "a") == Texts(("hello-1", "hello-2", "inline", "inline"))
    assert len(journal(world)) == 4


def test_a_chain_longer_than_the_limit_is_an_error_not_a_hang(world: World) -> None:
    world.run(Greeter, max_events=50)
    with pytest.raises(CommandFailed, match="more than 50 events: a reaction that persists on its"):
        world.call(Greeter, "a", Greet(("hello",), depth=10**9))
    assert world.journal(Greeter) == []
    assert world.call(Greeter, "a", Greet(("hello",), depth=49))
    assert len(world.journal(Greeter)) == 50


def test_a_chain_without_end_meets_the_default_limit(world: World) -> None:
    world.run(Greeter)
    limit = Policy().max_events
    with pytest.raises(CommandFailed, match=f"more than {limit} events"):
        world.call(Greeter, "a", Greet(("hello",), depth=10**9))
    assert world.call(Greeter, "b", Greet((), depth=0)) == ()
