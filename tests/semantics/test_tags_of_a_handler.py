"""Tags are an adapter's to give: a handler that gives them is told so."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from world import World

from kstate import Command, CommandFailed, Context, Processor, command, event, tagged


@dataclass(frozen=True)
class Total:
    total: int = 0


@dataclass(frozen=True)
class Tag(Command[int]):
    pass


@dataclass(frozen=True)
class Tagging:
    pass


class Tagger(Processor[Total]):
    name = "tagger"

    def init(self, persist_id: str) -> Total:
        return Total()

    @command
    def tag(self, ctx: Context[Total], cmd: Tag) -> int:
        ctx.persist(tagged(Tagging(), "late"))
        return 1

    @event
    def tagging(self, state: Total, event: Tagging) -> Total:
        return state


def test_an_event_that_a_handler_tagged_is_refused_in_words_that_name_the_cure(
    world: World,
) -> None:
    world.run(Tagger)
    with pytest.raises(CommandFailed) as failed:
        world.call(Tagger, "a", Tag())
    assert str(failed.value) == (
        "EncodeError: tagged(…) cannot be persisted: persist the event itself, and let an "
        "EventAdapter in adapters give it its tags"
    )
