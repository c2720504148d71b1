"""Workers in a program of one's own: `kstate.worker`."""

from __future__ import annotations

from typing import Any

import pytest
from counter import Add, AddAndFail, Added, Counter
from world import World

import kstate
from kstate.errors import ProcessorStopped


class Stopping(Counter):
    on_error = "stop"


def workers_on(world: World, processor: Any = Counter, **settings: Any) -> kstate.InProcess:
    settings = {"prefix": world.prefix, "data": str(world.data / "own"), **settings}
    return kstate.worker(world.url, processor, **settings)


def test_they_work_while_the_block_does_and_what_they_did_stays(world: World) -> None:
    with workers_on(world):
        assert world.call(Counter, "a", Add(5)) == 5
    with workers_on(world):
        assert world.call(Counter, "a", Add(1)) == 6


def test_who_subscribed_hears_of_committed_events_in_order(world: World) -> None:
    heard: list[kstate.CommittedEvent] = []
    workers = workers_on(world)
    workers.subscribe(heard.append)
    with workers:
        world.call(Counter, "a", Add(5, times=2))
    assert [(e.persist_id, e.seq, e.event) for e in heard] == [
        ("a", 1, Added(5)),
        ("a", 2, Added(5)),
    ]


def test_the_end_of_the_block_raises_what_a_worker_failed_with(world: World) -> None:
    workers = workers_on(world, Stopping)
    workers.__enter__()
    world.cast(Counter, "a", AddAndFail(1))
    world.until(lambda: workers.failure is not None, "it fails")
    with pytest.raises(ProcessorStopped):
        workers.__exit__(None, None, None)


def test_they_run_once_and_are_subscribed_to_before(world: World) -> None:
    workers = workers_on(world)
    with workers, pytest.raises(kstate.ConfigError, match="subscribe before the workers run"):
        workers.subscribe(print)
    with pytest.raises(kstate.ConfigError, match="make new ones"), workers:
        pass


@pytest.mark.parametrize(
    ("processors", "settings", "told"),
    [
        ((), {}, "a worker needs a processor"),
        ((Counter,), {"batch_size": 3}, "'batch_size', which is no setting"),
        ((Counter,), {"max_entities": 0}, "max_entities"),
    ],
)
def test_what_cannot_run_is_refused(processors: Any, settings: Any, told: str) -> None:
    with pytest.raises(kstate.ConfigError, match=told):
        kstate.worker("sqlite:none.db", *processors, **settings)
