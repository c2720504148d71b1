"""The mistakes one can make in a processor class, found when it is defined, all at once."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from kstate.codec.derive import NoAvroForm, derive, mutable_parts
from kstate.codec.hints import NoReplyType, reply_annotation
from kstate.core.adapters import EventAdapter, SnapshotAdapter
from kstate.core.definition import AfterSnapshot
from kstate.core.messages import RESERVED_COMMANDS, RESERVED_EVENTS, Command
from kstate.core.topics import check_name
from kstate.errors import ConfigError, DefinitionError


@dataclass(slots=True)
class Table:
    """What a processor class comes to, its handlers still as method names."""

    state_type: type = object
    commands: dict[type, str] = field(default_factory=dict)
    replies: dict[type, Any] = field(default_factory=dict)
    folds: dict[type, str] = field(default_factory=dict)
    reactions: dict[type, list[str]] = field(default_factory=dict)
    sends: frozenset[str] = frozenset()


def check_processor(cls: Any, localns: Mapping[str, Any]) -> Table:
    """The table of a processor class; raises `DefinitionError` with every mistake in it."""
    return _Check(cls, localns).run()


class _Check:
    def __init__(self, cls: Any, localns: Mapping[str, Any]) -> None:
        self.cls = cls
        # a method may name the class that is just being defined
        self.localns = {**localns, cls.__name__: cls}
        self.mistakes: list[str] = []
        self.table = Table()
        self.names: dict[str, type] = {}  # Avro full name → class, over the whole processor

    def run(self) -> Table:
        self._attributes()
        self._state()
        self._init()
        for name, role in _roles(self.cls).items():
            self._method(name, role)
        if not self.table.commands:
            self.say("it has no command handler: decorate a method with @command")
        self._reactions_have_folds()
        if self.mistakes:
            raise DefinitionError(self.cls.__name__, list(dict.fromkeys(self.mistakes)))
        return self.table

    def say(self, mistake: str) -> None:
        self.mistakes.append(mistake)

    # -- attributes --------------------------------------------------------------------------

    def _attributes(self) -> None:
        cls = self.cls
        try:
            check_name(getattr(cls, "name", ""))
        except (ConfigError, TypeError) as error:
            self.say(f'{error}; write name = "…" in the class, or class …, abstract=True')
        if not _is_count(cls.snapshot_every, 0):
            self.say(f"snapshot_every is {cls.snapshot_every!r}: give a number of events, or 0")
        if not _is_count(cls.snapshot_version, 1):
            self.say(f"snapshot_version is {cls.snapshot_version!r}: give a number from 1 on")
        if cls.on_error not in ("dead_letter", "stop"):
            self.say(f'on_error is {cls.on_error!r}: write "dead_letter" or "stop"')
        self._keep()
        self._misspelt()
        self._sends()
        self._adapters()

    def _keep(self) -> None:
        keep = self.cls.keep
        if isinstance(keep, AfterSnapshot):
            if not _is_count(keep.events, 1):
                self.say(
                    f"keep is after_snapshot({keep.events!r}): give a number of events from 1 on; "
                    "an entity's newest event tells that it exists"
                )
        elif keep != "all":
            self.say(f'keep is {keep!r}: write "all" or after_snapshot(…)')

    def _misspelt(self) -> None:
        """A value whose name is nearly a setting's would be left unread, and never missed."""
        names = [each for each in _SETTINGS if each != "name" or not hasattr(self.cls, "name")]
        for base in self.cls.__mro__[:-1]:
            for name in sorted(_own(base) - set(_SETTINGS)):
                if name.startswith("_") or _is_method(vars(base)[name]):
                    continue
                near = difflib.get_close_matches(name, names, 1, ALIKE)
                if near:
                    self.say(f"{name} is no setting: did you mean {near[0]}? Else rename it")

    def _sends(self) -> None:
        names = {getattr(self.cls, "name", "")}
        if not isinstance(self.cls.sends, _LISTS):
            self.say(f"sends is {self.cls.sends!r}: write a list, like sends = [Ledger]")
            return
        for target in self.cls.sends:
            name = target if isinstance(target, str) else getattr(target, "name", None)
            if not isinstance(name, str):
                self.say(f"sends has {target!r}: list processor classes or their names")
                continue
            try:
                check_name(name)
            except ConfigError as error:
                self.say(f"sends: {error}")
            names.add(name)
        self.table.sends = frozenset(names)

    def _adapters(self) -> None:
        if not isinstance(self.cls.adapters, _LISTS):
            self.say(
                f"adapters is {self.cls.adapters!r}: write a list, like adapters = [MyAdapter()]"
            )
            return
        for adapter in self.cls.adapters:
            if not isinstance(adapter, EventAdapter | SnapshotAdapter):
                self.say(
                    f"adapters has {adapter!r}: list instances of EventAdapter or SnapshotAdapter "
                    "subclasses"
                )
                continue
            where = type(adapter).__name__
            if adapter.reads is not None and not _are_names(adapter.reads):
                self.say(
                    f'{where}.reads is {adapter.reads!r}: list names, like reads = ["MoneyIn"]'
                )
            for written in getattr(adapter, "writes", ()):
                if not (isinstance(written, type) and is_dataclass(written)):
                    self.say(f"{where}.writes has {written!r}: list dataclasses")
                else:
                    self._form(written, f"{where}.writes: the event {written.__name__}")

    def _state(self) -> None:
        state = self._state_annotation()
        if isinstance(state, str | typing.ForwardRef):
            state = self._evaluate(state)
            if state is None:
                return
        if state is None:
            self.say("its state is not named: derive it from Processor[TheState]")
            return
        if not (isinstance(state, type) and is_dataclass(state)):
            self.say(
                f"the state {_title(state)} is no dataclass: write one with @dataclass(frozen=True)"
            )
            return
        self.table.state_type = state
        before = len(self.mistakes)
        self._form(state, f"the state {state.__name__}")
        if len(self.mistakes) == before:
            for part in mutable_parts(state, self._namespace, self.localns):
                self.say(f"the state {state.__name__}: {part}")

    def _state_annotation(self) -> Any:
        from kstate.processor import Processor  # it imports this module for its own definition

        for base in self.cls.__mro__:
            for parent in vars(base).get("__orig_bases__", ()):
                origin = typing.get_origin(parent)
                if isinstance(origin, type) and issubclass(origin, Processor):
                    (state,) = typing.get_args(parent)[:1]
                    if not isinstance(state, typing.TypeVar):
                        return state
        return None

    def _evaluate(self, name: str | typing.ForwardRef) -> Any:
        """What a state written as text is; None when it is told that there is no such thing."""
        text = name if isinstance(name, str) else name.__forward_arg__
        holder = type(self.cls.__name__, (), {"__annotations__": {"state": text}})
        holder.__module__ = self.cls.__module__
        hints = self._hints(f"Processor[{text!r}]", holder)
        return None if hints is None else hints["state"]

    def _init(self) -> None:
        if "init" not in {name for base in self.cls.__mro__[:-1] for name in _own(base)}:
            self.say("init is missing: write def init(self, persist_id), the state without events")
            return
        function, where = self.cls.init, f"{self.cls.__name__}.init"
        if not inspect.isfunction(function):
            self.say(f"{where} is no method: write def init(self, persist_id)")
        elif not self._plain(where, function):
            return
        elif len(inspect.signature(function).parameters) != 2:
            self.say(f"{where} does not have the parameters (self, persist_id)")
        else:
            state, hints = self.table.state_type, self._hints(where, function) or {}
            hint = hints.get("return", state)
            if state is not object and hint not in (state, Any) and not _is_variable(hint):
                self.say(
                    f"{where} is annotated to return {_title(hint)}: it makes the first state, "
                    f"write -> {state.__name__}"
                )

    @property
    def _namespace(self) -> str:
        name = getattr(self.cls, "name", "")
        return name if isinstance(name, str) and name else "unnamed"

    # -- methods -----------------------------------------------------------------------------

    def _method(self, name: str, role: str) -> None:
        function = inspect.unwrap(getattr(self.cls, name))
        where = f"{self.cls.__name__}.{name}"
        if not callable(function):
            self.say(f"{where} is no method, but overrides one: write def, or leave it out")
            return
        if not self._plain(where, function):
            return
        hints = self._hints(where, function)
        parameters = list(inspect.signature(function).parameters.values())
        shape = {"command": "(self, ctx, cmd)", "event": "(self, state, event)"}.get(
            role, "(self, ctx, event)"
        )
        if len(parameters) != 3 or any(p.kind not in _PLAIN for p in parameters):
            self.say(f"{where} does not have the parameters {shape}")
            return
        if hints is None:
            return
        last = parameters[-1].name
        subject = hints.get(last)
        if subject is None:
            self.say(f"{where}: {last} has no annotation: name the class it handles")
            return
        if not isinstance(subject, type) or typing.get_origin(subject) is not None:
            self.say(f"{where}: {last} is annotated {_title(subject)}: name one class")
            return
        if subject in (*RESERVED_EVENTS, *RESERVED_COMMANDS):
            self.say(f"{where}: {subject.__name__} is kstate's own: it is handled by kstate alone")
            return
        {"command": self._command, "event": self._fold, "reaction": self._reaction}[role](
            where, name, subject, hints, parameters[1].name
        )

    def _plain(self, where: str, function: Callable[..., Any]) -> bool:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            self.say(
                f"{where} is async: write def; what must wait for the outside world belongs "
                "after the commit (ctx.after_commit) or to a consumer of the journal"
            )
            return False
        if inspect.isgeneratorfunction(function):
            self.say(f"{where} is a generator: persist events with ctx.persist, do not yield them")
            return False
        return True

    def _hints(self, where: str, function: Any) -> dict[str, Any] | None:
        try:
            return typing.get_type_hints(function, localns=self.localns, include_extras=True)
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            self.say(
                f"{where}: an annotation cannot be resolved ({error}): define or import the name "
                f"before {self.cls.__name__}"
            )
            return None

    def _command(
        self, where: str, name: str, subject: type, hints: Mapping[str, Any], _second: str
    ) -> None:
        title = subject.__name__
        if not issubclass(subject, Command):
            self.say(f"{where}: {title} is no command: derive it from Command[the reply's type]")
            return
        if subject in self.table.commands:
            other = self.table.commands[subject]
            self.say(f"{where} and {self.cls.__name__}.{other} both handle {title}: remove one")
            return
        self.table.commands[subject] = name
        self._form(subject, f"{where}: the command {title}")
        try:
            reply = reply_annotation(subject, self.localns)
        except (NoReplyType, NameError) as error:
            self.say(f"{where}: {error}")
            return
        self.table.replies[subject] = reply
        self._form(reply, f"{where}: the reply of {title}")
        if "return" not in hints:
            self.say(f"{where} has no return annotation: write -> {_title(reply)}")
        elif not _same(hints["return"], reply):
            self.say(
                f"{where} returns {_title(hints['return'])}, but {title} is a "
                f"Command[{_title(reply)}]: make them the same"
            )

    def _fold(
        self, where: str, name: str, subject: type, hints: Mapping[str, Any], second: str
    ) -> None:
        title = subject.__name__
        if subject in self.table.folds:
            other = self.table.folds[subject]
            self.say(f"{where} and {self.cls.__name__}.{other} both fold {title}: remove one")
            return
        self.table.folds[subject] = name
        if issubclass(subject, Command):
            self.say(f"{where} folds the command {title}: events are what happened; fold an event")
        self._form(subject, f"{where}: the event {title}")
        state = self.table.state_type
        for part, hint in ((second, hints.get(second)), ("its result", hints.get("return"))):
            if hint is not None and state is not object and hint is not state:
                self.say(f"{where}: {part} is annotated {_title(hint)}, not {state.__name__}")

    def _reaction(
        self, where: str, name: str, subject: type, hints: Mapping[str, Any], _second: str
    ) -> None:
        if hints.get("return", type(None)) is not type(None):
            self.say(f"{where} returns something: a reaction has no reply; write -> None")
        self.table.reactions.setdefault(subject, []).append(name)

    def _reactions_have_folds(self) -> None:
        for subject, methods in self.table.reactions.items():
            if subject not in self.table.folds:
                self.say(
                    f"{self.cls.__name__}.{methods[0]} reacts to {subject.__name__}, which has no "
                    f"fold: add a method with @event whose last parameter is a {subject.__name__}"
                )

    def _form(self, annotation: Any, subject: str) -> None:
        try:
            derive(annotation, self._namespace, self.localns, self.names)
        except NoAvroForm as error:
            for reason in error.reasons:
                self.say(f"{subject}: {reason}")
            return
        if isinstance(annotation, type) and not is_dataclass(annotation):
            needs_record = subject.rpartition(": the ")[2].split(" ")[0] in ("command", "event")
            if needs_record:
                self.say(f"{subject} is no dataclass: write @dataclass(frozen=True) above it")


ALIKE = 0.8
"""How much a name must be like a setting's to be taken for it (difflib's ratio)."""
_SETTINGS = ("adapters", "keep", "name", "on_error", "sends", "snapshot_every", "snapshot_version")
_LISTS = (list, tuple, set, frozenset)
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _roles(cls: type) -> dict[str, str]:
    """Method name → role, in the order of definition; an overriding method keeps the role."""
    roles: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            role = getattr(value, "__kstate_role__", None)
            if role is not None:
                roles[name] = role
    return roles


def _own(base: type) -> set[str]:
    return set() if base.__module__ == "kstate.processor" else set(vars(base))


def _is_method(value: Any) -> bool:
    return callable(value) or isinstance(value, staticmethod | classmethod | property)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_names(value: Any) -> bool:
    return isinstance(value, _LISTS) and all(isinstance(each, str) for each in value)


def _is_variable(hint: Any) -> bool:
    return isinstance(hint, typing.TypeVar)


def _same(left: Any, right: Any) -> bool:
    none = type(None)
    return (none if left is None else left) == (none if right is None else right)


def _title(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
