"""ctx.persist(event): the next seq, folded at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from counter import Add, Added, Count, Counter
from world import World

from kstate import Command, Context, Processor, command, event
from kstate.core.topics import event_key


@dataclass(frozen=True)
class Trail(Command[tuple[int, ...]]):
    """Persists twice; the reply is seq and total before, between and after."""

    amount: int


@dataclass(frozen=True)
class Unknown:
    amount: int


@dataclass(frozen=True)
class Swallow(Command[int]):
    """Persists an event that cannot be, catches the error, and persists another."""

    fault: str


@dataclass(frozen=True)
class Picky:
    amount: int


class Trailing(Counter):
    name = "trailing"

    @command
    def trail(self, ctx: Context[Count], cmd: Trail) -> tuple[int, ...]:
        seen = [ctx.seq, ctx.state.total]
        for _ in range(2):
            ctx.persist(Added(cmd.amount))
            seen += [ctx.seq, ctx.state.total]
        return tuple(seen)

    @command
    def swallow(self, ctx: Context[Count], cmd: Swallow) -> int:
        bad: dict[str, Any] = {
            "no fold": Unknown(1),
            "no encoding": Added("many"),  # type: ignore[arg-type]
            "the fold raises": Picky(13),
            "no dataclass": {"amount": 1},
        }
        with pytest.raises(Exception, match=r"."):
            ctx.persist(bad[cmd.fault])
        ctx.persist(Added(1))
        return ctx.seq

    @event
    def picked(self, state: Count, event: Picky) -> Count:
        if event.amount == 13:
            raise ValueError("unlucky")
        return replace(state, total=state.total + event.amount)


def test_the_state_is_the_new_one_on_the_next_line(world: World) -> None:
    world.run(Trailing)
    assert world.call(Trailing, "a", Trail(5)) == (0, 0, 1, 5, 2, 10)
    assert world.call(Trailing, "a", Trail(5)) == (2, 10, 3, 15, 4, 20)


def test_seqs_are_one_two_three_per_persist_id_without_gaps(world: World) -> None:
    world.run(Counter)
    for persist_id in ("a", "b"):
        for _ in range(3):
            world.call(Counter, persist_id, Add(1))
    keys = [record.key for record in world.journal(Counter)]
    assert sorted(keys) == [event_key(p, seq) for p in (b"a", b"b") for seq in (1, 2, 3)]


@pytest.mark.parametrize("without_store", [False, True])
def test_seqs_go_on_after_a_restart(world: World, without_store: bool) -> None:
    world.run(Trailing)
    world.call(Trailing, "a", Trail(5))
    world.restart(without_store=without_store)
    assert world.call(Trailing, "a", Trail(1)) == (2, 10, 3, 11, 4, 12)
    assert [seq for seq, _ in world.events(Trailing, "a")] == [1, 2, 3, 4]


@pytest.mark.parametrize("fault", ["no fold", "no encoding", "the fold raises", "no dataclass"])
def test_an_event_that_cannot_be_persisted_takes_no_seq(world: World, fault: str) -> None:
    world.run(Trailing)
    assert world.call(Trailing, "a", Swallow(fault)) == 1
    assert world.events(Trailing, "a") == [(1, Added(1))]


def test_a_context_cannot_be_kept_for_later(world: World) -> None:
    kept: list[Context[Count]] = []

    class Keeping(Counter):
        name = "keeping"

        @command
        def add(self, ctx: Context[Count], cmd: Add) -> int:
            kept.append(ctx)
            return 0

    world.run(Keeping)
    world.call(Keeping, "a", Add(1))
    attempts: list[Callable[[], None]] = [
        lambda: kept[0].persist(Added(1)),
        lambda: kept[0].send("keeping", "b", Add(1)),
        lambda: kept[0].after_commit(lambda: None),
        lambda: kept[0].save_snapshot(),
        lambda: kept[0].delete(),
    ]
    for attempt in attempts:
        with pytest.raises(Exception, match="a context cannot be kept"):
            attempt()
    assert world.call(Keeping, "a", Add(1)) == 0
    assert world.journal(Keeping) == []


@dataclass(frozen=True)
class Number:
    value: int = 0


def test_a_fold_that_returns_something_else_fails_the_command(world: World) -> None:
    class Wrong(Processor[Number]):
        name = "wrong"

        def init(self, persist_id: str) -> Number:
            return Number()

        @command
        def add(self, ctx: Context[Number], cmd: Add) -> int:
            ctx.persist(Added(cmd.amount))
            return 1

        @event
        def added(self, state: Number, event: Added) -> Number:
            return 7  # type: ignore[return-value]

    world.run(Wrong)
    with pytest.raises(Exception, match="the fold of Added in wrong returned int, not Number"):
        world.call(Wrong, "a", Add(1))
    assert world.journal(Wrong) == []
