"""A small processor that many tests use: it adds, fails and refuses on demand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kstate import Command, Context, Processor, Rejected, command, event


@dataclass(frozen=True)
class Count:
    """The state: a sum, and how many events made it."""

    total: int = 0
    events: int = 0


@dataclass(frozen=True)
class Add(Command[int]):
    """Adds, by as many events as asked for; the reply is the total."""

    amount: int
    times: int = 1


@dataclass(frozen=True)
class Look(Command[int]):
    """Persists nothing; the reply is the total."""


@dataclass(frozen=True)
class AddAndFail(Command[int]):
    """Persists, and then raises."""

    amount: int


@dataclass(frozen=True)
class AddAndRefuse(Command[int]):
    """Persists, and then says no."""

    amount: int


@dataclass(frozen=True)
class Reset(Command[None]):
    """Deletes the counter."""


@dataclass(frozen=True)
class Save(Command[None]):
    """Snapshots the counter."""


@dataclass(frozen=True)
class Added:
    amount: int


class Counter(Processor[Count]):
    name = "counter"

    def init(self, persist_id: str) -> Count:
        return Count()

    @command
    def add(self, ctx: Context[Count], cmd: Add) -> int:
        for _ in range(cmd.times):
            ctx.persist(Added(cmd.amount))
        return ctx.state.total

    @command
    def look(self, ctx: Context[Count], cmd: Look) -> int:
        return ctx.state.total

    @command
    def add_and_fail(self, ctx: Context[Count], cmd: AddAndFail) -> int:
        ctx.persist(Added(cmd.amount))
        raise ValueError(f"no luck with {cmd.amount}")

    @command
    def add_and_refuse(self, ctx: Context[Count], cmd: AddAndRefuse) -> int:
        ctx.persist(Added(cmd.amount))
        raise Rejected(f"{cmd.amount} is not wanted", code="unwanted")

    @command
    def reset(self, ctx: Context[Count], cmd: Reset) -> None:
        ctx.delete()

    @command
    def save(self, ctx: Context[Count], cmd: Save) -> None:
        ctx.save_snapshot()

    @event
    def added(self, state: Count, event: Added) -> Count:
        return replace(state, total=state.total + event.amount, events=state.events + 1)
