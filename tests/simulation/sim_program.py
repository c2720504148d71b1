"""The processor that is simulated: a little of everything a handler may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from kstate import Command, Context, Processor, Rejected, command, event, reaction

FEE_EVERY = 4
"""Events of a purse's life, from one on whose taking is charged."""
Effect = Callable[[str, int], None]
"""Gets the persist id and the seq of the event it follows."""
_effect: list[Effect] = []
POEM = "all that was written, read aloud in full "


def on_effect(effect: Effect) -> None:
    """What `Put` does after its commit, from now on."""
    _effect[:] = [effect]


@dataclass(frozen=True)
class Purse:
    """The state."""

    total: int = 0
    changes: int = 0


@dataclass(frozen=True)
class Put(Command[int]):
    """The reply is the total, like that of most others."""

    n: int


@dataclass(frozen=True)
class PutMany(Command[int]):
    """Several events of one command."""

    n: int
    times: int


@dataclass(frozen=True)
class Take(Command[int]):
    """Refused where there is too little; now and then a fee follows, from a reaction."""

    n: int


@dataclass(frozen=True)
class Spoil(Command[int]):
    """Persists, and then raises."""

    n: int


@dataclass(frozen=True)
class Give(Command[int]):
    """Takes, and sends a `Put` to another purse."""

    to: str
    n: int


@dataclass(frozen=True)
class Nudge(Command[None]):
    """Only sends."""

    to: str


@dataclass(frozen=True)
class Recite(Command[str]):
    """Its reply is too large to be kept for a duplicate."""

    n: int


@dataclass(frozen=True)
class Swell(Command[None]):
    """Adds so much that a few of them make a total which does not encode: no snapshot then."""

    n: int


@dataclass(frozen=True)
class Look(Command[int]):
    """Persists nothing."""


@dataclass(frozen=True)
class Save(Command[None]):
    """Asks for a snapshot."""


@dataclass(frozen=True)
class Wipe(Command[None]):
    """Deletes."""


@dataclass(frozen=True)
class Added:
    n: int


@dataclass(frozen=True)
class Taken:
    n: int


class Ledger(Processor[Purse]):
    name = "ledger"
    sends = ("ledger",)
    snapshot_every = 5

    def init(self, persist_id: str) -> Purse:
        return Purse()

    @command
    def put(self, ctx: Context[Purse], cmd: Put) -> int:
        ctx.persist(Added(cmd.n))
        ctx.after_commit(partial(_effect[0], ctx.persist_id, ctx.seq))
        return ctx.state.total

    @command
    def put_many(self, ctx: Context[Purse], cmd: PutMany) -> int:
        ctx.persist_all([Added(cmd.n)] * cmd.times)
        return ctx.state.total

    @command
    def take(self, ctx: Context[Purse], cmd: Take) -> int:
        return self._take(ctx, cmd.n)

    @command
    def spoil(self, ctx: Context[Purse], cmd: Spoil) -> int:
        ctx.persist(Added(cmd.n))
        raise ValueError(f"spoilt by {cmd.n}")

    @command
    def give(self, ctx: Context[Purse], cmd: Give) -> int:
        ctx.send(Ledger, cmd.to, Put(cmd.n))
        return self._take(ctx, cmd.n)

    @command
    def nudge(self, ctx: Context[Purse], cmd: Nudge) -> None:
        ctx.send(Ledger, cmd.to, Put(1))

    @command
    def recite(self, ctx: Context[Purse], cmd: Recite) -> str:
        ctx.persist(Added(cmd.n))
        return POEM * 2

    @command
    def swell(self, ctx: Context[Purse], cmd: Swell) -> None:
        ctx.persist(Added(cmd.n * 2**60))

    @command
    def look(self, ctx: Context[Purse], cmd: Look) -> int:
        return ctx.state.total

    @command
    def save(self, ctx: Context[Purse], cmd: Save) -> None:
        ctx.save_snapshot()

    @command
    def wipe(self, ctx: Context[Purse], cmd: Wipe) -> None:
        ctx.delete()

    def _take(self, ctx: Context[Purse], n: int) -> int:
        if ctx.state.total < n:
            raise Rejected(f"there is less than {n}", code="short")
        ctx.persist(Taken(n))
        return ctx.state.total

    @event
    def added(self, state: Purse, event: Added) -> Purse:
        return replace(state, total=state.total + event.n, changes=state.changes + 1)

    @event
    def taken(self, state: Purse, event: Taken) -> Purse:
        return replace(state, total=state.total - event.n, changes=state.changes + 1)

    @reaction
    def charge(self, ctx: Context[Purse], event: Taken) -> None:
        if event.n != 1 and ctx.state.changes % FEE_EVERY == 0:
            ctx.persist(Taken(1))
