"""What a handler returns is checked whether or not anyone asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from counter import Added, Count, Counter
from world import World, header

from kstate import Command, CommandFailed, Context, command


@dataclass(frozen=True)
class Number(Command[int]):
    what: str


@dataclass(frozen=True)
class Nothing(Command[None]):
    what: str


@dataclass(frozen=True)
class Truth(Command[bool]):
    what: str


@dataclass(frozen=True)
class Text(Command[str]):
    what: str


@dataclass(frozen=True)
class Sum(Command[Count]):
    what: str


@dataclass(frozen=True)
class Choice(Command[Literal["yes", "no"] | None]):
    what: str


VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "one": 1,
    "smallest": -(2**63),
    "too small": -(2**63) - 1,
    "largest": 2**63 - 1,
    "too large": 2**63,
    "text": "some",
    "long": "x" * 100_000,
    "yes": "yes",
    "count": Count(1, 2),
    "no count": Count("one", 2),  # type: ignore[arg-type]
}
GOOD = {
    Number: {"one", "smallest", "largest"},
    Nothing: {"none"},
    Truth: {"true"},
    Text: {"text", "yes"},
    Sum: {"count"},
    Choice: {"none", "yes"},
}


class Telling(Counter):
    name = "telling"

    def tell(self, ctx: Context[Count], cmd: Any) -> Any:
        ctx.persist(Added(1))
        return VALUES[cmd.what]

    @command
    def number(self, ctx: Context[Count], cmd: Number) -> int:
        return self.tell(ctx, cmd)  # type: ignore[no-any-return]

    @command
    def nothing(self, ctx: Context[Count], cmd: Nothing) -> None:
        return self.tell(ctx, cmd)  # type: ignore[no-any-return]

    @command
    def truth(self, ctx: Context[Count], cmd: Truth) -> bool:
        return self.tell(ctx, cmd)  # type: ignore[no-any-return]

    @command
    def text(self, ctx: Context[Count], cmd: Text) -> str:
        return self.tell(ctx, cmd)  # type: ignore[no-any-return]

    @command
    def sum(self, ctx: Context[Count], cmd: Sum) -> Count:
        return self.tell(ctx, cmd)  # type: ignore[no-any-return]

    @command
    def choice(self, ctx: Context[Count], cmd: Choice) -> Literal["yes", "no"] | None:
        return self.tell(ctx, cmd)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", list(GOOD))
def test_a_cast_fails_where_a_call_does(world: World, kind: Any) -> None:
    world.run(Telling, partitions=1, url=world.limited(65_536))
    for what in VALUES:
        world.cast(Telling, "cast", kind(what))
    world.settled(Telling)
    letters = world.dead_letters(Telling)
    for what in VALUES:
        if what in GOOD[kind]:
            assert world.call(Telling, "call", kind(what)) == VALUES[what]
        else:
            with pytest.raises(CommandFailed):
                world.call(Telling, "call", kind(what))
    told = world.dead_letters(Telling)[len(letters) :]
    assert [header(each, "error") for each in letters] == [header(each, "error") for each in told]
    assert len(letters) == len(VALUES) - len(GOOD[kind])
    assert world.state(Telling, "cast") == world.state(Telling, "call")
    assert len(world.journal(Telling)) == 2 * len(GOOD[kind])
