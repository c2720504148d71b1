"""Large states: immutables.Map and pyrsistent in a state, which change without copying it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import immutables
import pytest
from pyrsistent import PMap, PVector, pmap, pvector
from world import World

from kstate import Command, Context, Processor, command, event


@dataclass(frozen=True)
class Item:
    price: int


@dataclass(frozen=True)
class Stock:
    items: immutables.Map[str, Item] = immutables.Map()  # noqa: RUF009 - it cannot change
    counts: PMap[str, int] = pmap()  # noqa: RUF009 - it cannot change
    history: PVector[str] = pvector()  # noqa: RUF009 - it cannot change


@dataclass(frozen=True)
class Put(Command[int]):
    name: str
    price: int


@dataclass(frozen=True)
class Stocked:
    name: str
    price: int


class Shelf(Processor[Stock]):
    name = "shelf"

    def init(self, persist_id: str) -> Stock:
        return Stock()

    @command
    def put(self, ctx: Context[Stock], cmd: Put) -> int:
        ctx.persist(Stocked(cmd.name, cmd.price))
        return len(ctx.state.items)

    @event
    def stocked(self, state: Stock, event: Stocked) -> Stock:
        return replace(
            state,
            items=state.items.set(event.name, Item(event.price)),
            counts=state.counts.set(event.name, state.counts.get(event.name, 0) + 1),
            history=state.history.append(event.name),
        )


@pytest.mark.parametrize("without_store", [False, True])
def test_they_come_back_from_snapshots_as_what_they_were(world: World, without_store: bool) -> None:
    world.run(Shelf, partitions=1, max_entities=1)
    for name in ("pear", "plum", "pear"):
        world.call(Shelf, "a", Put(name, 3))
    world.call(Shelf, "b", Put("fig", 1))
    world.call(Shelf, "c", Put("fig", 1))
    assert world.snapshot(Shelf, "a") is not None
    world.restart(without_store=without_store)
    assert world.call(Shelf, "a", Put("quince", 9)) == 3
    state = world.state(Shelf, "a")
    assert state == Stock(
        immutables.Map({"pear": Item(3), "plum": Item(3), "quince": Item(9)}),
        pmap({"pear": 2, "plum": 1, "quince": 1}),
        pvector(["pear", "plum", "pear", "quince"]),
    )
    assert isinstance(state.items, immutables.Map)


def test_a_thousand_entries_survive(world: World) -> None:
    world.run(Shelf)
    for number in range(1_000):
        world.client.cast(Shelf, "a", Put(f"item-{number}", number))
    assert world.call(Shelf, "a", Put("last", 0)) == 1_001
    world.restart(without_store=True)
    state = world.state(Shelf, "a")
    assert state.items["item-500"] == Item(500)
    assert len(state.history) == 1_001
