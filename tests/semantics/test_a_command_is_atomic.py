"""A command is atomic: events, reply, sent commands and snapshot commit together or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from counter import Add, AddAndFail, AddAndRefuse, Added, Count, Counter
from world import World

from kstate import Command, CommandFailed, Context, Rejected, command

effects: list[str] = []


@dataclass(frozen=True)
class Everything(Command[int]):
    """Does all that a command can do, and may raise at the end."""

    amount: int
    fail: bool = False


class Busy(Counter):
    name = "busy"

    @command
    def everything(self, ctx: Context[Count], cmd: Everything) -> int:
        ctx.persist(Added(cmd.amount))
        ctx.send("busy", "other", Add(cmd.amount))
        ctx.save_snapshot()
        ctx.after_commit(lambda: effects.append(ctx.persist_id))
        ctx.persist(Added(cmd.amount))
        if cmd.fail:
            raise ValueError("at the very end")
        return ctx.state.total


@pytest.fixture(autouse=True)
def _no_effects() -> None:
    effects.clear()


def commands(world: World) -> int:
    return len(world.read(world.topics(Busy).commands))


def everything_once(world: World) -> None:
    """What must be on the log after one `Everything(5)` to ``a``."""
    world.settled(Busy)
    assert world.events(Busy, "a") == [(1, Added(5)), (2, Added(5))]
    assert world.events(Busy, "other") == [(1, Added(5))]
    assert len(world.snapshots(Busy)) == 1
    assert world.snapshot(Busy, "a").state == Count(10, 2)
    assert commands(world) == 2
    assert world.dead_letters(Busy) == []


def test_everything_a_command_does_is_there_when_its_reply_is(world: World) -> None:
    world.run(Busy)
    assert world.call(Busy, "a", Everything(5)) == 10
    assert [r.key for r in world.journal(Busy) if r.key != b"other@1"] == [b"a@1", b"a@2"]
    assert world.snapshot(Busy, "a").seq == 2
    everything_once(world)


def test_a_handler_that_raises_leaves_no_trace_but_a_dead_letter(world: World) -> None:
    world.run(Busy)
    with pytest.raises(CommandFailed):
        world.call(Busy, "a", Everything(5, fail=True))
    assert world.state(Busy, "a") == Count()
    assert world.journal(Busy) == world.snapshots(Busy) == []
    assert commands(world) == 2  # itself, and the question for the state
    assert len(world.dead_letters(Busy)) == 1
    assert effects == []


def test_a_rerun_after_an_aborted_batch_leaves_no_trace_of_the_first_run(world: World) -> None:
    world.run(Busy)
    world.faults.abort(3)
    assert world.call(Busy, "a", Everything(5)) == 10
    assert world.faults.fired == ["abort"] * 3
    everything_once(world)
    assert len(world.replies(Busy)) == 1


def test_a_batch_whose_answer_was_lost_is_not_run_twice(world: World) -> None:
    world.run(Busy)
    world.faults.lose_answer()
    assert world.call(Busy, "a", Everything(5)) == 10
    everything_once(world)
    assert len(world.replies(Busy)) == 1


def test_a_batch_that_never_reached_the_log_is_run_again(world: World) -> None:
    world.run(Busy)
    world.faults.lose_commit()
    assert world.call(Busy, "a", Everything(5)) == 10
    everything_once(world)


@pytest.mark.parametrize("without_store", [False, True])
def test_a_worker_killed_before_the_commit_leaves_nothing(
    world: World, without_store: bool
) -> None:
    world.run(Busy)
    world.faults.kill_before_commit()
    world.cast(Busy, "a", Everything(5))
    world.killed()
    assert world.journal(Busy) == world.snapshots(Busy) == []
    assert commands(world) == 1
    world.restart(without_store=without_store)
    everything_once(world)


@pytest.mark.parametrize("without_store", [False, True])
def test_a_worker_killed_after_the_commit_has_done_everything_once(
    world: World, without_store: bool
) -> None:
    world.run(Busy)
    world.faults.kill_after_commit()
    world.cast(Busy, "a", Everything(5))
    world.killed()
    world.restart(without_store=without_store)
    everything_once(world)
    assert world.state(Busy, "a") == Count(10, 2)
    assert effects == []  # at most once


def test_neighbours_in_the_batch_of_a_failing_command_commit(world: World) -> None:
    world.run(Busy, partitions=1)
    world.stop()
    failing: list[Any] = [AddAndFail(50), AddAndRefuse(60)]
    for number in range(3):
        world.cast(Busy, "a", Add(1))
        world.cast(Busy, f"b{number}", Add(1))
        for each in failing:
            world.cast(Busy, "a", each)
    world.restart()
    world.settled(Busy)
    assert world.state(Busy, "a") == Count(3, 3)
    assert [world.state(Busy, f"b{number}") for number in range(3)] == [Count(1, 1)] * 3
    assert len(world.dead_letters(Busy)) == 3


def test_a_rejected_command_leaves_no_trace_at_all(world: World) -> None:
    world.run(Busy)
    with pytest.raises(Rejected):
        world.call(Busy, "a", AddAndRefuse(5))
    assert world.journal(Busy) == world.snapshots(Busy) == world.dead_letters(Busy) == []
    assert world.call(Busy, "a", Add(1)) == 1
