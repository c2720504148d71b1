"""Events by several tags and by type, from a time on, and in the order of their times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from counter import Add, Added, Counter
from world import World

from kstate import EventAdapter, tagged
from kstate.errors import ConfigError


class Numbers(EventAdapter):
    def to_journal(self, event: Any) -> Any:
        names = {2: "two", 3: "three", 5: "five"}
        return tagged(event, *(name for by, name in names.items() if event.amount % by == 0))


class Numbered(Counter):
    name = "numbered"
    adapters = (Numbers(),)


def filled(world: World) -> None:
    """The numbers from 1 to 30 over ten ids, tagged with what divides them."""
    world.run(Numbered, partitions=4)
    for amount in range(1, 31):
        world.cast(Numbered, "abcdefghij"[amount % 10], Add(amount))
    world.settled(Numbered)


def numbers(world: World, *tags: str, **selection: Any) -> list[int]:
    events = world.client.events.by_tag(Numbered, *tags, **selection)
    return sorted(stored.event.amount for stored in events)


def test_an_event_with_any_of_the_tags_is_found_once(world: World) -> None:
    filled(world)
    expected = [n for n in range(1, 31) if n % 3 == 0 or n % 5 == 0]
    assert numbers(world, "three", "five") == expected


def test_all_of_the_tags_and_none_of_others(world: World) -> None:
    filled(world)
    assert numbers(world, all_of=["two", "three"], none_of=["five"]) == [6, 12, 18, 24]
    assert numbers(world, "two", none_of=["three"], all_of=["five"]) == [10, 20]
    assert numbers(world, none_of=["two", "three", "five"]) == [1, 7, 11, 13, 17, 19, 23, 29]


def test_events_of_a_type_by_class_or_name(world: World) -> None:
    filled(world)
    events = world.client.events
    by_class = [stored.event for stored in events.by_type(Numbered, Added)]
    assert sorted(each.amount for each in by_class) == list(range(1, 31))
    # order is promised per persist id alone
    by_name = {(s.partition, s.offset) for s in events.by_type("numbered", "Added")}
    assert by_name == {(s.partition, s.offset) for s in events.by_type(Numbered, Added)}
    assert len(by_name) == 30
    assert list(events.by_type(Numbered, "Removed")) == []


def test_a_former_name_of_a_class_counts_as_its_type(world: World) -> None:
    filled(world)

    class Renamed:
        avro_aliases = ("Added",)

    assert len(list(world.client.events.by_type("numbered", Renamed))) == 30


def test_in_time_order_across_partitions(world: World) -> None:
    filled(world)
    events = list(world.client.events.all(Numbered, in_time_order=True))
    assert len(events) == 30
    assert len({each.partition for each in events}) > 1
    times = [each.at for each in events]
    assert times == sorted(times)


def test_a_query_in_time_order_resumes_where_it_was(world: World) -> None:
    filled(world)
    every = list(world.client.events.all(Numbered, in_time_order=True))
    rest = list(world.client.events.all(Numbered, in_time_order=True, after=every[10].position))
    assert rest == every[11:]


def test_a_live_query_has_no_order_across_partitions(world: World) -> None:
    filled(world)
    with pytest.raises(ConfigError, match="a live query has no order across partitions"):
        next(world.client.events.all(Numbered, in_time_order=True, live=True))


def test_from_a_time_on(world: World) -> None:
    filled(world)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert numbers(world, "two", since=later) == []
    assert len(numbers(world, since=datetime(2020, 1, 1, tzinfo=UTC))) == 30


@pytest.mark.parametrize("tags", ["two", ["", "two"]])
def test_what_is_no_list_of_tags_is_refused(world: World, tags: Any) -> None:
    filled(world)
    with pytest.raises(ConfigError, match="tag"):
        next(world.client.events.all(Numbered, all_of=tags))
