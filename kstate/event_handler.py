"""What a user writes for the outside world: a class whose methods get events, at least once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from kstate.processor import Processor
from kstate.projection.subjects import Subjects, marked

F = TypeVar("F", bound=Callable[..., Any])


def handles(handler: F) -> F:
    """Marks ``handler(self, stored, event) -> None`` of an `EventHandler`.

    Dispatch is by the annotated type of the last parameter, an event or several (``A | B``).  An
    event counts as handled when the method has returned; it may come again after a crash, and is
    then known by ``stored.persist_id`` and ``stored.seq``.
    """
    return marked(handler, "handles")


class EventHandler:
    """Tells the outside world of the events of one processor: mail, webhooks.

    Each event is handled at least once, those of one persist id in the order of their seqs.  An
    intermediate class that is not to be used by itself is declared with ``abstract=True``.  Raises
    `DefinitionError`, with all mistakes, when a class is defined.
    """

    name: ClassVar[str]
    """Names its group on the log, which keeps how far it is."""
    source: ClassVar[type[Processor[Any]]]
    """The processor whose journal it follows."""
    begins: ClassVar[Literal["beginning", "end"]] = "beginning"
    """Where it starts when the log knows of no progress: with the oldest event, or with those that
    come from now on."""
    on_error: ClassVar[Literal["stop", "skip"]] = "stop"
    """What an event does that failed ``attempts`` times: it stops the handler, or is logged,
    counted and passed over."""
    attempts: ClassVar[int] = 8
    """How often an event is tried; the pauses between double from ``pause_s`` on."""
    pause_s: ClassVar[float] = 0.5
    """Seconds before the second try."""

    __kstate_handlers__: ClassVar[Mapping[type, str]]

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not abstract:
            look = Subjects(cls, sys._getframe(1).f_locals, "handles", ("self", "stored", "event"))
            look.look()
            look.one_of("begins", "beginning", "end")
            look.one_of("on_error", "stop", "skip")
            look.count("attempts", 1)
            pause_s: Any = cls.pause_s
            if isinstance(pause_s, bool) or not isinstance(pause_s, int | float) or pause_s < 0:
                look.say(f"pause_s is {pause_s!r}: give seconds, 0 or more")
            cls.__kstate_handlers__ = look.done()
