"""ctx.after_commit(fn): a side effect in a worker thread, after the commit, at most once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from counter import Add, AddAndFail, AddAndRefuse, Added, Count, Counter
from world import World

from kstate import CommandFailed, Context, Rejected, command

effect: Callable[[], object] = lambda: None  # noqa: E731
ran: list[int] = []


class Effective(Counter):
    name = "effective"

    @command
    def add(self, ctx: Context[Count], cmd: Add) -> int:
        ctx.persist(Added(cmd.amount))
        ctx.after_commit(lambda: (ran.append(cmd.amount), effect()))
        return ctx.state.total

    @command
    def add_and_fail(self, ctx: Context[Count], cmd: AddAndFail) -> int:
        ctx.after_commit(lambda: ran.append(cmd.amount))
        raise ValueError

    @command
    def add_and_refuse(self, ctx: Context[Count], cmd: AddAndRefuse) -> int:
        ctx.after_commit(lambda: ran.append(cmd.amount))
        raise Rejected("no")


@pytest.fixture(autouse=True)
def _reset() -> None:
    global effect
    ran.clear()
    effect = lambda: None  # noqa: E731


def test_effects_run_in_the_order_of_the_commands(world: World) -> None:
    world.run(Effective)
    for amount in range(10):
        world.cast(Effective, "a", Add(amount))
    world.settled(Effective)
    world.stop()
    assert ran == list(range(10))


def test_an_effect_runs_after_the_commit(world: World) -> None:
    global effect
    seen: list[int] = []
    effect = lambda: seen.append(len(world.journal(Effective)))  # noqa: E731
    world.run(Effective)
    world.call(Effective, "a", Add(1))
    world.stop()
    assert seen == [1]


def test_an_effect_runs_in_a_thread_of_its_own(world: World) -> None:
    global effect
    threads: list[str] = []
    effect = lambda: threads.append(threading.current_thread().name)  # noqa: E731
    world.run(Effective)
    world.call(Effective, "a", Add(1))
    world.call(Effective, "a", Add(1))
    world.stop()
    assert threads == ["kstate-effects"] * 2


def test_an_effect_runs_once_though_its_batch_was_run_again(world: World) -> None:
    world.run(Effective)
    world.faults.abort(2)
    world.call(Effective, "a", Add(1))
    world.stop()
    assert ran == [1]


def test_an_effect_does_not_run_when_its_commands_fate_was_unknown(world: World) -> None:
    """At most once: the commit stood, but whoever would have run the effect did not know."""
    world.run(Effective)
    world.faults.lose_answer()
    assert world.call(Effective, "a", Add(1)) == 1
    world.stop()
    assert ran == []


def test_an_effect_never_runs_in_recovery(world: World) -> None:
    world.run(Effective)
    world.call(Effective, "a", Add(1))
    world.restart(without_store=True)
    world.state(Effective, "a")
    world.stop()
    assert ran == [1]


def test_commands_that_fail_or_say_no_have_no_effects(world: World) -> None:
    world.run(Effective)
    with pytest.raises(CommandFailed):
        world.call(Effective, "a", AddAndFail(1))
    with pytest.raises(Rejected):
        world.call(Effective, "a", AddAndRefuse(1))
    world.stop()
    assert ran == []


def test_an_effect_that_fails_is_counted_and_nobodys_problem(world: World) -> None:
    global effect

    def raises() -> None:
        if ran[-1] == 1:
            raise OSError("mail server away")

    effect = raises
    world.run(Effective)
    assert world.call(Effective, "a", Add(1)) == 1
    assert world.call(Effective, "a", Add(2)) == 3
    effects = world.worker(Effective).effects
    world.stop()
    assert ran == [1, 2]
    assert (effects.done, effects.failed) == (1, 1)


def test_a_slow_effect_does_not_hold_up_the_commands_behind_it(world: World) -> None:
    global effect
    gate = threading.Event()
    effect = gate.wait
    world.run(Effective)
    assert [world.call(Effective, "a", Add(1)) for _ in range(3)] == [1, 2, 3]
    assert ran == [1]
    gate.set()
    world.stop()
    assert ran == [1, 1, 1]
