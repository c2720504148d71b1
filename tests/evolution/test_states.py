"""Snapshots of states of other days: adapted, rebuilt from the journal, or a clear stop."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from dataclasses import make_dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from evolution_tools import Deposited, Pay, Save
from world import World

from kstate import Context, Processor, SnapshotAdapter, Stored, command, event
from kstate.errors import JournalError, SchemaError


def purse(adapters: tuple[Any, ...] = (), name: str = "Purse", **fields: type) -> Any:
    """A processor whose state has these fields; the first one is the sum of what was paid in."""
    state = make_dataclass(name, list(fields.items()), frozen=True)
    kinds = list(fields.values())

    def made(amount: int, *rest: Any) -> Any:
        return state(kinds[0](amount), *(rest or [kind() for kind in kinds[1:]]))

    class Made(Processor[state]):  # type: ignore[valid-type]
        name = "purse"
        snapshot_every = 0

        def init(self, persist_id: str) -> state:  # type: ignore[valid-type]
            return made(0)

        @command
        def pay(self, ctx: Context[Any], cmd: Pay) -> int:
            ctx.persist(Deposited(cmd.amount))
            return int(next(iter(vars(ctx.state).values())))

        @command
        def save(self, ctx: Context[Any], cmd: Save) -> None:
            ctx.save_snapshot()

        @event
        def deposited(self, before: state, event: Deposited) -> state:  # type: ignore[valid-type]
            first, *rest = vars(before).values()
            return made(int(first) + event.amount, *rest)

    return type("Made", (Made,), {"name": "purse", "adapters": adapters})


OLD = purse(cents=int)


def saved(world: World, processor: Any = OLD) -> None:
    """An entity with a snapshot at seq 2 and one event after it."""
    world.run(processor)
    world.call(processor, "a", Pay(5))
    world.call(processor, "a", Pay(6))
    world.call(processor, "a", Save())
    world.call(processor, "a", Pay(7))
    world.stop()
    world.forget_stores()


class Halves(SnapshotAdapter):
    """Of the state in ``cents`` one in ``halves``; asked to tell by its number how it came."""

    reads = ("Purse",)

    def from_snapshot(self, stored: Stored) -> Stored:
        return Stored("Purse", {"halves": float(stored.data["cents"] * 100)})


def test_a_snapshot_adapter_reads_a_state_of_an_older_type(world: World) -> None:
    saved(world)
    new = purse((Halves(),), halves=float)
    world.run(new)
    assert world.state(new, "a").halves == 1107.0  # the snapshot's 11 by the adapter, and 7


def test_a_snapshot_adapter_is_not_asked_about_states_of_today(world: World) -> None:
    class Never(SnapshotAdapter):
        def from_snapshot(self, stored: Stored) -> Stored:
            raise AssertionError("asked")

    new = purse((Never(),), cents=int)
    saved(world, new)
    world.run(new)
    assert world.state(new, "a").cents == 18


def test_snapshot_adapters_form_a_chain(world: World) -> None:
    class Renames(SnapshotAdapter):
        reads = ("Wallet",)

        def from_snapshot(self, stored: Stored) -> Stored:
            return Stored("Purse", stored.data)

    saved(world, purse(name="Wallet", cents=int))
    new = purse((Halves(), Renames()), halves=float)
    world.run(new)
    assert world.state(new, "a").halves == 1107.0


def test_a_state_that_avro_cannot_resolve_is_rebuilt_from_the_journal_with_one_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "kstate")
    saved(world)
    new = purse(cents=str)
    world.run(new)
    assert world.state(new, "a").cents == "18"
    told = [each.message for each in caplog.records if "unreadable" in each.message]
    assert len(told) == 1
    assert "cents" in told[0]


def test_a_state_of_another_name_is_rebuilt_from_the_journal(world: World) -> None:
    saved(world)
    new = purse(name="Wallet", cents=int)
    world.run(new)
    assert world.state(new, "a").cents == 18


@pytest.mark.parametrize("url", ["embedded"], indirect=True)
def test_a_state_that_can_be_neither_read_nor_rebuilt_stops_the_worker(world: World) -> None:
    saved(world)
    retention_took(world, b"a@1")
    world.run(purse(cents=str))
    failure = world.failure()
    assert isinstance(failure, JournalError)
    assert "'a' cannot be rebuilt: its snapshot cannot be read" in str(failure)
    assert "the journal goes back to seq 2 only" in str(failure)


def retention_took(world: World, key: bytes) -> None:
    """Removes an event as retention would, from an embedded log."""
    slot = "(SELECT slot FROM topics WHERE name=?)"
    with closing(sqlite3.connect(unquote(urlsplit(world.url).path))) as file, file:
        found = file.execute(
            f"DELETE FROM records WHERE id>>40={slot} AND key=?", (world.topics(OLD).journal, key)
        )
        assert found.rowcount == 1


def test_a_snapshot_adapter_that_fails_is_refused_at_the_start(world: World) -> None:
    class Careless(SnapshotAdapter):
        def from_snapshot(self, stored: Stored) -> Stored:
            return Stored("Purse", {"halves": stored.data["cent"]})

    saved(world)
    with pytest.raises(SchemaError, match=r"Careless.from_snapshot raised KeyError"):
        world.run(purse((Careless(),), halves=float))
