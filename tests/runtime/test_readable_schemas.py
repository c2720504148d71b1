"""A worker whose code cannot read what was stored refuses to start."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from world import World

from kstate import Command, Context, Processor, command, event
from kstate.errors import SchemaError


@dataclass(frozen=True)
class Boxes:
    count: int = 0


@dataclass(frozen=True)
class Put(Command[int]):
    count: int


def of_another_day(kind: type, name: str = "Stored") -> type[Processor[Boxes]]:
    """The same processor with an event whose field is of this type."""
    stored = dataclass(frozen=True)(
        type(name, (), {"__annotations__": {"count": kind}, "__module__": __name__})
    )

    class Shelf(Processor[Boxes]):
        name = "shelf"

        def init(self, persist_id: str) -> Boxes:
            return Boxes()

        @command
        def put(self, ctx: Context[Boxes], cmd: Put) -> int:
            ctx.persist(stored(kind(cmd.count)))
            return cmd.count

        @event
        def stored(self, state: Boxes, event: stored) -> Boxes:  # type: ignore[valid-type]
            return Boxes(state.count + 1)

    return Shelf


def test_an_event_that_changed_beyond_reading_is_refused_by_name(world: World) -> None:
    world.run(of_another_day(int))
    world.stop()
    with pytest.raises(SchemaError, match="Stored"):
        world.run(of_another_day(bytes))


def test_an_event_type_that_is_gone_is_refused_by_name(world: World) -> None:
    world.run(of_another_day(int, "Stored"))
    world.stop()
    with pytest.raises(SchemaError, match="Stored"):
        world.run(of_another_day(int, "Kept"))
