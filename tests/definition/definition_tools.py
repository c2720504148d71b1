"""A processor that lacks nothing but a name, and how to see what is said of one with mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kstate import Command, Context, DefinitionError, Processor, command, event


@dataclass(frozen=True)
class State:
    total: int = 0


@dataclass(frozen=True)
class Do(Command[int]):
    amount: int = 0


@dataclass(frozen=True)
class Done:
    amount: int = 0


@dataclass
class Thawed:
    total: int = 0


@dataclass(frozen=True)
class Unfolded:
    amount: int = 0


class Good(Processor[State], abstract=True):
    """All that a processor needs, but for the name: each test adds a mistake."""

    def init(self, persist_id: str) -> State:
        return State()

    @command
    def do(self, ctx: Context[State], cmd: Do) -> int:
        return 1

    @event
    def done(self, state: State, event: Done) -> State:
        return state


def mistakes(define: Callable[[], Any]) -> list[str]:
    """The sentences of the definition's error."""
    with pytest.raises(DefinitionError) as caught:
        define()
    return list(caught.value.mistakes)
