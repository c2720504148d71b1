"""ctx.send: a command for another entity, in the same transaction, exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import pytest
from counter import Add, Added, Count, Counter
from world import World, header

from kstate import Command, CommandFailed, Context, Processor, command, event, reaction
from kstate.errors import TopicError
from processors.bank import Bank, Deposit, Transfer


@dataclass(frozen=True)
class Entries:
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Enter(Command[None]):
    line: str


@dataclass(frozen=True)
class Entered:
    line: str


class Ledger(Processor[Entries]):
    name = "ledger"

    def init(self, persist_id: str) -> Entries:
        return Entries()

    @command
    def enter(self, ctx: Context[Entries], cmd: Enter) -> None:
        ctx.persist(Entered(cmd.line))

    @event
    def entered(self, state: Entries, event: Entered) -> Entries:
        return Entries((*state.lines, event.line))


@dataclass(frozen=True)
class Book(Command[None]):
    """Tells the ledger, so many times."""

    line: str
    times: int = 1
    persist: bool = False


@dataclass(frozen=True)
class PassOn(Command[None]):
    """Adds one to oneself and to another counter."""

    to: str


@dataclass(frozen=True)
class SendBadly(Command[None]):
    fault: str


class Shop(Counter):
    name = "shop"
    sends = (Ledger,)

    @command
    def book(self, ctx: Context[Count], cmd: Book) -> None:
        if cmd.persist:
            ctx.persist(Added(1))
        for number in range(cmd.times):
            ctx.send(Ledger, "main", Enter(f"{cmd.line}-{number}"))

    @command
    def pass_on(self, ctx: Context[Count], cmd: PassOn) -> None:
        ctx.persist(Added(1))
        ctx.send("shop", cmd.to, Add(1))

    @command
    def send_badly(self, ctx: Context[Count], cmd: SendBadly) -> None:
        ctx.persist(Added(1))
        if cmd.fault == "undeclared":
            ctx.send("bank", "a", Add(1))
        if cmd.fault == "empty id":
            ctx.send(Ledger, "", Enter("x"))
        if cmd.fault == "no command":
            ctx.send(Ledger, "main", Entered)  # type: ignore[arg-type]
        if cmd.fault == "value":
            ctx.send(Ledger, "main", Enter(5))  # type: ignore[arg-type]

    @reaction
    def tell(self, ctx: Context[Count], event: Added) -> None:
        if event.amount == 100:
            ctx.send(Ledger, "main", Enter(f"hundred at {ctx.event_seq}"))


def ledger(world: World) -> tuple[str, ...]:
    world.settled(Ledger)
    lines: tuple[str, ...] = world.state(Ledger, "main").lines
    return lines


def test_a_sent_command_arrives_at_another_processor(world: World) -> None:
    world.run(Shop, Ledger)
    world.call(Shop, "a", Book("tea", times=2))
    assert ledger(world) == ("tea-0", "tea-1")


def test_a_processor_may_send_to_itself(world: World) -> None:
    world.run(Shop, Ledger)
    world.call(Shop, "a", PassOn("b"))
    world.call(Shop, "a", PassOn("a"))
    world.settled(Shop)
    assert world.state(Shop, "a") == Count(3, 3)
    assert world.state(Shop, "b") == Count(1, 1)


def test_a_reaction_may_send(world: World) -> None:
    world.run(Shop, Ledger)
    world.call(Shop, "a", Add(100))
    assert ledger(world) == ("hundred at 1",)


def test_each_command_arrives_once_though_its_batch_was_aborted_and_run_again(
    world: World,
) -> None:
    world.run(Shop, Ledger)
    world.faults.abort(2)
    world.call(Shop, "a", Book("tea", times=3))
    assert world.faults.fired == ["abort", "abort"]
    assert ledger(world) == ("tea-0", "tea-1", "tea-2")
    assert len(world.journal(Ledger)) == 3


def test_each_command_arrives_once_though_the_answer_to_the_commit_was_lost(
    world: World,
) -> None:
    world.run(Shop, Ledger)
    world.faults.lose_answer()
    world.call(Shop, "a", Book("tea", times=3))
    assert ledger(world) == ("tea-0", "tea-1", "tea-2")


def test_a_sent_commands_id_is_the_same_in_a_rerun(world: World) -> None:
    """It is made of who sent it, and nothing else, as the page on topics says."""
    world.run(Shop, Ledger)
    world.faults.abort()
    world.cast(Shop, "a", Book("tea", times=2), command_id="fixed")
    world.settled(Shop)
    assert world.faults.fired == ["abort"]
    ids = [header(r, "command-id") for r in world.read(world.topics(Ledger).commands)]
    parents = [f"shop/a\0fixed#{position}".encode() for position in range(2)]
    assert ids == [blake2b(parent, digest_size=16).hexdigest() for parent in parents]


def test_what_two_entities_send_under_one_command_id_arrives_twice(world: World) -> None:
    """The same id at another persist id is another command, and so is what it sends."""
    world.run(Bank)
    for account in ("a", "b"):
        world.call(Bank, account, Deposit(100))
    for account in ("a", "b", "a", "b"):
        assert world.call(Bank, account, Transfer("c", 10), command_id="monday") == 90
    world.settled(Bank)
    assert [world.state(Bank, each).balance for each in ("a", "b", "c")] == [90, 90, 20]
    assert world.counts(Bank).duplicates == 2  # of the calls, none of the deposits


def test_a_command_that_only_sends_leaves_a_note_so_that_it_counts(world: World) -> None:
    world.run(Shop, Ledger)
    world.call(Shop, "a", Book("tea"), command_id="once")
    (noted,) = world.journal(Shop)
    assert header(noted, "type") == "kstate.Noted"
    assert noted.key == b"a@1"
    world.call(Shop, "a", Book("tea"), command_id="once")
    assert ledger(world) == ("tea-0",)
    assert world.state(Shop, "a") == Count()


def test_a_command_that_sends_and_persists_leaves_no_note(world: World) -> None:
    world.run(Shop, Ledger)
    world.call(Shop, "a", Book("tea", persist=True))
    assert [header(r, "type") for r in world.journal(Shop)] == ["Added"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("undeclared", "shop sends to 'bank', which it does not declare: add it to the class"),
        ("empty id", "the persist id"),
        ("no command", "."),
        ("value", "Enter.line"),
    ],
)
def test_what_cannot_be_sent_fails_the_command(world: World, fault: str, message: str) -> None:
    world.run(Shop, Ledger)
    with pytest.raises(CommandFailed, match=message):
        world.call(Shop, "a", SendBadly(fault))
    assert world.journal(Shop) == []
    assert ledger(world) == ()


def test_a_target_without_topics_is_refused_at_the_start(world: World) -> None:
    with pytest.raises(TopicError) as missing:
        world.run(Shop)
    topic = world.topics(Ledger).commands
    assert str(missing.value).startswith(f"{topic} does not exist, but {world.prefix}shop sends")
    assert "start a worker of ledger first, or in the same run" in str(missing.value)


def test_targets_of_the_same_run_are_created_with_it_in_any_order(world: World) -> None:
    world.run(Shop, Ledger)
    world.call(Shop, "a", Book("tea"))
    assert ledger(world) == ("tea-0",)


def test_what_was_sent_waits_for_a_target_that_is_not_running(world: World) -> None:
    world.run(Ledger)
    world.restart(Shop)
    world.call(Shop, "a", Book("tea"))
    world.restart(Ledger)
    assert ledger(world) == ("tea-0",)


def test_a_traceparent_goes_with_the_events_and_the_sent_commands(world: World) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    world.run(Shop, Ledger)
    world.call(Shop, "a", Book("tea"), headers={"traceparent": trace})
    ledger(world)
    for record in world.journal(Shop) + world.journal(Ledger):
        assert header(record, "traceparent") == trace.decode()
