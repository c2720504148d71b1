"""Any other exception: an error reply, a dead letter, and the partition goes on; or it stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from counter import Add, AddAndFail, Added, Count, Counter
from world import World, header

from kstate import Command, CommandFailed, Context, command
from kstate.errors import ProcessorStopped


@dataclass(frozen=True)
class Raise(Command[None]):
    what: str


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even its text raises")


class UnspeakableCancelled(asyncio.CancelledError):
    def __str__(self) -> str:
        raise asyncio.CancelledError


def _deeper(n: int) -> int:
    return _deeper(n + 1)


class Raising(Counter):
    name = "raising"

    @command
    def raise_it(self, ctx: Context[Count], cmd: Raise) -> None:
        if cmd.what == "recursion":
            _deeper(0)
        if cmd.what == "assertion":
            raise AssertionError
        if cmd.what == "unspeakable":
            raise Unspeakable
        if cmd.what == "surrogate":
            raise ValueError("\ud800")
        if cmd.what == "stop-iteration":
            raise StopIteration
        if cmd.what == "cancelled":
            raise asyncio.CancelledError
        if cmd.what == "keyboard":
            raise KeyboardInterrupt("of the handler's own")
        if cmd.what == "generator-exit":
            raise GeneratorExit
        if cmd.what == "unspeakable-cancelled":
            raise UnspeakableCancelled
        if cmd.what == "group":
            raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])


class Stopping(Counter):
    name = "stopping"
    on_error = "stop"


def test_the_caller_gets_an_error_with_the_reason(world: World) -> None:
    world.run(Counter)
    with pytest.raises(CommandFailed) as failed:
        world.call(Counter, "a", AddAndFail(5))
    assert failed.value.reason == "ValueError: no luck with 5"
    assert failed.value.code == "failed"


def test_the_command_goes_to_the_dead_letters_as_it_came(world: World) -> None:
    world.run(Counter)
    value = world.encoded(Counter, AddAndFail(5))
    world.ask(Counter, value, headers=[("mine", b"\x00\xff"), ("mine", b"twice")])
    (original,) = world.read(world.topics(Counter).commands)
    (letter,) = world.dead_letters(Counter)
    assert letter.value == original.value
    assert letter.partition == original.partition
    assert letter.headers[: len(original.headers)] == original.headers
    assert header(letter, "error-type") == "ValueError"
    assert header(letter, "error") == "no luck with 5"
    place = f"{original.partition}:{original.offset}"
    assert ((letter.key or b"").decode(), header(letter, "source")) == (place, place)
    assert header(letter, "persist-id") == "a"


def test_a_failing_cast_is_dead_lettered_too(world: World) -> None:
    world.run(Counter)
    world.cast(Counter, "a", AddAndFail(5))
    world.settled(Counter)
    assert len(world.dead_letters(Counter)) == 1
    assert world.replies(Counter) == []


def test_the_partition_goes_on(world: World) -> None:
    world.run(Counter)
    with pytest.raises(CommandFailed):
        world.call(Counter, "a", AddAndFail(5))
    assert world.call(Counter, "a", Add(1)) == 1
    assert world.events(Counter, "a") == [(1, Added(1))]


@pytest.mark.parametrize(
    "what",
    [
        *("recursion", "assertion", "unspeakable", "surrogate", "stop-iteration", "group"),
        *("cancelled", "keyboard", "generator-exit", "unspeakable-cancelled"),
    ],
)
def test_no_exception_is_too_odd(world: World, what: str) -> None:
    world.run(Raising)
    with pytest.raises(CommandFailed):
        world.call(Raising, "a", Raise(what))
    assert world.call(Raising, "a", Add(1)) == 1
    assert len(world.dead_letters(Raising)) == 1


def test_a_failed_command_may_be_called_again_with_its_id(world: World) -> None:
    class Luck(Counter):
        name = "luck"
        bad = True

        @command
        def add(self, ctx: Context[Count], cmd: Add) -> int:
            ctx.persist(Added(cmd.amount))
            if Luck.bad:
                raise ValueError("bad luck")
            return ctx.state.total

    world.run(Luck)
    with pytest.raises(CommandFailed):
        world.call(Luck, "a", Add(1), command_id="once")
    Luck.bad = False
    assert world.call(Luck, "a", Add(1), command_id="once") == 1


def test_a_processor_may_rather_stop(world: World) -> None:
    world.run(Stopping, partitions=1)
    world.stop()
    for command_ in (Add(1), AddAndFail(5), Add(2)):
        world.cast(Stopping, "a", command_)
    world.restart()
    failure = world.failure()
    assert isinstance(failure, ProcessorStopped)
    assert str(failure) == (
        "the command at 0:1 of stopping failed (ValueError: no luck with 5) and on_error is "
        '"stop"; nothing after it ran'
    )
    assert world.events(Stopping, "a") == [(1, Added(1))]
    assert world.dead_letters(Stopping) == []


def test_a_stopped_processor_stops_at_the_same_command_again(world: World) -> None:
    world.run(Stopping)
    world.cast(Stopping, "a", AddAndFail(5))
    world.failure()
    world.restart()
    assert isinstance(world.failure(), ProcessorStopped)


def test_a_stopped_processor_goes_on_once_its_code_is_mended(world: World) -> None:
    class Mended(Stopping):
        @command
        def add_and_fail(self, ctx: Context[Count], cmd: AddAndFail) -> int:
            ctx.persist(Added(cmd.amount))
            return ctx.state.total

    world.run(Stopping)
    world.cast(Stopping, "a", AddAndFail(5))
    world.cast(Stopping, "a", Add(2))
    world.failure()
    world.restart(Mended)
    assert world.call(Mended, "a", Add(1)) == 8
