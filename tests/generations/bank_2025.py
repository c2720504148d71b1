"""The bank as it was in 2025, with what it needed to read its journal of 2024.

`MoneyIn` was renamed, `MoneyOut` became two events, `Viewed` was given up, and accounts got a
country and joint owners.  It stays as it was: its journal is read by today's code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, ClassVar

from kstate import (
    Aliases,
    Command,
    Context,
    EventAdapter,
    Processor,
    Rejected,
    SnapshotAdapter,
    Stored,
    command,
    event,
    tagged,
)

LARGE = 50_000

Amount = Annotated[int, Aliases("cents")]


class Kind(Enum):
    """Whose account it is."""

    PRIVATE = 1
    STUDENT = 2
    BUSINESS = 3
    JOINT = 4


@dataclass(frozen=True)
class Account:
    """The state: it counts withdrawals and fees, and no views any more."""

    balance: int = 0
    owner: str = ""
    country: str = "DE"
    kind: Kind = Kind.PRIVATE
    percent: int = 0
    withdrawals: int = 0
    fees: int = 0


@dataclass(frozen=True)
class Open(Command[None]):
    owner: str
    kind: Kind
    country: str = "DE"


@dataclass(frozen=True)
class Deposit(Command[int]):
    amount: Amount


@dataclass(frozen=True)
class PayByCard(Command[int]):
    """Money that comes by card."""

    amount: Amount
    terminal: str


@dataclass(frozen=True)
class Withdraw(Command[int]):
    amount: Amount


@dataclass(frozen=True)
class Transfer(Command[int]):
    to: str
    amount: Amount


@dataclass(frozen=True)
class PayInterest(Command[int]):
    percent: int


@dataclass(frozen=True)
class View(Command[int]):
    """Looks at the account; nobody notes it any more."""

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
    country: str = "DE"


@dataclass(frozen=True)
class Deposited:
    avro_aliases: ClassVar = ("MoneyIn",)
    amount: Amount


@dataclass(frozen=True)
class CardIn:
    cents: int
    terminal: str


@dataclass(frozen=True)
class Withdrawn:
    amount: int


@dataclass(frozen=True)
class FeeCharged:
    amount: int


@dataclass(frozen=True)
class InterestPaid:
    cents: int
    percent: int


class Events2024(EventAdapter):
    """`MoneyOut` becomes a withdrawal and, if there was one, a fee; `Viewed` is dropped."""

    reads = ("MoneyOut", "Viewed")

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        if stored.name == "MoneyOut":
            yield Stored("Withdrawn", {"amount": stored.data["cents"]})
            if stored.data["fee"]:
                yield Stored("FeeCharged", {"amount": stored.data["fee"]})


class Accounts2024(SnapshotAdapter):
    """Names of fields, and no views."""

    reads = ("Account",)

    def from_snapshot(self, stored: Stored) -> Stored:
        data = dict(stored.data)
        if "cents" not in data:
            return stored
        del data["views"]
        data["balance"] = data.pop("cents")
        data["withdrawals"] = data.pop("outs")
        return Stored("Account", data | {"country": "DE"})


class LargeDeposits(EventAdapter):
    """Tags deposits that somebody will ask about."""

    tags = ("large",)

    def to_journal(self, event: Any) -> Any:
        is_large = type(event) is Deposited and event.amount >= LARGE
        return tagged(event, "large") if is_large else event


class Bank(Processor[Account]):
    name = "bank"
    snapshot_every = 7
    adapters = (LargeDeposits(), Events2024(), Accounts2024())

    def init(self, persist_id: str) -> Account:
        return Account()

    @command
    def open(self, ctx: Context[Account], cmd: Open) -> None:
        ctx.persist(Opened(cmd.owner, cmd.kind, cmd.country))

    @command
    def deposit(self, ctx: Context[Account], cmd: Deposit) -> int:
        ctx.persist(Deposited(cmd.amount))
        return ctx.state.balance

    @command
    def pay_by_card(self, ctx: Context[Account], cmd: PayByCard) -> int:
        ctx.persist(CardIn(cmd.amount, cmd.terminal))
        return ctx.state.balance

    @command
    def withdraw(self, ctx: Context[Account], cmd: Withdraw) -> int:
        self.take(ctx, cmd.amount)
        return ctx.state.balance

    @command
    def transfer(self, ctx: Context[Account], cmd: Transfer) -> int:
        self.take(ctx, cmd.amount)
        ctx.send("bank", cmd.to, Deposit(cmd.amount))
        return ctx.state.balance

    def take(self, ctx: Context[Account], amount: int) -> None:
        """A withdrawal; every third one costs a fee."""
        fee = 50 if ctx.state.withdrawals % 3 == 2 else 0
        if amount + fee > ctx.state.balance:
            raise Rejected("there is too little on the account", code="funds")
        ctx.persist(Withdrawn(amount))
        if fee:
            ctx.persist(FeeCharged(fee))

    @command
    def pay_interest(self, ctx: Context[Account], cmd: PayInterest) -> int:
        ctx.persist(InterestPaid(ctx.state.balance * cmd.percent // 100, cmd.percent))
        return ctx.state.balance

    @command
    def view(self, ctx: Context[Account], cmd: View) -> int:
        return ctx.state.balance

    @command
    def save(self, ctx: Context[Account], cmd: Save) -> None:
        ctx.save_snapshot()

    @command
    def close(self, ctx: Context[Account], cmd: Close) -> None:
        if ctx.state.balance:
            raise Rejected("there is money on the account", code="not-empty")
        ctx.delete()

    @event
    def opened(self, state: Account, event: Opened) -> Account:
        return replace(state, owner=event.owner, kind=event.kind, country=event.country)

    @event
    def deposited(self, state: Account, event: Deposited) -> Account:
        return replace(state, balance=state.balance + event.amount)

    @event
    def card_in(self, state: Account, event: CardIn) -> Account:
        return replace(state, balance=state.balance + event.cents)

    @event
    def withdrawn(self, state: Account, event: Withdrawn) -> Account:
        balance = state.balance - event.amount
        return replace(state, balance=balance, withdrawals=state.withdrawals + 1)

    @event
    def fee_charged(self, state: Account, event: FeeCharged) -> Account:
        return replace(state, balance=state.balance - event.amount, fees=state.fees + event.amount)

    @event
    def interest_paid(self, state: Account, event: InterestPaid) -> Account:
        return replace(state, balance=state.balance + event.cents, percent=event.percent)
