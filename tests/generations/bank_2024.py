"""The bank as it was in 2024: money is counted in cents, and everything is an event.

It stays as it was: its journal is read by the code of later years.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from kstate import Command, Context, Processor, Rejected, command, event


class Kind(Enum):
    """Whose account it is."""

    PRIVATE = 1
    STUDENT = 2
    BUSINESS = 3


@dataclass(frozen=True)
class Account:
    """The state: money in cents, and all that was ever counted."""

    cents: int = 0
    owner: str = ""
    kind: Kind = Kind.PRIVATE
    percent: int = 0
    outs: int = 0
    fees: int = 0
    views: int = 0


@dataclass(frozen=True)
class Open(Command[None]):
    owner: str
    kind: Kind


@dataclass(frozen=True)
class Deposit(Command[int]):
    cents: int


@dataclass(frozen=True)
class PayByCard(Command[int]):
    """Money that comes by card."""

    cents: int
    terminal: str


@dataclass(frozen=True)
class Withdraw(Command[int]):
    cents: int


@dataclass(frozen=True)
class Transfer(Command[int]):
    to: str
    cents: int


@dataclass(frozen=True)
class PayInterest(Command[int]):
    percent: int


@dataclass(frozen=True)
class View(Command[int]):
    """Looks at the account; the reply is what is on it."""

    page: str


@dataclass(frozen=True)
class Save(Command[None]):
    """Takes a snapshot."""


@dataclass(frozen=True)
class Close(Command[None]):
    """Closes an empty account."""


@dataclass(frozen=True)
class Opened:
    owner: str
    kind: Kind


@dataclass(frozen=True)
class MoneyIn:
    cents: int


@dataclass(frozen=True)
class CardIn:
    cents: int
    terminal: str


@dataclass(frozen=True)
class MoneyOut:
    """Money that was taken out, and the fee for it."""

    cents: int
    fee: int


@dataclass(frozen=True)
class InterestPaid:
    cents: int
    percent: int


@dataclass(frozen=True)
class Viewed:
    page: str


class Bank(Processor[Account]):
    name = "bank"
    snapshot_every = 7

    def init(self, persist_id: str) -> Account:
        return Account()

    @command
    def open(self, ctx: Context[Account], cmd: Open) -> None:
        ctx.persist(Opened(cmd.owner, cmd.kind))

    @command
    def deposit(self, ctx: Context[Account], cmd: Deposit) -> int:
        ctx.persist(MoneyIn(cmd.cents))
        return ctx.state.cents

    @command
    def pay_by_card(self, ctx: Context[Account], cmd: PayByCard) -> int:
        ctx.persist(CardIn(cmd.cents, cmd.terminal))
        return ctx.state.cents

    @command
    def withdraw(self, ctx: Context[Account], cmd: Withdraw) -> int:
        self.take(ctx, cmd.cents)
        return ctx.state.cents

    @command
    def transfer(self, ctx: Context[Account], cmd: Transfer) -> int:
        self.take(ctx, cmd.cents)
        ctx.send("bank", cmd.to, Deposit(cmd.cents))
        return ctx.state.cents

    def take(self, ctx: Context[Account], cents: int) -> None:
        """Money out; every third time costs a fee."""
        fee = 50 if ctx.state.outs % 3 == 2 else 0
        if cents + fee > ctx.state.cents:
            raise Rejected("there is too little on the account", code="funds")
        ctx.persist(MoneyOut(cents, fee))

    @command
    def pay_interest(self, ctx: Context[Account], cmd: PayInterest) -> int:
        ctx.persist(InterestPaid(ctx.state.cents * cmd.percent // 100, cmd.percent))
        return ctx.state.cents

    @command
    def view(self, ctx: Context[Account], cmd: View) -> int:
        ctx.persist(Viewed(cmd.page))
        return ctx.state.cents

    @command
    def save(self, ctx: Context[Account], cmd: Save) -> None:
        ctx.save_snapshot()

    @command
    def close(self, ctx: Context[Account], cmd: Close) -> None:
        if ctx.state.cents:
            raise Rejected("there is money on the account", code="not-empty")
        ctx.delete()

    @event
    def opened(self, state: Account, event: Opened) -> Account:
        return replace(state, owner=event.owner, kind=event.kind)

    @event
    def money_in(self, state: Account, event: MoneyIn) -> Account:
        return replace(state, cents=state.cents + event.cents)

    @event
    def card_in(self, state: Account, event: CardIn) -> Account:
        return replace(state, cents=state.cents + event.cents)

    @event
    def money_out(self, state: Account, event: MoneyOut) -> Account:
        return replace(
            state,
            cents=state.cents - event.cents - event.fee,
            outs=state.outs + 1,
            fees=state.fees + event.fee,
        )

    @event
    def interest_paid(self, state: Account, event: InterestPaid) -> Account:
        return replace(state, cents=state.cents + event.cents, percent=event.percent)

    @event
    def viewed(self, state: Account, event: Viewed) -> Account:
        return replace(state, views=state.views + 1)
