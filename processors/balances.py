"""A projection of the bank: one row per account, for lists and sums that no single entity knows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String, Table, delete

from kstate import Deleted, Projection, Rows, StoredEvent, projects
from processors.bank import Bank, Deposited, FeeCharged, Withdrawn

metadata = MetaData()

balances = Table(
    "balances",
    metadata,
    Column("account", String(512), primary_key=True),
    Column("balance", BigInteger, nullable=False),
    Column("movements", Integer, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False, index=True),
)


class Balances(Projection):
    name = "balances"
    source = Bank
    database = "sqlite:///balances.db"
    metadata = metadata

    @projects
    def deposited(self, rows: Rows, stored: StoredEvent, event: Deposited) -> None:
        _move(rows, stored, event.amount)

    @projects
    def taken(self, rows: Rows, stored: StoredEvent, event: Withdrawn | FeeCharged) -> None:
        _move(rows, stored, -event.amount)

    @projects
    def closed(self, rows: Rows, stored: StoredEvent, event: Deleted) -> None:
        rows.execute(delete(balances).where(balances.c.account == stored.persist_id))


def _move(rows: Rows, stored: StoredEvent, amount: int) -> None:
    rows.upsert(
        balances,
        {
            "account": stored.persist_id,
            "balance": amount,
            "movements": 1,
            "changed_at": stored.at,
        },
        {
            "balance": balances.c.balance + amount,
            "movements": balances.c.movements + 1,
            "changed_at": stored.at,
        },
    )
