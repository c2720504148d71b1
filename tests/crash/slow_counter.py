"""A counter whose handler takes its time, so that there is always a batch under way."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from kstate import Command, Context, Processor, command, event

PAUSE_S = 0.02


@dataclass(frozen=True)
class Total:
    """The state."""

    total: int = 0


@dataclass(frozen=True)
class Add(Command[int]):
    """Adds; the reply is the total."""

    amount: int


@dataclass(frozen=True)
class Added:
    amount: int


class SlowCounter(Processor[Total]):
    name = "slow-counter"

    def init(self, persist_id: str) -> Total:
        return Total()

    @command
    def add(self, ctx: Context[Total], cmd: Add) -> int:
        time.sleep(PAUSE_S)
        ctx.persist(Added(cmd.amount))
        return ctx.state.total

    @event
    def added(self, state: Total, event: Added) -> Total:
        return replace(state, total=state.total + event.amount)
