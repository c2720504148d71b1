"""The persist ids as they come to exist."""

from __future__ import annotations

import asyncio

import pytest
from counter import Add, Counter, Reset
from world import PATIENCE_S, World

from kstate import aio


def filled(world: World) -> None:
    """Three that exist, one of them begun anew, and one that was deleted."""
    world.run(Counter)
    for persist_id in ("b", "gone", "a", "anew"):
        world.call(Counter, persist_id, Add(1))
    world.call(Counter, "gone", Reset())
    world.call(Counter, "anew", Reset())
    world.call(Counter, "anew", Add(1))


def test_current_ones_are_those_that_exist(world: World) -> None:
    filled(world)
    assert list(world.client.events.ids(Counter)) == ["a", "anew", "b"]
    assert world.client.ids(Counter) == ["a", "anew", "b"]


def test_live_ones_are_told_once_each(world: World) -> None:
    filled(world)
    live = world.client.events.ids(Counter, live=True)
    assert [next(live) for _ in range(3)] == ["a", "anew", "b"]
    world.call(Counter, "a", Add(1))
    world.call(Counter, "c", Add(1))
    assert next(live) == "c"
    world.call(Counter, "c", Add(1))
    world.call(Counter, "d", Add(1))
    assert next(live) == "d"


def test_one_that_begins_anew_is_told_again(world: World) -> None:
    filled(world)
    live = world.client.events.ids(Counter, live=True)
    assert [next(live) for _ in range(3)] == ["a", "anew", "b"]
    world.call(Counter, "gone", Add(1))
    assert next(live) == "gone"
    world.call(Counter, "a", Reset())
    world.call(Counter, "a", Add(1))
    assert next(live) == "a"


def test_they_end_with_their_client(world: World) -> None:
    filled(world)
    live = world.client.events.ids(Counter, live=True)
    assert [next(live) for _ in range(3)] == ["a", "anew", "b"]
    world.client.close()
    assert next(live, None) is None


@pytest.mark.parametrize("is_live", [False, True])
def test_asyncio(world: World, is_live: bool) -> None:
    async def main() -> list[str]:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            found = []
            async for each in k.events.ids(Counter, live=is_live):
                found.append(each)
                if len(found) == 3:
                    break
            return found

    filled(world)
    assert asyncio.run(asyncio.wait_for(main(), PATIENCE_S)) == ["a", "anew", "b"]
