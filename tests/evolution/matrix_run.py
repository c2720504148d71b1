"""Performs a change on an event, a state and a command, and tells what happened, as table rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from matrix_changes import Change, Version
from world import World

from kstate import Command, Context, EventAdapter, Processor, SnapshotAdapter, command, event
from kstate.codec.avro import AvroCodec
from kstate.codec.schemas import Finding, check, freeze
from kstate.errors import SchemaError
from kstate.processor import definition_of

REFUSED = "the worker does not start"


@dataclass(frozen=True)
class Nothing:
    """A state that does not change."""

    said: str = ""


@dataclass(frozen=True)
class Begin(Command[None]):
    """Persists the event of the old code."""


@dataclass(frozen=True)
class Seen:
    """What a handler was given."""

    text: str


class Row(NamedTuple):
    """A change and what becomes of it."""

    change: str
    verdict: str
    events: str
    snapshots: str
    commands: str
    words: str

    def cells(self) -> str:
        """The row of the matrix."""
        return (
            f"| {self.change} | {self.verdict} | {self.events} | {self.snapshots} "
            f"| {self.commands} |"
        )


Make = Callable[[Version, tuple[Any, ...]], Any]


def performed(change: Change, world: Callable[[], World], directory: Path) -> Row:
    """Does the change three times, on a log each."""
    findings = [
        _finding(make, change, directory / make.__name__)
        for make in (of_events, of_states, of_commands)
    ]
    verdicts = dict(zip(("event", "state", "command"), (f.verdict for f in findings), strict=True))
    return Row(
        change.title,
        _together(verdicts),
        _events(change, world()),
        _snapshots(change, world()),
        _commands(change, world()),
        _words(findings[0].sentence),
    )


def _together(verdicts: dict[str, str]) -> str:
    """One verdict, or those of event, state and command where they differ."""
    if len(set(verdicts.values())) == 1:
        return f"`{verdicts['event']}`"
    common = verdicts["event"]
    rest = [f"{kind}: `{each}`" for kind, each in verdicts.items() if each != common]
    return f"`{common}`; {', '.join(rest)}"


def _words(sentence: str) -> str:
    return re.sub(r" \(\S+\.avsc\)|\S+/(?=\w+\.avsc)", "", sentence)


def _finding(make: Make, change: Change, directory: Path) -> Finding:
    """What check says of the type after the old one was frozen."""
    old = AvroCodec(definition_of(make(change.old, ())))
    freeze(old, directory)
    new = AvroCodec(definition_of(make(change.new, change.adapters)))
    return next(f for f in check(new, directory) if f.type_name == change.old.name)


def _started(world: World, processor: Any) -> bool:
    try:
        world.run(processor)
    except SchemaError:
        return False
    return True


# -- events ----------------------------------------------------------------------------------------


def of_events(version: Version, adapters: tuple[Any, ...]) -> Any:
    """A processor whose event is of this type."""
    cls = version.made()
    mine = [each for each in adapters if isinstance(each, EventAdapter)]

    class Made(Processor[Nothing]):
        name = "matrix"
        adapters = mine

        def init(self, persist_id: str) -> Nothing:
            return Nothing()

        @command
        def begin(self, ctx: Context[Nothing], cmd: Begin) -> None:
            ctx.persist(cls(**version.values))

        @event
        def fold(self, state: Nothing, event: cls) -> Nothing:  # type: ignore[valid-type]
            return Nothing(f"{state.said} {event!r}")

    return Made


def _events(change: Change, world: World) -> str:
    old, new = of_events(change.old, ()), of_events(change.new, change.adapters)
    world.run(old)
    world.call(old, "a", Begin())
    world.stop()
    if not _started(world, new):
        return REFUSED
    said = world.state(new, "a").said.split(" Entry")[1:]
    found = [f"Entry{each}" for each in said]
    read = [repr(each) for _, each in world.events(new, "a")]
    assert read == found, "a query and a recovery read the same"
    return " and ".join(f"`{each}`" for each in found) or "dropped"


# -- states ----------------------------------------------------------------------------------------


def of_states(version: Version, adapters: tuple[Any, ...]) -> Any:
    """A processor whose state is of this type; ``folded`` counts the events that were folded."""
    cls = version.made()
    mine = [each for each in adapters if isinstance(each, SnapshotAdapter)]
    counted: list[int] = []

    class Made(Processor[cls]):  # type: ignore[valid-type]
        name = "matrix"
        adapters = mine
        folded = counted

        def init(self, persist_id: str) -> cls:  # type: ignore[valid-type]
            return cls(**version.values)

        @command
        def begin(self, ctx: Context[Any], cmd: Begin) -> None:
            ctx.persist(Seen(""))
            ctx.save_snapshot()

        @event
        def seen(self, state: cls, event: Seen) -> cls:  # type: ignore[valid-type]
            counted.append(1)
            return state

    return Made


def _snapshots(change: Change, world: World) -> str:
    old, new = of_states(change.old, ()), of_states(change.new, change.adapters)
    world.run(old)
    world.call(old, "a", Begin())
    world.stop()
    world.forget_stores()
    if not _started(world, new):
        return REFUSED
    state = world.state(new, "a")
    return "rebuilt from the journal" if new.folded else f"`{state!r}`"


# -- commands --------------------------------------------------------------------------------------


def of_commands(version: Version, adapters: tuple[Any, ...]) -> Any:
    """A processor whose command is of this type."""
    cls = version.made(Command[None])

    class Made(Processor[Nothing]):
        name = "matrix"
        takes = cls

        def init(self, persist_id: str) -> Nothing:
            return Nothing()

        @command
        def handle(self, ctx: Context[Nothing], cmd: cls) -> None:  # type: ignore[valid-type]
            ctx.persist(Seen(repr(cmd)))

        @event
        def seen(self, state: Nothing, event: Seen) -> Nothing:
            return state

    return Made


def _commands(change: Change, world: World) -> str:
    old, new = of_commands(change.old, ()), of_commands(change.new, ())
    world.run(old)
    world.stop()
    world.cast(old, "a", old.takes(**change.old.values))
    if not _started(world, new):
        return REFUSED
    world.settled(new)
    dead = [dict(record.headers) for record in world.dead_letters(new)]
    if dead:
        return f"a dead letter: {dead[0]['error'].decode()}"
    ((_, seen),) = world.events(new, "a")
    return f"`{seen.text}`"
