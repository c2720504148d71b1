"""Several workers in one process: one stops, all stop."""

from __future__ import annotations

from counter import Add, AddAndFail, Counter
from world import World

from kstate.errors import ProcessorStopped


class Strict(Counter):
    name = "strict"
    on_error = "stop"


class AlsoStrict(Strict):
    name = "also-strict"


def test_workers_of_several_processors_run_side_by_side(world: World) -> None:
    world.run(Counter, Strict)
    assert world.call(Counter, "a", Add(1)) == 1
    assert world.call(Strict, "a", Add(2)) == 2
    world.stop()


def test_when_one_worker_fails_all_stop_and_its_error_is_raised(world: World) -> None:
    world.run(Counter, Strict)
    assert world.call(Counter, "a", Add(1)) == 1
    world.cast(Strict, "a", AddAndFail(1))
    failure = world.failure()  # waits until both have left
    assert isinstance(failure, ProcessorStopped)
    assert "strict" in str(failure)


def test_a_worker_that_stopped_with_the_host_lost_nothing(world: World) -> None:
    world.run(Counter, Strict)
    for number in range(20):
        world.client.cast(Counter, f"id-{number}", Add(1))
    world.cast(Strict, "a", AddAndFail(1))
    world.failure()
    world.run(Counter)
    assert [world.state(Counter, f"id-{number}").total for number in range(20)] == [1] * 20
    assert len(world.journal(Counter)) == 20


def test_of_two_failures_one_is_raised_and_both_workers_leave(world: World) -> None:
    world.run(Strict, AlsoStrict)
    world.cast(Strict, "a", AddAndFail(1))
    world.cast(AlsoStrict, "a", AddAndFail(1))
    assert isinstance(world.failure(), ProcessorStopped)


def test_a_host_may_be_stopped_before_it_has_done_anything(world: World) -> None:
    world.run(Counter)
    world.stop()
    assert world.journal(Counter) == []
