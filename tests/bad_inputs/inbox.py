"""A processor with commands that can be got wrong in many ways."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from counter import Count, Counter

from kstate import Command, Context, command, event, reaction


@dataclass(frozen=True)
class Say(Command[str]):
    """Persists the text; the reply is the text, so many times."""

    text: str
    times: int = 1


@dataclass(frozen=True)
class Said:
    text: str


@dataclass(frozen=True)
class Node:
    child: Node | None = None


@dataclass(frozen=True)
class Plant(Command[None]):
    root: Node


@dataclass(frozen=True)
class Positive(Command[None]):
    """A command that checks itself."""

    amount: int

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise ValueError("less than nothing")


@dataclass(frozen=True)
class Misbehave(Command[int]):
    """Does what its name says, in the way asked for."""

    how: str


@dataclass(frozen=True)
class Endless:
    number: int


@dataclass(frozen=True)
class Foreign:
    """No event of the processor."""


class Inbox(Counter):
    name = "inbox"

    @command
    def say(self, ctx: Context[Count], cmd: Say) -> str:
        ctx.persist(Said(cmd.text))
        return cmd.text * cmd.times

    @command
    def plant(self, ctx: Context[Count], cmd: Plant) -> None:
        ctx.persist(Said("planted"))

    @command
    def positive(self, ctx: Context[Count], cmd: Positive) -> None:
        ctx.persist(Said("positive"))

    @command
    def misbehave(self, ctx: Context[Count], cmd: Misbehave) -> int:
        ctx.persist(Said("about to misbehave"))
        if cmd.how == "raises":
            raise RuntimeError("as announced")
        if cmd.how == "wrong reply":
            return "text"  # type: ignore[return-value]
        if cmd.how == "huge reply":
            return 2**64
        if cmd.how == "event does not encode":
            ctx.persist(Said(b"bytes"))  # type: ignore[arg-type]
        if cmd.how == "event is foreign":
            ctx.persist(Foreign())
        if cmd.how == "million events":
            for _ in range(1_000_000):
                ctx.persist(Said(""))
        if cmd.how == "million events at once":
            ctx.persist_all(Said("") for _ in range(1_000_000))
        if cmd.how == "endless reaction":
            ctx.persist(Endless(0))
        if cmd.how == "million sends":
            for _ in range(1_000_000):
                ctx.send("inbox", "b", Say("x"))
        return 1

    @event
    def said(self, state: Count, event: Said) -> Count:
        return replace(state, events=state.events + 1)

    @event
    def endless(self, state: Count, event: Endless) -> Count:
        return state

    @reaction
    def more(self, ctx: Context[Any], event: Endless) -> None:
        ctx.persist(Endless(event.number + 1))
