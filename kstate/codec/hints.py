"""Annotations as objects, wherever the class was defined."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from kstate.core.messages import Command

_resolved: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()


def resolve_hints(cls: type, localns: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The annotations of a class and its bases, by field name, `Annotated` kept.

    ``localns`` are the locals of the frame that defines the class; they make annotations work
    that are strings (``from __future__ import annotations``) and name classes of a function's
    body.  What was resolved once is remembered for the life of the class, so that whoever meets
    it later needs no locals.  Raises `NameError` for a name that is nowhere.
    """
    known = _resolved.get(cls)
    if known is not None:
        return known
    scope = {**(localns or {}), cls.__name__: cls}
    try:
        hints = typing.get_type_hints(cls, localns=scope, include_extras=True)
    except NameError:
        raise
    except (AttributeError, SyntaxError, TypeError) as error:
        raise NameError(f"an annotation cannot be evaluated ({error})") from error
    _resolved[cls] = hints
    return hints


class NoReplyType(Exception):
    """A command class that does not say what its reply is; the message is a sentence."""


def reply_annotation(command_class: type, localns: Mapping[str, Any] | None = None) -> Any:
    """``R`` of the ``Command[R]`` a command class derives from.  Raises `NoReplyType`."""
    for base in command_class.__mro__:
        for parent in vars(base).get("__orig_bases__", ()):
            if typing.get_origin(parent) is Command:
                (reply,) = typing.get_args(parent)
                return _evaluated(reply, base, localns)
    raise NoReplyType(
        f"{command_class.__name__} does not say what its reply is; "
        "derive it from Command[T], or from Command[None]"
    )


def _evaluated(annotation: Any, cls: type, localns: Mapping[str, Any] | None) -> Any:
    """Resolves names written as strings, at any depth, as seen from the class."""
    holder = type(cls.__name__, (), {"__annotations__": {"reply": annotation}})
    holder.__module__ = cls.__module__
    scope = {**(localns or {}), cls.__name__: cls}
    try:
        return typing.get_type_hints(holder, localns=scope, include_extras=True)["reply"]
    except NameError as error:
        raise NoReplyType(
            f"the reply type of {cls.__name__} cannot be resolved: {error}; "
            "define or import the name where the class can see it"
        ) from error


__all__ = ["NoReplyType", "reply_annotation", "resolve_hints"]
