"""Purses, as two kinds of code see them: what debts the old code saved, the new one cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from runtime_tools import execute
from world import World

from kstate import Command, Context, Processor, command, event

AnyProcessor = type[Processor[Any]]


@dataclass(frozen=True)
class Add(Command[int]):
    amount: int


@dataclass(frozen=True)
class Save(Command[None]):
    pass


@dataclass(frozen=True)
class Drop(Command[None]):
    pass


@dataclass(frozen=True)
class Added:
    amount: int


def purse_of(smallest: int, factor: int, version: int = 1, state: str = "Purse") -> AnyProcessor:
    """Code that counts in a coin of its own, and takes no state below the smallest.

    ``state`` is what its state is called.
    """

    @dataclass(frozen=True)
    class Purse:
        total: int = 1_000

        def __post_init__(self) -> None:
            if self.total < smallest:
                raise ValueError(f"a purse holds at least {smallest}")

    Purse.__name__ = state

    class Purses(Processor[Purse]):
        name = "purses"
        snapshot_every = 0
        snapshot_version = version

        def init(self, persist_id: str) -> Purse:
            return Purse()

        @command
        def add(self, ctx: Context[Purse], cmd: Add) -> int:
            ctx.persist(Added(cmd.amount))
            return ctx.state.total

        @command
        def save(self, ctx: Context[Purse], cmd: Save) -> None:
            ctx.save_snapshot()

        @command
        def drop(self, ctx: Context[Purse], cmd: Drop) -> None:
            ctx.delete()

        @event
        def added(self, state: Purse, event: Added) -> Purse:
            return Purse(state.total + factor * event.amount)

    return Purses


OLD = purse_of(smallest=-(10**9), factor=1)
NEW = purse_of(smallest=0, factor=0)
"""It takes no debts, and counts nothing."""
OLDER = purse_of(smallest=-(10**9), factor=1, state="Wallet")
"""The old code before its state had its name."""
RAISED = purse_of(smallest=-(10**9), factor=1, version=2)
"""As the old code, with another ``snapshot_version``."""


def in_debt(world: World, *persist_ids: str) -> None:
    """Saves debts with the old code, and leaves."""
    world.run(OLD, partitions=1)
    for persist_id in persist_ids:
        world.call(OLD, persist_id, Add(-600))
        world.call(OLD, persist_id, Add(-600))
        world.call(OLD, persist_id, Save())
    world.stop()


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in message for message in caplog.messages)


def start_new(world: World, without_store: bool = False, **settings: Any) -> None:
    if without_store:
        world.forget_stores()
    world.run(NEW, partitions=1, **settings)


def garble(world: World, value: bytes = b"garbled") -> None:
    """Puts a snapshot on the topic that nobody can read."""
    topic = world.topics(OLD).snapshots
    world.produce(OLD, value, key=b"a", partition=0, topic=topic)


def lose_events(world: World, *keys: bytes) -> None:
    """Retention has taken these events."""
    slot = "(SELECT slot FROM topics WHERE name=?)"
    for key in keys:
        journal = world.topics(OLD).journal
        found = execute(world, f"DELETE FROM records WHERE id>>40={slot} AND key=?", journal, key)
        assert found == 1
