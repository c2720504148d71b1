"""client.rebuild() tells how far the owners are, and waits long for them."""

from __future__ import annotations

import inspect

import pytest
from counter import Add, Counter, Save
from world import PATIENCE_S, World

from kstate.aio import AsyncClient
from kstate.client import Client
from kstate.errors import RebuildTimeout
from kstate.upkeep import rebuild


def test_who_asks_hears_of_the_partitions_that_are_done(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(1))
    world.call(Counter, "a", Save())
    seen: list[tuple[int, int]] = []
    told = world.client.rebuild(
        Counter, timeout=PATIENCE_S, watch=lambda done, count: seen.append((done, count))
    )
    assert told == 1
    assert seen[-1] == (2, 2)
    assert seen == sorted(seen)


def test_who_waits_in_vain_hears_so_meanwhile(world: World) -> None:
    world.run(Counter)
    world.stop()
    seen: list[tuple[int, int]] = []
    with pytest.raises(RebuildTimeout, match="partitions 0, 1 of") as late:
        world.client.rebuild(
            Counter, timeout=1.2, watch=lambda done, count: seen.append((done, count))
        )
    assert late.value.partitions == (0, 1)
    assert set(seen) == {(0, 2)}
    assert len(seen) >= 2


def test_ten_minutes_are_waited_by_default() -> None:
    for each, name in ((Client.rebuild, "timeout"), (AsyncClient.rebuild, "timeout"),
                       (rebuild, "timeout_s")):  # fmt: skip
        assert inspect.signature(each).parameters[name].default == 600
