"""A bank of accounts: deposits, withdrawals, and transfers from one account to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kstate import (
    Command,
    Context,
    EventAdapter,
    Processor,
    Rejected,
    command,
    event,
    reaction,
    tagged,
)

LARGE = 10_000
FEE_EVERY = 10
FEE = 1


@dataclass(frozen=True, slots=True)
class Account:
    """The state: what is on the account, and how often money was taken from it."""

    balance: int = 0
    withdrawals: int = 0


@dataclass(frozen=True, slots=True)
class Deposit(Command[int]):
    """Puts money on the account; the reply is the new balance."""

    amount: int


@dataclass(frozen=True, slots=True)
class Withdraw(Command[int]):
    """Takes money from the account; the reply is the new balance."""

    amount: int


@dataclass(frozen=True, slots=True)
class Transfer(Command[int]):
    """Moves money to another account; the reply is the balance that is left."""

    to: str
    amount: int


@dataclass(frozen=True, slots=True)
class Close(Command[None]):
    """Closes an empty account."""


@dataclass(frozen=True, slots=True)
class Deposited:
    amount: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    amount: int
    to: str | None = None


@dataclass(frozen=True, slots=True)
class FeeCharged:
    amount: int


class LargeMovements(EventAdapter):
    """Tags every movement of `LARGE` or more, so that a query finds it without decoding."""

    tags = ("large",)

    def to_journal(self, event: Any) -> Any:
        return tagged(event, "large") if getattr(event, "amount", 0) >= LARGE else event


class Bank(Processor[Account]):
    name = "bank"
    snapshot_every = 100
    adapters = (LargeMovements(),)

    def init(self, persist_id: str) -> Account:
        return Account()

    @command
    def deposit(self, ctx: Context[Account], cmd: Deposit) -> int:
        _check(cmd.amount)
        ctx.persist(Deposited(cmd.amount))
        return ctx.state.balance

    @command
    def withdraw(self, ctx: Context[Account], cmd: Withdraw) -> int:
        _check(cmd.amount)
        _check_funds(ctx.state, cmd.amount)
        ctx.persist(Withdrawn(cmd.amount))
        return ctx.state.balance

    @command
    def transfer(self, ctx: Context[Account], cmd: Transfer) -> int:
        _check(cmd.amount)
        if cmd.to == ctx.persist_id:
            raise Rejected("money cannot be moved to the account it is on", code="same-account")
        _check_funds(ctx.state, cmd.amount)
        ctx.persist(Withdrawn(cmd.amount, to=cmd.to))
        ctx.send("bank", cmd.to, Deposit(cmd.amount))
        return ctx.state.balance

    @command
    def close(self, ctx: Context[Account], cmd: Close) -> None:
        if ctx.state.balance:
            raise Rejected(f"the balance is {ctx.state.balance}, not 0", code="not-empty")
        ctx.delete()

    @event
    def deposited(self, state: Account, event: Deposited) -> Account:
        return Account(state.balance + event.amount, state.withdrawals)

    @event
    def withdrawn(self, state: Account, event: Withdrawn) -> Account:
        return Account(state.balance - event.amount, state.withdrawals + 1)

    @event
    def fee_charged(self, state: Account, event: FeeCharged) -> Account:
        return Account(state.balance - event.amount, state.withdrawals)

    @reaction
    def charge_fee(self, ctx: Context[Account], event: Withdrawn) -> None:
        """Every tenth withdrawal costs a fee: an event persisted behind those of the command."""
        if ctx.state.withdrawals % FEE_EVERY == 0 and ctx.state.balance >= FEE:
            ctx.persist(FeeCharged(FEE))


def _check(amount: int) -> None:
    if amount <= 0:
        raise Rejected("the amount must be positive", code="amount")


def _check_funds(account: Account, amount: int) -> None:
    if amount > account.balance:
        raise Rejected(f"the balance is {account.balance}", code="funds")
