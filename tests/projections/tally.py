"""What the tests of projections follow: a processor that adds, and a projection of its sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, delete

from kstate import (
    Command,
    Context,
    Deleted,
    Processor,
    Projection,
    Rows,
    StoredEvent,
    command,
    event,
    projects,
)


@dataclass(frozen=True)
class Sum:
    total: int = 0


@dataclass(frozen=True)
class Put(Command[int]):
    """Adds, by as many events as asked for; the reply is the total."""

    amount: int
    times: int = 1


@dataclass(frozen=True)
class Mark(Command[None]):
    """Leaves an event that no projection here handles."""


@dataclass(frozen=True)
class Clear(Command[None]):
    """Deletes the entity."""


@dataclass(frozen=True)
class Forward(Command[None]):
    """Only sends: what it leaves is an internal event."""

    to: str
    amount: int


@dataclass(frozen=True)
class Added:
    amount: int


@dataclass(frozen=True)
class Marked:
    pass


class Tally(Processor[Sum]):
    name = "tally"

    def init(self, persist_id: str) -> Sum:
        return Sum()

    @command
    def put(self, ctx: Context[Sum], cmd: Put) -> int:
        for _ in range(cmd.times):
            ctx.persist(Added(cmd.amount))
        return ctx.state.total

    @command
    def mark(self, ctx: Context[Sum], cmd: Mark) -> None:
        ctx.persist(Marked())

    @command
    def clear(self, ctx: Context[Sum], cmd: Clear) -> None:
        ctx.delete()

    @command
    def forward(self, ctx: Context[Sum], cmd: Forward) -> None:
        ctx.send("tally", cmd.to, Put(cmd.amount))

    @event
    def added(self, state: Sum, event: Added) -> Sum:
        return Sum(state.total + event.amount)

    @event
    def marked(self, state: Sum, event: Marked) -> Sum:
        return state


metadata = MetaData()
sums = Table(
    "sums",
    metadata,
    Column("persist_id", String(512), primary_key=True),
    Column("total", BigInteger, nullable=False, index=True),
    Column("events", Integer, nullable=False),
)


class Sums(Projection):
    """Totals; an amount in ``bad`` writes a wrong row, and then fails."""

    name = "sums"
    source = Tally
    metadata = metadata

    bad: ClassVar[set[int]] = set()

    @projects
    def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
        add(rows, stored, event.amount)
        if event.amount in self.bad:
            raise ValueError(f"{event.amount} is bad")

    @projects
    def deleted(self, rows: Rows, stored: StoredEvent, event: Deleted) -> None:
        rows.execute(delete(sums).where(sums.c.persist_id == stored.persist_id))


def add(rows: Rows, stored: StoredEvent, amount: int) -> None:
    rows.upsert(
        sums,
        {"persist_id": stored.persist_id, "total": amount, "events": 1},
        {"total": sums.c.total + amount, "events": sums.c.events + 1},
    )
