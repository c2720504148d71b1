"""Live queries of one journal share its end."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from counter import Add, Counter
from world import World

from kstate.errors import LogError
from kstate.log.port import Log
from kstate.query import tail


def amounts(events: Iterator[Any], count: int) -> list[int]:
    return [each.event.amount for each in itertools.islice(events, count)]


def test_several_live_queries_are_served_by_one_reader(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter)
    for amount in range(5):
        world.call(Counter, "a", Add(amount))
    queries = [world.client.events.all(Counter, live=True) for _ in range(4)]
    assert [amounts(each, 5) for each in queries] == [[0, 1, 2, 3, 4]] * 4
    threads = [t for t in threading.enumerate() if t.name.endswith("counter.journal")]
    assert len(threads) == 1
    opened = counted_readers(world.client._log, monkeypatch)
    for amount in range(5, 8):
        world.call(Counter, "b", Add(amount))
    assert [amounts(each, 3) for each in queries] == [[5, 6, 7]] * 4
    assert opened == []
    for each in queries:
        each.close()


def counted_readers(log: Log, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows with each reader that is opened from now on."""
    opened: list[Any] = []
    original = log.reader

    def reader(*, follows: bool = False) -> Any:
        opened.append(original(follows=follows))
        return opened[-1]

    monkeypatch.setattr(log, "reader", reader)
    return opened


def test_a_query_that_falls_behind_reads_by_itself_and_misses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "ROOM", 10)
    world.run(Counter)
    world.call(Counter, "a", Add(0))
    slow, quick = (world.client.events.all(Counter, live=True) for _ in range(2))
    assert amounts(slow, 1) == amounts(quick, 1) == [0]
    for amount in range(1, 101):
        world.call(Counter, "a", Add(amount))
        assert amounts(quick, 1) == [amount]
    assert amounts(slow, 100) == list(range(1, 101))
    for each in (slow, quick):
        each.close()


def test_a_position_of_a_live_query_resumes_a_current_one(world: World) -> None:
    world.run(Counter)
    for amount in range(3):
        world.call(Counter, "a", Add(amount))
    live = world.client.events.all(Counter, live=True)
    second = list(itertools.islice(live, 2))[1]
    live.close()
    assert amounts(world.client.events.all(Counter, after=second.position), 9) == [2]


def test_what_a_call_did_can_be_waited_for(world: World) -> None:
    world.run(Counter)
    for amount in range(1, 20):
        answered = world.client.call_with_position(Counter, "a", Add(amount))
        world.client.events.wait_for(Counter, answered.position)
        assert answered.value == sum(range(1, amount + 1))
        assert len(list(world.client.events.by_id(Counter, "a"))) == amount


@pytest.mark.parametrize("failure", [LogError("gone"), RuntimeError("a defect"), SystemExit("no")])
def test_whatever_ends_the_reader_ends_every_query_that_waits_and_the_next_one_reads_on(
    world: World, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(1))
    opened = counted_readers(world.client._log, monkeypatch)
    queries = [world.client.events.all(Counter, live=True) for _ in range(3)]
    assert [amounts(each, 1) for each in queries] == [[1]] * 3
    shared = opened[0]  # the others have read what was there, each for one query

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(shared, "poll", fail)
    ends: list[BaseException] = []

    def wait(query: Iterator[Any]) -> None:
        try:
            next(query)
        except BaseException as error:  # noqa: BLE001 - what it is, is looked at below
            ends.append(error)

    waiting = [threading.Thread(target=wait, args=(each,), daemon=True) for each in queries]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(20)
    assert ends == [failure] * 3
    again = world.client.events.all(Counter, live=True)
    world.call(Counter, "a", Add(2))
    assert amounts(again, 2) == [1, 2]
    again.close()
