"""Performs a change on an event, a state, a command and a reply; tells what happened, as a row."""

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
from kstate.errors import DecodeError, SchemaError
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
    replies: str
    words: dict[str, str]  # kind → what check says, where it is not content or has a doubt

    def cells(self) -> str:
        """The row of the matrix."""
        return (
            f"| {self.change} | {self.verdict} | {self.events} | {self.snapshots} "
            f"| {self.commands} | {self.replies} |"
        )


Make = Callable[..., Any]
DOUBTS = ("if it was renamed", "not read the reply")


def performed(change: Change, world: Callable[[], World], directory: Path) -> Row:
    """Does the change once for each kind, on a log each."""
    makers = {"event": of_events, "state": of_states, "command": of_commands, "reply": of_replies}
    findings = {
        kind: _finding(make, change, directory / make.__name__) for kind, make in makers.items()
    }
    return Row(
        change.title,
        _together({kind: each.verdict for kind, each in findings.items()}),
        _events(change, world()),
        _snapshots(change, world()),
        _commands(change, world()),
        _replies(change, world()),
        {kind: _words(each.sentence) for kind, each in findings.items() if _matters(each)},
    )


def _matters(finding: Finding) -> bool:
    return finding.verdict != "ok" or any(each in finding.sentence for each in DOUBTS)


def _together(verdicts: dict[str, str]) -> str:
    """One verdict, or those of the other kinds where they differ from the event's."""
    if len(set(verdicts.values())) == 1:
        return f"`{verdicts['event']}`"
    common = verdicts["event"]
    rest = [f"{kind}: `{each}`" for kind, each in verdicts.items() if each != common]
    return f"`{common}`; {', '.join(rest)}"


def _words(sentence: str) -> str:
    return re.sub(r" \(\S+\.avsc\)|\S+/(?=\w+\.avsc)", "", sentence)


def _finding(make: Make, change: Change, directory: Path) -> Finding:
    """What check says of the type after the old one was frozen; of several the first."""
    old = AvroCodec(definition_of(make(change.old, (), change.more)))
    freeze(old, directory)
    new = AvroCodec(definition_of(make(change.new, change.adapters)))
    names = {each.name for each in (change.old, *change.more)} | {"Ask.reply"}
    found = [each for each in check(new, directory) if each.type_name in names]
    assert len({each.verdict for each in found}) == 1
    return found[0]


def _started(world: World, processor: Any) -> bool:
    try:
        world.run(processor)
    except SchemaError:
        return False
    return True


# -- events ----------------------------------------------------------------------------------------


def of_events(version: Version, adapters: tuple[Any, ...], more: tuple[Version, ...] = ()) -> Any:
    """A processor whose event is of this type, or whose events are of these."""
    versions = [(each.made(), each.values) for each in (version, *more)]
    mine = [each for each in adapters if isinstance(each, EventAdapter)]

    class Made(Processor[Nothing]):
        name = "matrix"
        adapters = mine

        def init(self, persist_id: str) -> Nothing:
            return Nothing()

        @command
        def begin(self, ctx: Context[Nothing], cmd: Begin) -> None:
            for cls, values in versions:
                ctx.persist(cls(**values))

        locals().update({f"fold_{cls.__name__}": _fold_of(cls) for cls, _ in versions})

    return Made


def _fold_of(cls: type) -> Any:
    def fold(self: Any, state: Nothing, event: Any) -> Nothing:
        return Nothing(f"{state.said} {event!r}")

    fold.__annotations__ = {"state": Nothing, "event": cls, "return": Nothing}
    return event(fold)


def _events(change: Change, world: World) -> str:
    old, new = of_events(change.old, (), change.more), of_events(change.new, change.adapters)
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


def of_states(version: Version, adapters: tuple[Any, ...], more: Any = ()) -> Any:
    """A processor whose state is of this type, as there is one; ``folded`` counts the events that
    were folded."""
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


def of_commands(version: Version, adapters: tuple[Any, ...], more: tuple[Version, ...] = ()) -> Any:
    """A processor whose command is of this type, or whose commands are of these."""
    versions = [(each.made(Command[None]), each.values) for each in (version, *more)]

    class Made(Processor[Nothing]):
        name = "matrix"
        given = tuple(cls(**values) for cls, values in versions)

        def init(self, persist_id: str) -> Nothing:
            return Nothing()

        @event
        def seen(self, state: Nothing, event: Seen) -> Nothing:
            return state

        locals().update({f"handle_{cls.__name__}": _handler_of(cls) for cls, _ in versions})

    return Made


def _handler_of(cls: type) -> Any:
    def handle(self: Any, ctx: Context[Nothing], cmd: Any) -> None:
        ctx.persist(Seen(repr(cmd)))

    handle.__annotations__ = {"ctx": Context[Nothing], "cmd": cls, "return": None}
    return command(handle)


def _commands(change: Change, world: World) -> str:
    old, new = of_commands(change.old, (), change.more), of_commands(change.new, ())
    world.run(old)
    world.stop()
    for each in old.given:
        world.cast(old, "a", each)
    if not _started(world, new):
        return REFUSED
    world.settled(new)
    dead = [dict(record.headers)["error"].decode() for record in world.dead_letters(new)]
    if dead:
        assert len(dead) == len(old.given)
        return "; ".join(f"a dead letter: {each}" for each in dead)
    ((_, seen),) = world.events(new, "a")
    return f"`{seen.text}`"


# -- replies ---------------------------------------------------------------------------------------


def of_replies(version: Version, adapters: tuple[Any, ...], more: Any = ()) -> Any:
    """A processor that answers with this type."""
    cls = version.made()

    @dataclass(frozen=True)
    class Ask(Command[cls]):  # type: ignore[valid-type]
        """Is asked twice under one id."""

    class Made(Processor[Nothing]):
        name = "matrix"
        question = Ask()

        def init(self, persist_id: str) -> Nothing:
            return Nothing()

        @command
        def ask(self, ctx: Context[Nothing], cmd: Ask) -> cls:  # type: ignore[valid-type]
            ctx.persist(Seen(""))
            return cls(**version.values)

        @event
        def seen(self, state: Nothing, event: Seen) -> Nothing:
            return state

    return Made


def _replies(change: Change, world: World) -> str:
    old, new = of_replies(change.old, ()), of_replies(change.new, ())
    world.run(old)
    world.call(old, "a", old.question, command_id="once")
    world.stop()
    if not _started(world, new):
        return REFUSED
    try:
        found = f"`{world.call(new, 'a', new.question, command_id='once')!r}`"
    except DecodeError:
        found = "not readable"
    assert len(world.events(new, "a")) == 1, "the command ran once"
    return found
