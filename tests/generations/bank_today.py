"""The bank of today, which reads what those of 2024 and 2025 wrote.

Since 2025 card payments are deposits by a channel, interest has fractions, there are no students
any more, and who holds an account is a record of its own.
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
    """Whose account it is; students of former years are private customers."""

    __avro_default__ = "PRIVATE"
    PRIVATE = 1
    BUSINESS = 3
    JOINT = 4


class Channel(Enum):
    """How money came in."""

    CASH = 1
    CARD = 2


@dataclass(frozen=True)
class Holder:
    """Who holds an account."""

    name: str
    country: str
    kind: Kind


@dataclass(frozen=True)
class Account:
    """The state."""

    holder: Holder
    balance: int
    percent: float
    withdrawals: int
    fees: int


NOBODY = Holder("", "DE", Kind.PRIVATE)


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
    percent: float


@dataclass(frozen=True)
class View(Command[int]):
    """Looks at the account."""

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
    channel: Channel = Channel.CASH


@dataclass(frozen=True)
class Withdrawn:
    amount: int


@dataclass(frozen=True)
class FeeCharged:
    amount: int


@dataclass(frozen=True)
class InterestPaid:
    amount: Amount
    percent: float


class Events2025(EventAdapter):
    """`CardIn` is a deposit by card."""

    reads = ("CardIn",)

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        yield Stored("Deposited", {"amount": stored.data["cents"], "channel": "CARD"})


class Events2024(EventAdapter):
    """`MoneyOut` becomes a withdrawal and, if there was one, a fee; `Viewed` is dropped."""

    reads = ("MoneyOut", "Viewed")

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        if stored.name == "MoneyOut":
            yield Stored("Withdrawn", {"amount": stored.data["cents"]})
            if stored.data["fee"]:
                yield Stored("FeeCharged", {"amount": stored.data["fee"]})


class Accounts2025(SnapshotAdapter):
    """Who holds an account was three fields of it."""

    reads = ("Account",)

    def from_snapshot(self, stored: Stored) -> Stored:
        data = dict(stored.data)
        holder = {
            "name": data.pop("owner"),
            "country": data.pop("country"),
            "kind": data.pop("kind"),
        }
        return Stored("Account", data | {"holder": holder})


class Accounts2024(SnapshotAdapter):
    """Other names of fields, no country, and views, which nobody counts any more."""

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
    adapters = (LargeDeposits(), Events2025(), Events2024(), Accounts2025(), Accounts2024())

    def init(self, persist_id: str) -> Account:
        return Account(NOBODY, 0, 0.0, 0, 0)

    @command
    def open(self, ctx: Context[Account], cmd: Open) -> None:
        ctx.persist(Opened(cmd.owner, cmd.kind, cmd.country))

    @command
    def deposit(self, ctx: Context[Account], cmd: Deposit) -> int:
        ctx.persist(Deposited(cmd.amount))
        return ctx.state.balance

    @command
    def pay_by_card(self, ctx: Context[Account], cmd: PayByCard) -> int:
        ctx.persist(Deposited(cmd.amount, Channel.CARD))
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
        ctx.persist(InterestPaid(int(ctx.state.balance * cmd.percent / 100), cmd.percent))
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
        return replace(state, holder=Holder(event.owner, event.country, event.kind))

    @event
    def deposited(self, state: Account, event: Deposited) -> Account:
        return replace(state, balance=state.balance + event.amount)

    @event
    def withdrawn(self, state: Account, event: Withdrawn) -> Account:
        balance = state.balance - event.amount
        return replace(state, balance=balance, withdrawals=state.withdrawals + 1)

    @event
    def fee_charged(self, state: Account, event: FeeCharged) -> Account:
        return replace(state, balance=state.balance - event.amount, fees=state.fees + event.amount)

    @event
    def interest_paid(self, state: Account, event: InterestPaid) -> Account:
        return replace(state, balance=state.balance + event.amount, percent=event.percent)
