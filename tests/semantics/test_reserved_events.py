"""kstate's own events are persisted by kstate alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from counter import Add, Added, Count, Counter, Reset
from world import World, header

from kstate import Command, CommandFailed, Context, Deleted, EventAdapter, command
from kstate.core.messages import Noted


@dataclass(frozen=True)
class Persist(Command[None]):
    what: str
    how: str


class Curious(EventAdapter):
    """Looks at a field that kstate's own events do not have."""

    def to_journal(self, event: Any) -> Any:
        assert event.amount
        return event


class Meddling(Counter):
    name = "meddling"

    @command
    def persist(self, ctx: Context[Count], cmd: Persist) -> None:
        event: Any = {"deleted": Deleted(), "noted": Noted()}[cmd.what]
        ctx.persist(Added(1))
        if cmd.how == "one":
            ctx.persist(event)
        else:
            ctx.persist_all([Added(1), event])


class Adapted(Meddling):
    name = "adapted"
    adapters = (Curious(),)


CURES = {
    "deleted": r"Deleted is an event of kstate's own: call ctx\.delete\(\) instead",
    "noted": "Noted is an event of kstate's own: leave it out, a command that only sends gets one",
}


@pytest.mark.parametrize("processor", [Meddling, Adapted])
@pytest.mark.parametrize("how", ["one", "all"])
@pytest.mark.parametrize("what", ["deleted", "noted"])
def test_they_are_refused_with_the_cure(
    world: World, what: str, how: str, processor: type[Meddling]
) -> None:
    world.run(processor)
    world.call(processor, "a", Add(5))
    with pytest.raises(CommandFailed, match=CURES[what]):
        world.call(processor, "a", Persist(what, how))
    assert world.state(processor, "a") == Count(5, 1)
    world.call(processor, "a", Reset())
    assert [header(r, "type") for r in world.journal(processor)] == ["Added", "kstate.Deleted"]
