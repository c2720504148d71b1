"""order: commands of one persist id run strictly one after another, in their partition's order."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from counter import Add, Added, Counter
from world import World

from kstate import Command, Context, Processor, command, event


@dataclass(frozen=True)
class Letters:
    text: str = ""


@dataclass(frozen=True)
class Write(Command[str]):
    letter: str


@dataclass(frozen=True)
class Written:
    letter: str


busy = threading.Lock()


class Writer(Processor[Letters]):
    name = "writer"

    def init(self, persist_id: str) -> Letters:
        return Letters()

    @command
    def write(self, ctx: Context[Letters], cmd: Write) -> str:
        assert busy.acquire(blocking=False), "two commands run at once"
        try:
            ctx.persist(Written(cmd.letter))
            return ctx.state.text
        finally:
            busy.release()

    @event
    def written(self, state: Letters, event: Written) -> Letters:
        return Letters(state.text + event.letter)


ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def test_commands_of_one_persist_id_run_in_the_order_they_were_sent(world: World) -> None:
    world.run(Writer)
    for letter in ALPHABET:
        world.cast(Writer, "a", Write(letter))
    assert world.call(Writer, "a", Write("!")) == ALPHABET + "!"


def test_the_order_is_kept_when_batches_are_cut_small_and_run_again(world: World) -> None:
    world.run(Writer, batch_records=3, partitions=1)
    world.faults.abort(2)
    for letter in ALPHABET:
        world.cast(Writer, "a", Write(letter))
    assert world.call(Writer, "a", Write("!")) == ALPHABET + "!"
    assert world.faults.fired == ["abort", "abort"]


def test_each_command_sees_what_the_one_before_it_persisted_in_the_same_batch(
    world: World,
) -> None:
    world.run(Counter)
    world.stop()
    for amount in (1, 2, 3):
        world.cast(Counter, "a", Add(amount))
    world.restart()
    assert world.call(Counter, "a", Add(4)) == 10


def test_the_order_of_the_journal_is_the_order_of_the_commands(world: World) -> None:
    world.run(Counter, partitions=1)
    for n in range(20):
        world.cast(Counter, f"id-{n % 3}", Add(n))
    world.settled(Counter)
    sources = [int(dict(r.headers)["source"].split(b":")[1]) for r in world.journal(Counter)]
    assert sources == sorted(sources)
    assert world.events(Counter, "id-1") == [
        (seq, Added(n)) for seq, n in enumerate(range(1, 20, 3), 1)
    ]


def test_persist_ids_do_not_see_each_other(world: World) -> None:
    world.run(Counter)
    assert world.call(Counter, "a", Add(1)) == 1
    assert world.call(Counter, "b", Add(2)) == 2
    assert world.call(Counter, "a", Add(1)) == 2
