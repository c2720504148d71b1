"""Event handlers: each event at least once, in order, with progress kept by the group."""

from __future__ import annotations

import threading

import pytest
from faults import Killed
from stage import Stage
from tally import Added, Mark, Put, Sums, Tally
from world import World

from kstate import EventHandler, ProjectionStopped, StoredEvent, handles

GROUP = "tally.handler.outside"


class Outside(EventHandler):
    """Notes what it gets; an amount in ``bad`` fails."""

    name = "outside"
    source = Tally
    attempts = 3
    pause_s = 0.01

    seen: list[tuple[str, int]] = []  # noqa: RUF012 - made anew for each test
    bad: set[int] = set()  # noqa: RUF012
    tries = 0
    dies_at = 0

    @handles
    def added(self, stored: StoredEvent, event: Added) -> None:
        Outside.tries += 1
        if event.amount == Outside.dies_at:
            Outside.dies_at = 0
            raise Killed
        if event.amount in Outside.bad:
            raise ConnectionError("nobody answers")
        Outside.seen.append((stored.persist_id, event.amount))


class Skipping(Outside):
    on_error = "skip"


class FromNow(Outside):
    begins = "end"


@pytest.fixture
def database() -> str:
    """A handler needs none; the stage asks for one."""
    return "sqlite:///unused.db"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(Outside, "seen", [])
    monkeypatch.setattr(Outside, "bad", set())
    monkeypatch.setattr(Outside, "tries", 0)
    monkeypatch.setattr(Outside, "dies_at", 0)
    world.run(Tally, partitions=1)


def committed(world: World, stage: Stage) -> int:
    """How far the group is."""
    log = stage.site(Sums).log
    group = f"{world.prefix}{GROUP}"
    found = log.progress(group, world.topics(Tally).journal)
    return found[0].offset if 0 in found else 0


def handled(world: World, *amounts: int) -> None:
    world.until(lambda: [n for _, n in Outside.seen] == list(amounts), f"it handled {amounts}")


def test_events_are_handled_in_their_order(world: World, stage: Stage) -> None:
    for amount in (1, 2, 3):
        world.call(Tally, "a", Put(amount))
    stage.handle(Outside)
    handled(world, 1, 2, 3)


def test_events_without_a_method_are_passed_over(world: World, stage: Stage) -> None:
    world.call(Tally, "a", Mark())
    world.call(Tally, "a", Put(1))
    stage.handle(Outside)
    handled(world, 1)
    world.until(lambda: committed(world, stage) == 2, "both were committed")


def test_a_handler_that_was_stopped_goes_on_where_it_was(world: World, stage: Stage) -> None:
    world.call(Tally, "a", Put(1))
    running = stage.handle(Outside)
    handled(world, 1)
    stage.stop(running)
    world.call(Tally, "a", Put(2))
    stage.handle(Outside)
    handled(world, 1, 2)


def test_an_event_whose_handler_died_comes_again(world: World, stage: Stage) -> None:
    world.call(Tally, "a", Put(1))
    world.call(Tally, "a", Put(2))
    Outside.dies_at = 2
    assert isinstance(stage.failure(stage.handle(Outside)), Killed)
    stage.handle(Outside)
    world.until(lambda: Outside.seen[-1:] == [("a", 2)], "the second was handled")


def test_a_failing_event_is_tried_again_and_keeps_its_place(world: World, stage: Stage) -> None:
    Outside.bad.add(1)
    world.call(Tally, "a", Put(1))
    world.call(Tally, "a", Put(2))
    stage.handle(Outside)
    world.until(lambda: Outside.tries >= 2, "it was tried twice")
    Outside.bad.clear()
    handled(world, 1, 2)


def test_an_event_that_fails_for_good_stops_the_handler_before_it(
    world: World, stage: Stage
) -> None:
    Outside.bad.add(2)
    for amount in (1, 2, 3):
        world.call(Tally, "a", Put(amount))
    error = stage.failure(stage.handle(Outside))
    assert isinstance(error, ProjectionStopped)
    assert "(Added of 'a' @2): ConnectionError: nobody answers; mend it" in str(error)
    assert [n for _, n in Outside.seen] == [1]
    assert Outside.tries == 1 + Outside.attempts
    assert committed(world, stage) == 1


def test_a_skipped_event_is_counted_and_the_rest_goes_on(world: World, stage: Stage) -> None:
    Outside.bad.add(2)
    for amount in (1, 2, 3):
        world.call(Tally, "a", Put(amount))
    running = stage.handle(Skipping)
    handled(world, 1, 3)
    assert running.work.skipped == 1
    world.until(lambda: committed(world, stage) == 3, "it was passed over")


def test_one_that_begins_at_the_end_hears_nothing_of_the_past(world: World, stage: Stage) -> None:
    world.call(Tally, "a", Put(1))
    stage.handle(FromNow)
    world.until(lambda: committed(world, stage) == 1, "its beginning was committed")
    world.call(Tally, "a", Put(2))
    handled(world, 2)


def test_a_second_process_stands_by_and_takes_over(world: World, stage: Stage) -> None:
    world.call(Tally, "a", Put(1))
    first = stage.handle(Outside)
    handled(world, 1)
    stage.handle(Outside)
    stage.stop(first)
    world.call(Tally, "a", Put(2))
    handled(world, 1, 2)


def test_the_work_of_a_long_batch_is_committed_on_the_way(
    world: World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.projection.handling.COMMIT_S", 0.0)
    gate = threading.Event()

    class Slow(Outside):
        @handles
        def added(self, stored: StoredEvent, event: Added) -> None:
            if event.amount == 3:
                gate.wait(20)
            super().added(stored, event)

    for amount in (1, 2, 3):
        world.call(Tally, "a", Put(amount))
    stage.handle(Slow)
    try:
        world.until(lambda: committed(world, stage) == 2, "what was done before counts already")
    finally:
        gate.set()
    handled(world, 1, 2, 3)
