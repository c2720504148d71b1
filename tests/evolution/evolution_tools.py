"""Generations of one processor, and what was stored by those before the last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kstate import Command, Context, EventAdapter, Processor, Stored, command, event


@dataclass(frozen=True)
class Purse:
    """The state: what is in it, and how many events made it."""

    amount: int = 0
    events: int = 0


@dataclass(frozen=True)
class Pay(Command[int]):
    """Pays money in; the reply is what is in the purse then."""

    amount: int


@dataclass(frozen=True)
class Save(Command[None]):
    """Takes a snapshot."""


@dataclass(frozen=True)
class MoneyIn:
    """An event of the first generation."""

    cents: int
    note: str = ""


@dataclass(frozen=True)
class Deposited:
    """An event of today."""

    amount: int


@dataclass(frozen=True)
class Charged:
    """Another one."""

    amount: int


class Today(Processor[Purse]):
    """Today's code; what it reads of earlier days its adapters say."""

    name = "purse"
    snapshot_every = 0

    def init(self, persist_id: str) -> Purse:
        return Purse()

    @command
    def pay(self, ctx: Context[Purse], cmd: Pay) -> int:
        ctx.persist(Deposited(cmd.amount))
        return ctx.state.amount

    @command
    def save(self, ctx: Context[Purse], cmd: Save) -> None:
        ctx.save_snapshot()

    @event
    def deposited(self, state: Purse, event: Deposited) -> Purse:
        return Purse(state.amount + event.amount, state.events + 1)

    @event
    def charged(self, state: Purse, event: Charged) -> Purse:
        return Purse(state.amount - event.amount, state.events + 1)


class First(Processor[Purse]):
    """The code of the first generation: it counts in cents."""

    name = "purse"
    snapshot_every = 0

    def init(self, persist_id: str) -> Purse:
        return Purse()

    @command
    def pay(self, ctx: Context[Purse], cmd: Pay) -> int:
        ctx.persist(MoneyIn(cmd.amount * 100, "by hand"))
        return ctx.state.amount

    @command
    def save(self, ctx: Context[Purse], cmd: Save) -> None:
        ctx.save_snapshot()

    @event
    def money_in(self, state: Purse, event: MoneyIn) -> Purse:
        return replace(state, amount=state.amount + event.cents // 100, events=state.events + 1)


def today(*adapters: Any) -> type[Processor[Purse]]:
    """Today's code with these adapters."""
    return type("Today", (Today,), {"name": "purse", "adapters": adapters})


class Reads(EventAdapter):
    """An adapter that makes of each record what ``made`` gives."""

    def __init__(self, made: Any, reads: Sequence[str] | None = None) -> None:
        self.made = made
        self.reads = reads  # type: ignore[misc]

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        found: Iterable[Stored] = self.made(stored)
        return found


def euros(stored: Stored) -> Iterable[Stored]:
    """Of `MoneyIn` a `Deposited`."""
    if stored.name == "MoneyIn":
        yield Stored("Deposited", {"amount": stored.data["cents"] // 100})
    else:
        yield stored


def with_fee(stored: Stored) -> Iterable[Stored]:
    """Of `MoneyIn` a `Deposited` and a fee of 1."""
    if stored.name == "MoneyIn":
        yield Stored("Deposited", {"amount": stored.data["cents"] // 100})
        yield Stored("Charged", {"amount": 1})
    else:
        yield stored


def dropped(stored: Stored) -> Iterable[Stored]:
    """Of `MoneyIn` nothing."""
    if stored.name != "MoneyIn":
        yield stored


Upcast = today(Reads(euros))
"""Today's code, which reads what the first generation wrote."""
