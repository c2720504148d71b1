"""Rejected: a business "no", which is no error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from counter import Add, AddAndRefuse, Count, Counter
from world import World, header

from kstate import Command, Context, Rejected, command


@dataclass(frozen=True)
class Refuse(Command[int]):
    what: str


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even its text raises")


class Derived(Rejected):
    """A user's own, which forgets to call `Rejected.__init__`."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        return f"{self.number} is too few"


class Strict(Counter):
    name = "strict"
    on_error = "stop"

    @command
    def refuse(self, ctx: Context[Count], cmd: Refuse) -> int:
        odd: dict[str, Any] = {
            "exception": lambda: Rejected(ValueError("as it came")),  # type: ignore[arg-type]
            "number": lambda: Rejected("no", code=404),  # type: ignore[arg-type]
            "nothing": lambda: Rejected(""),
            "plain": lambda: Rejected("no reason but this"),
            "surrogate": lambda: Rejected("\ud800", code="\ud800"),
            "unspeakable": lambda: Rejected(Unspeakable()),  # type: ignore[arg-type]
            "derived": lambda: Derived(7),
            "long": lambda: Rejected("é" * 5000),
        }
        raise odd[cmd.what]()


def test_the_caller_gets_it_as_an_exception_with_reason_and_code(world: World) -> None:
    world.run(Counter)
    with pytest.raises(Rejected) as no:
        world.call(Counter, "a", AddAndRefuse(5))
    assert no.value.reason == "5 is not wanted"
    assert no.value.code == "unwanted"


def test_nothing_is_persisted_and_nothing_dead_lettered(world: World) -> None:
    world.run(Counter)
    with pytest.raises(Rejected):
        world.call(Counter, "a", AddAndRefuse(5))
    assert world.journal(Counter) == world.dead_letters(Counter) == []
    assert world.state(Counter, "a") == Count()
    assert world.counts(Counter).rejected == 1
    assert world.counts(Counter).failed == 0


def test_a_rejected_cast_is_silent(world: World) -> None:
    world.run(Counter)
    world.cast(Counter, "a", AddAndRefuse(5))
    world.settled(Counter)
    assert world.replies(Counter) == world.dead_letters(Counter) == world.journal(Counter) == []


def test_it_does_not_stop_a_processor_that_stops_on_errors(world: World) -> None:
    world.run(Strict)
    with pytest.raises(Rejected) as no:
        world.call(Strict, "a", Refuse("plain"))
    assert (no.value.reason, no.value.code) == ("no reason but this", "rejected")
    assert world.call(Strict, "a", Add(1)) == 1


@pytest.mark.parametrize(
    ("what", "reason", "code"),
    [
        ("exception", "as it came", "rejected"),
        ("number", "no", "404"),
        ("nothing", "", "rejected"),
        ("surrogate", "?", "?"),
        ("unspeakable", "a Rejected, whose text raises", "rejected"),
        ("derived", "7 is too few", "rejected"),
    ],
)
def test_an_odd_reason_or_code_is_told_as_text(
    world: World, what: str, reason: str, code: str
) -> None:
    world.run(Strict)
    with pytest.raises(Rejected) as no:
        world.call(Strict, "a", Refuse(what))
    assert (no.value.reason, no.value.code) == (reason, code)
    assert world.call(Strict, "a", Add(1)) == 1


def test_a_long_reason_is_cut_to_what_a_header_may_hold(world: World) -> None:
    world.run(Strict)
    reply = world.ask(Strict, world.encoded(Strict, Refuse("long")))
    assert header(reply, "error") == "é" * 512


def test_its_reply_says_where_the_entity_is(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    reply = world.ask(Counter, world.encoded(Counter, AddAndRefuse(1)))
    assert header(reply, "status") == "rejected"
    assert header(reply, "seq") == "3"
    assert not reply.value
