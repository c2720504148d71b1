"""A processor whose commands are small programs: whatever a handler can do, in any order."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kstate import Command, Context, Processor, Rejected, command, event, reaction

FOLD_FAILS = 13
REACTION_FAILS = 9
NESTED_FROM = 20
"""An event from here on makes a reaction persist another one, 10 below."""


@dataclass(frozen=True)
class Tally:
    """The state: a sum, and how many events made it."""

    total: int = 0
    puts: int = 0


@dataclass(frozen=True)
class Step:
    """One thing that a handler does."""

    op: str
    n: int = 0
    to: str = ""


@dataclass(frozen=True)
class Do(Command[str]):
    """Does these steps one after another; the reply tells the sum, made longer by ``padding``."""

    steps: tuple[Step, ...]
    padding: int = 0


@dataclass(frozen=True)
class Put:
    n: int


class Program(Processor[Tally]):
    name = "program"
    snapshot_every = 4

    def init(self, persist_id: str) -> Tally:
        return Tally()

    @command
    def do(self, ctx: Context[Tally], cmd: Do) -> str:
        for step in cmd.steps:
            _STEPS[step.op](ctx, step)
        return str(ctx.state.total) + "." * cmd.padding

    @event
    def put(self, state: Tally, event: Put) -> Tally:
        if event.n == FOLD_FAILS:
            raise ValueError("this event cannot be folded")
        return replace(state, total=state.total + event.n, puts=state.puts + 1)

    @reaction
    def echo(self, ctx: Context[Tally], event: Put) -> None:
        if event.n == REACTION_FAILS:
            raise ValueError("this reaction fails")
        if event.n >= NESTED_FROM:
            ctx.persist(Put(event.n - 10))


def _persist(ctx: Context[Tally], step: Step) -> None:
    ctx.persist(Put(step.n))


def _persist_both(ctx: Context[Tally], step: Step) -> None:
    ctx.persist_all([Put(step.n), Put(step.n + 1)])


def _try_both(ctx: Context[Tally], step: Step) -> None:
    try:
        ctx.persist_all([Put(step.n), Put(FOLD_FAILS)])
    except ValueError:
        return
    raise AssertionError("the second event cannot be folded")


def _send(ctx: Context[Tally], step: Step) -> None:
    ctx.send(Program, step.to, Do((Step("persist", step.n),)))


def _reject(ctx: Context[Tally], step: Step) -> None:
    raise Rejected("no", code=f"no-{step.n}")


def _fail(ctx: Context[Tally], step: Step) -> None:
    raise ValueError("this handler fails")


def _delete(ctx: Context[Tally], step: Step) -> None:
    ctx.delete()


def _save(ctx: Context[Tally], step: Step) -> None:
    ctx.save_snapshot()


_STEPS = {
    "persist": _persist,
    "both": _persist_both,
    "try-both": _try_both,
    "send": _send,
    "reject": _reject,
    "fail": _fail,
    "delete": _delete,
    "save": _save,
}
