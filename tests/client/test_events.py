"""Events by id and by tag, current and live, and resuming by position."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from counter import Add, Added, Counter
from world import World

from kstate import EventAdapter, tagged
from kstate.errors import ConfigError
from kstate.query.events import StoredEvent


class Sizes(EventAdapter):
    def to_journal(self, event: Any) -> Any:
        amount = event.event.amount if hasattr(event, "event") else event.amount
        return tagged(event, "large") if amount >= 10 else event


class Parity(EventAdapter):
    def to_journal(self, event: Any) -> Any:
        return tagged(event, "even", "even") if event.amount % 2 == 0 else event


class Tagged(Counter):
    name = "tagged"
    adapters = (Parity(), Sizes())


def filled(world: World) -> None:
    """Eight events over two ids: amounts 8 to 15, the even ones on ``a``."""
    world.run(Tagged)
    for amount in range(8, 16):
        world.call(Tagged, "ab"[amount % 2], Add(amount))


def amounts(events: Any) -> list[int]:
    return [stored.event.amount for stored in events]


# -- by id -----------------------------------------------------------------------------------------


def test_events_of_an_id_come_in_seq_order_with_all_there_is_to_know(world: World) -> None:
    filled(world)
    events = list(world.client.events.by_id(Tagged, "a"))
    assert [(e.persist_id, e.seq, e.type, e.event) for e in events] == [
        ("a", seq, "Added", Added(amount)) for seq, amount in enumerate((8, 10, 12, 14), 1)
    ]
    assert [e.tags for e in events] == [("even",), *[("even", "large")] * 3]
    assert all(e.at.tzinfo is UTC and e.command_id for e in events)
    assert len({(e.partition, e.offset) for e in events}) == 4


def test_a_range_of_seqs(world: World) -> None:
    filled(world)
    by_id = world.client.events.by_id
    assert [e.seq for e in by_id(Tagged, "a", from_seq=3)] == [3, 4]
    assert [e.seq for e in by_id(Tagged, "a", to_seq=2)] == [1, 2]
    assert [e.seq for e in by_id(Tagged, "a", from_seq=2, to_seq=3)] == [2, 3]
    assert list(by_id(Tagged, "a", from_seq=9)) == []
    assert list(by_id(Tagged, "nobody")) == []


# -- by tag and all --------------------------------------------------------------------------------


def test_events_by_tag_come_in_seq_order_per_id(world: World) -> None:
    filled(world)
    large = list(world.client.events.by_tag(Tagged, "large"))
    assert sorted(amounts(large)) == [10, 11, 12, 13, 14, 15]
    for persist_id in "ab":
        seqs = [e.seq for e in large if e.persist_id == persist_id]
        assert seqs == sorted(seqs)
    assert amounts(world.client.events.by_tag(Tagged, "even")) == [8, 10, 12, 14]
    assert list(world.client.events.by_tag(Tagged, "larg")) == []


def test_all_events(world: World) -> None:
    filled(world)
    assert sorted(amounts(world.client.events.all(Tagged))) == list(range(8, 16))


def test_events_since_a_time(world: World) -> None:
    filled(world)
    journal = world.client.journal(Tagged)
    now = datetime.now(UTC)
    assert len(list(journal.all(since=now - timedelta(hours=1)))) == 8
    assert list(journal.all(since=now + timedelta(hours=1))) == []


def test_nothing_of_an_aborted_batch_is_seen(world: World) -> None:
    world.run(Tagged)
    world.faults.abort(2)
    world.call(Tagged, "a", Add(12))
    assert amounts(world.client.events.by_tag(Tagged, "large")) == [12]


# -- positions -------------------------------------------------------------------------------------


def test_a_query_resumes_behind_each_events_position(world: World) -> None:
    filled(world)
    events = world.client.events
    found = list(events.by_tag(Tagged, "large"))
    for index, stored in enumerate(found):
        rest = list(events.by_tag(Tagged, "large", after=stored.position))
        assert [(e.persist_id, e.seq) for e in rest] == [
            (e.persist_id, e.seq) for e in found[index + 1 :]
        ]


def test_a_position_from_another_query_is_good_too(world: World) -> None:
    filled(world)
    last = list(world.client.events.all(Tagged))[-1].position
    world.call(Tagged, "a", Add(100))
    assert amounts(world.client.events.by_tag(Tagged, "large", after=last)) == [100]


@pytest.mark.parametrize("position", ["", "x", "0", "0:1:2", "0:-1", "7:0", "-1:0", "0:a"])
def test_what_is_no_position_is_refused(world: World, position: str) -> None:
    filled(world)
    with pytest.raises(ConfigError, match="position"):
        list(world.client.events.by_tag(Tagged, "large", after=position))


# -- live ------------------------------------------------------------------------------------------


class Follower:
    """Takes events from a live query, in a thread, until it has so many."""

    def __init__(self, query: Callable[[], Any], count: int) -> None:
        self.found: list[StoredEvent] = []
        self._query = query
        self._count = count
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        events = self._query()
        for stored in events:
            self.found.append(stored)
            if len(self.found) == self._count:
                break
        events.close()

    def join(self) -> list[StoredEvent]:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.found


def test_a_live_query_by_id_gets_what_is_there_and_what_comes(world: World) -> None:
    filled(world)
    events = world.client.events
    follower = Follower(lambda: events.by_id(Tagged, "a", live=True), 6)
    world.until(lambda: len(follower.found) == 4, "what is there was found")
    world.call(Tagged, "b", Add(1))
    world.call(Tagged, "a", Add(2, times=2))
    assert [e.seq for e in follower.join()] == [1, 2, 3, 4, 5, 6]


def test_a_live_query_by_tag_gets_what_comes_on_every_partition(world: World) -> None:
    world.run(Tagged)
    events = world.client.events
    follower = Follower(lambda: events.by_tag(Tagged, "large", live=True), 4)
    for persist_id in "abcd":
        world.call(Tagged, persist_id, Add(1))
        world.call(Tagged, persist_id, Add(50))
    assert {(e.persist_id, e.seq) for e in follower.join()} == {(p, 2) for p in "abcd"}


def test_a_live_query_outlives_the_worker(world: World) -> None:
    world.run(Tagged)
    events = world.client.events
    follower = Follower(lambda: events.by_id(Tagged, "a", live=True), 2)
    world.call(Tagged, "a", Add(1))
    world.restart()
    world.call(Tagged, "a", Add(2))
    assert amounts(follower.join()) == [1, 2]


def test_a_live_query_to_a_seq_ends_there(world: World) -> None:
    world.run(Tagged)
    world.call(Tagged, "a", Add(1, times=5))
    events = world.client.events.by_id(Tagged, "a", to_seq=3, live=True)
    assert [e.seq for e in events] == [1, 2, 3]


def test_a_live_query_ends_when_its_client_is_closed(world: World) -> None:
    import kstate

    world.run(Tagged)
    client = kstate.connect(world.url, prefix=world.prefix)
    follower = Follower(lambda: client.events.by_id(Tagged, "a", live=True), 99)
    world.call(Tagged, "a", Add(1))
    world.until(lambda: len(follower.found) == 1, "the event was found")
    client.close()
    assert len(follower.join()) == 1


def test_states_along_the_way(world: World) -> None:
    filled(world)
    states = [state for _, state in world.client.history(Tagged, "a")]
    assert [each.total for each in states] == [8, 18, 30, 44]
