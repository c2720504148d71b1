"""A query by persist id goes on behind a position, as all queries do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from counter import Add, Counter
from world import World

from kstate import EventAdapter, Processor, Stored, aio


class Halves(EventAdapter):
    """Reads each event as several of one."""

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        return [Stored(stored.name, {"amount": 1})] * stored.data["amount"]


class Halved(Counter):
    name = "halved"
    adapters = (Halves(),)


def filled(world: World, processor: type[Processor[Any]]) -> None:
    world.run(processor)
    for amount in (2, 3, 1):
        for persist_id in "abc":
            world.call(processor, persist_id, Add(amount))


def test_behind_each_events_position(world: World) -> None:
    filled(world, Counter)
    events = world.client.events
    found = list(events.by_id(Counter, "a"))
    assert [each.seq for each in found] == [1, 2, 3]
    for stored in found:
        rest = events.by_id(Counter, "a", after=stored.position)
        assert [each.seq for each in rest] == [*range(stored.seq + 1, 4)]
    rest = events.by_id(Counter, "a", after=found[0].position, from_seq=3)
    assert [each.seq for each in rest] == [3]


def test_in_the_middle_of_what_an_adapter_made_of_one_record(world: World) -> None:
    filled(world, Halved)
    events = world.client.events
    found = list(events.by_id(Halved, "a"))
    assert len(found) == 6
    for index, stored in enumerate(found, 1):
        rest = list(events.by_id(Halved, "a", after=stored.position))
        assert [(each.seq, each.part) for each in rest] == [
            (each.seq, each.part) for each in found[index:]
        ]


def test_live(world: World) -> None:
    filled(world, Counter)
    events = world.client.events
    second = list(events.by_id(Counter, "a"))[1].position
    world.call(Counter, "a", Add(9))
    live = events.by_id(Counter, "a", after=second, live=True, to_seq=5)
    assert next(live).seq == 3
    world.call(Counter, "a", Add(9))
    assert [each.seq for each in live] == [4, 5]


def test_asyncio(world: World) -> None:
    async def main() -> list[int]:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            found = [each async for each in k.events.by_id(Counter, "a")]
            rest = k.events.by_id(Counter, "a", after=found[0].position)
            return [each.seq async for each in rest]

    filled(world, Counter)
    assert asyncio.run(main()) == [2, 3]
