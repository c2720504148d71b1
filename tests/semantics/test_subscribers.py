"""subscribers: a function in the same program gets committed events, in order."""

from __future__ import annotations

from typing import Any

import pytest
from counter import Add, AddAndFail, Added, Counter
from world import World

from kstate import CommandFailed


def test_it_gets_committed_events_in_order(world: World) -> None:
    seen: list[Any] = []
    world.run(Counter, subscriber=seen.append)
    world.call(Counter, "a", Add(5, times=2))
    world.call(Counter, "b", Add(1))
    world.stop()
    assert [(e.persist_id, e.seq, e.event, e.tags) for e in seen] == [
        ("a", 1, Added(5), ()),
        ("a", 2, Added(5), ()),
        ("b", 1, Added(1), ()),
    ]


def test_what_it_gets_is_already_in_the_journal(world: World) -> None:
    seen: list[int] = []
    world.run(Counter, subscriber=lambda _: seen.append(len(world.journal(Counter))))
    world.call(Counter, "a", Add(5, times=3))
    world.stop()
    assert seen == [3, 3, 3]


def test_it_gets_nothing_of_what_was_aborted_or_failed(world: World) -> None:
    seen: list[Any] = []
    world.run(Counter, subscriber=seen.append)
    world.faults.abort(2)
    world.call(Counter, "a", Add(5))
    with pytest.raises(CommandFailed):
        world.call(Counter, "a", AddAndFail(5))
    world.stop()
    assert [e.seq for e in seen] == [1]


def test_one_that_raises_is_logged_and_gets_the_next_event_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def subscriber(event: Any) -> None:
        seen.append(event.seq)
        raise ValueError("not today")

    world.run(Counter, subscriber=subscriber)
    world.call(Counter, "a", Add(5, times=2))
    assert world.call(Counter, "a", Add(5)) == 15
    world.stop()
    assert seen == [1, 2, 3]
    assert "counter: a subscriber failed" in caplog.text
