"""The mistakes one can make in a class that follows a journal, and the table of its handlers."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kstate.core.messages import RESERVED_EVENTS, Deleted
from kstate.core.topics import check_name
from kstate.errors import ConfigError, DefinitionError
from kstate.processor import Processor, definition_of

F = TypeVar("F", bound=Callable[..., Any])

ROLE = "__kstate_follows__"
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def marked(function: F, decorator: str) -> F:
    """A method that `Subjects` finds under the name of its decorator."""
    setattr(function, ROLE, decorator)
    return function


class Subjects:
    """Looks at one class; `mistakes` fills meanwhile and is raised by `done`, all at once."""

    def __init__(
        self, cls: Any, localns: Mapping[str, Any], decorator: str, shape: tuple[str, ...]
    ) -> None:
        self.cls = cls
        self.mistakes: list[str] = []
        self.handlers: dict[type, str] = {}  # event class → name of the method
        self._localns = {**localns, cls.__name__: cls}
        self._decorator = decorator
        self._shape = shape
        self._events: frozenset[type] | None = None  # what the source may give; None: unknown

    def say(self, mistake: str) -> None:
        """Adds a mistake: one clause with the cure."""
        self.mistakes.append(mistake)

    def look(self) -> None:
        """Checks the name, the source and the handlers."""
        self._name()
        self._source()
        for name, decorator in _roles(self.cls).items():
            if decorator != self._decorator:
                self.say(
                    f"{self.cls.__name__}.{name} is marked with @{decorator}: here it is "
                    f"@{self._decorator}"
                )
            else:
                self._method(name)
        if not self.handlers and not self.mistakes:
            self.say(f"it has no handler: decorate a method with @{self._decorator}")

    def done(self) -> dict[type, str]:
        """The handlers; raises `DefinitionError` with every mistake."""
        if self.mistakes:
            raise DefinitionError(self.cls.__name__, list(dict.fromkeys(self.mistakes)))
        return self.handlers

    def one_of(self, attribute: str, *allowed: str) -> None:
        """An attribute that takes one of a few words."""
        value = getattr(self.cls, attribute)
        if value not in allowed:
            words = [f'"{each}"' for each in allowed]
            said = f"{', '.join(words[:-1])} or {words[-1]}"
            self.say(f"{attribute} is {value!r}: write {said}")

    def count(self, attribute: str, least: int) -> None:
        """An attribute that is a whole number."""
        value = getattr(self.cls, attribute)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.say(f"{attribute} is {value!r}: give a number from {least} on")

    # -- attributes --------------------------------------------------------------------------

    def _name(self) -> None:
        try:
            check_name(getattr(self.cls, "name", ""))
        except (ConfigError, TypeError) as error:
            problem = str(error).replace("of a processor", f"of {self.cls.__name__}")
            self.say(f'{problem}; write name = "…" in the class, or class …, abstract=True')

    def _source(self) -> None:
        source = getattr(self.cls, "source", None)
        if not (isinstance(source, type) and issubclass(source, Processor)):
            self.say(
                f"source is {source!r}: name the class of the processor whose events it follows, "
                "like source = Bank"
            )
            return
        try:
            self._events = frozenset(definition_of(source).folds) | {Deleted}
        except ConfigError as error:
            self.say(f"source: {error}")

    # -- methods -----------------------------------------------------------------------------

    def _method(self, name: str) -> None:
        function = inspect.unwrap(getattr(self.cls, name))
        where = f"{self.cls.__name__}.{name}"
        if not callable(function):
            self.say(f"{where} is no method, but overrides one: write def, or leave it out")
            return
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            self.say(f"{where} is async: write def; events are handled one after another")
            return
        if inspect.isgeneratorfunction(function):
            self.say(f"{where} is a generator: nothing of it would run; do the work, do not yield")
            return
        parameters = list(inspect.signature(function).parameters.values())
        if len(parameters) != len(self._shape) or any(p.kind not in _PLAIN for p in parameters):
            self.say(f"{where} does not have the parameters ({', '.join(self._shape)})")
            return
        last = parameters[-1].name
        for subject in self._subjects(where, function, last):
            self._add(where, name, subject)

    def _subjects(self, where: str, function: Callable[..., Any], last: str) -> list[type]:
        try:
            hints = typing.get_type_hints(function, localns=self._localns)
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            self.say(
                f"{where}: an annotation cannot be resolved ({error}): define or import the name "
                f"before {self.cls.__name__}"
            )
            return []
        if last not in hints:
            self.say(f"{where}: {last} has no annotation: name the event it handles")
            return []
        hint = hints[last]
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        found = list(typing.get_args(hint)) if union else [hint]
        for each in found:
            if not isinstance(each, type) or typing.get_origin(each) is not None:
                self.say(f"{where}: {last} is annotated {each}: name events, like A or A | B")
                return []
        if hints.get("return", type(None)) is not type(None):
            self.say(f"{where} returns something, which nobody would get: write -> None")
        return found

    def _add(self, where: str, name: str, subject: type) -> None:
        title = subject.__name__
        if subject in self.handlers:
            other = self.handlers[subject]
            self.say(f"{where} and {self.cls.__name__}.{other} both handle {title}: remove one")
            return
        if self._events is not None and subject not in self._events:
            named = sorted(each.__name__ for each in self._events if each not in RESERVED_EVENTS)
            self.say(
                f"{where}: {self.cls.source.__name__} has no event {title}: name one of "
                f"{', '.join(named)}, or kstate.Deleted"
            )
            return
        self.handlers[subject] = name


def _roles(cls: type) -> dict[str, str]:
    """Method name → decorator, in the order of definition; an overriding method keeps it."""
    roles: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            decorator = getattr(value, ROLE, None)
            if decorator is not None:
                roles[name] = decorator
    return roles
