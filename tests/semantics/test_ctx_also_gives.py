"""ctx also gives persist_id, seq, command_id, headers and now, the one time of the command."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from counter import Added, Count, Counter
from world import World, header

from kstate import Command, Context, command, reaction


@dataclass(frozen=True)
class Seen:
    persist_id: str
    seq: int
    command_id: str
    mine: bytes | None
    now: datetime


@dataclass(frozen=True)
class Tell(Command[tuple[Seen, ...]]):
    sleep_ms: int = 0


told: list[Seen] = []


def seen(ctx: Context[Count]) -> Seen:
    return Seen(ctx.persist_id, ctx.seq, ctx.command_id, ctx.headers.get("mine"), ctx.now)


class Teller(Counter):
    name = "teller"

    @command
    def tell(self, ctx: Context[Count], cmd: Tell) -> tuple[Seen, ...]:
        before = seen(ctx)
        time.sleep(cmd.sleep_ms / 1000)
        ctx.persist(Added(1))
        return before, seen(ctx)

    @reaction
    def react(self, ctx: Context[Count], event: Added) -> None:
        told.append(seen(ctx))


def test_persist_id_seq_command_id_and_headers(world: World) -> None:
    world.run(Teller)
    before, after = world.call(
        Teller, "é@1", Tell(), command_id="mine-1", headers={"mine": b"\x00yes"}
    )
    assert (before.persist_id, before.command_id, before.mine) == ("é@1", "mine-1", b"\x00yes")
    assert (before.seq, after.seq) == (0, 1)


def test_a_reaction_is_given_the_same(world: World) -> None:
    told.clear()
    world.run(Teller)
    _, after = world.call(Teller, "a", Tell())
    assert told == [after]


def test_now_stands_still_and_is_the_time_of_the_events(world: World) -> None:
    world.run(Teller)
    before, after = world.call(Teller, "a", Tell(sleep_ms=5))
    assert before.now == after.now
    assert before.now.tzinfo is UTC
    (stored,) = world.client.events.by_id(Teller, "a")
    assert stored.at == before.now


def test_now_is_the_workers_clock(world: World) -> None:
    world.clock.advance(86_400 * 365)
    world.run(Teller)
    before, _ = world.call(Teller, "a", Tell())
    assert before.now - datetime.now(UTC) > timedelta(days=364)


def test_now_never_goes_back_though_the_clock_does(world: World) -> None:
    world.run(Teller, partitions=1)
    first, _ = world.call(Teller, "a", Tell())
    world.clock.advance(-3600)
    second, _ = world.call(Teller, "a", Tell())
    assert second.now >= first.now


def test_a_command_without_an_id_is_called_by_its_place(world: World) -> None:
    world.run(Teller, partitions=1)
    world.produce(Teller, world.encoded(Teller, Tell()))
    world.settled(Teller)
    assert [header(r, "command-id") for r in world.journal(Teller)] == ["0:0"]


def test_of_a_repeated_header_the_last_counts(world: World) -> None:
    world.run(Teller)
    told.clear()
    world.produce(
        Teller,
        world.encoded(Teller, Tell()),
        headers=[("mine", b"1"), ("command-id", b"x"), ("mine", b"2"), ("command-id", b"y")],
    )
    world.settled(Teller)
    assert [(each.mine, each.command_id) for each in told] == [(b"2", "y")]
