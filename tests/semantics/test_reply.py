"""reply: the handler's return value, in the same transaction; a cast has none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from counter import Add, Count, Counter, Look, Reset
from world import World, header

from kstate import Command, CommandFailed, Context, command


@dataclass(frozen=True)
class Pair:
    left: int
    right: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class Ask(Command[Pair | None]):
    empty: bool = False


@dataclass(frozen=True)
class Lie(Command[int]):
    persist: int = 0


class Talker(Counter):
    name = "talker"

    @command
    def ask(self, ctx: Context[Count], cmd: Ask) -> Pair | None:
        return None if cmd.empty else Pair(1, ("a", "b"), datetime(2024, 5, 6, tzinfo=UTC))

    @command
    def lie(self, ctx: Context[Count], cmd: Lie) -> int:
        from counter import Added

        ctx.persist(Added(1))
        return "not a number"  # type: ignore[return-value]


def test_the_caller_gets_what_the_handler_returned(world: World) -> None:
    world.run(Talker)
    assert world.call(Talker, "a", Add(5)) == 5
    assert world.call(Talker, "a", Look()) == 5
    assert world.call(Talker, "a", Reset()) is None
    assert world.call(Talker, "a", Ask()) == Pair(1, ("a", "b"), datetime(2024, 5, 6, tzinfo=UTC))
    assert world.call(Talker, "a", Ask(empty=True)) is None


def test_a_cast_has_no_reply(world: World) -> None:
    world.run(Counter)
    world.cast(Counter, "a", Add(5))
    world.settled(Counter)
    assert world.replies(Counter) == []
    assert world.state(Counter, "a") == Count(5, 1)


def test_a_reply_says_status_seq_and_position(world: World) -> None:
    world.run(Counter, partitions=1)
    reply = world.ask(Counter, world.encoded(Counter, Add(5, times=3)))
    assert header(reply, "status") == "ok"
    assert header(reply, "seq") == "3"
    assert header(reply, "position") == "0:0"
    again = world.ask(Counter, world.encoded(Counter, Look()))
    assert header(again, "seq") == "3"
    assert header(again, "position") == "0:0"  # of the newest event, not of the command


def test_a_position_is_that_of_a_journal_record_that_is_there(world: World) -> None:
    world.run(Counter)
    reply = world.ask(Counter, world.encoded(Counter, Add(5)))
    assert header(reply, "position") in [header(r, "source") for r in world.journal(Counter)]


def test_a_position_goes_on_after_a_restart(world: World) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Look())
    world.restart(without_store=True)
    reply = world.ask(Counter, world.encoded(Counter, Look()))
    assert header(reply, "position") == "0:0"


def test_there_is_no_reply_before_the_commit(world: World) -> None:
    world.run(Counter)
    world.faults.kill_before_commit()
    call = world.client.begin(Counter, "a", Add(5))
    world.killed()
    assert world.replies(Counter) == []
    assert not call.future.done()
    world.restart()
    assert call.result_of(call.future.result(20)) == 5


def test_a_reply_its_annotation_does_not_allow_fails_the_command(world: World) -> None:
    world.run(Talker)
    with pytest.raises(CommandFailed, match="EncodeError"):
        world.call(Talker, "a", Lie())
    assert world.journal(Talker) == []
    assert header(world.dead_letters(Talker)[0], "error-type") == "EncodeError"


def test_a_reply_goes_to_the_partition_that_was_asked_for(world: World) -> None:
    world.run(Counter)
    for partition in (0, 3):
        reply = world.ask(
            Counter, world.encoded(Counter, Add(1)), reply_partition=b"%d" % partition
        )
        assert reply.partition == partition
