"""What a user writes: a class with commands, events and a state.

When the class is defined, every mistake in it is reported at once, in words that name the method
and the cure; what remains at run time is a table (`kstate.core.definition.Definition`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from kstate.checks import Table, check_processor
from kstate.core.adapters import Adapter, EventAdapter, SnapshotAdapter
from kstate.core.definition import AfterSnapshot, Definition, Keep, OnError
from kstate.errors import ConfigError

S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])


class _Marked(Protocol):
    __kstate_role__: str


def _mark(function: F, role: str) -> F:
    function.__kstate_role__ = role  # type: ignore[attr-defined]
    return function


def command(handler: F) -> F:
    """Marks ``handler(self, ctx, command) -> reply``.

    Dispatch is by the annotated type of the last parameter; the reply leaves only once the
    command's events are committed.
    """
    return _mark(handler, "command")


def event(fold: F) -> F:
    """Marks ``fold(self, state, event) -> state``: pure, the same live and in recovery."""
    return _mark(fold, "event")


def reaction(handler: F) -> F:
    """Marks ``handler(self, ctx, event) -> None``, run live only, after the command's events."""
    return _mark(handler, "reaction")


class Processor(Generic[S]):
    """One kind of persistent process; one state of type ``S`` exists per persist id.

    An intermediate class that is not to be used by itself is declared with ``abstract=True``.
    Raises `DefinitionError`, with all mistakes, when a class is defined.
    """

    name: ClassVar[str]
    """Names the topics: ``bank`` → ``bank.commands``, ``bank.journal`` …"""
    snapshot_every: ClassVar[int] = 100
    """Events of an entity between two snapshots; 0: only on eviction and on request."""
    snapshot_version: ClassVar[int] = 1
    """Raise it when the folds changed: older snapshots are ignored and states rebuilt."""
    on_error: ClassVar[OnError] = "dead_letter"
    """What a failing command does: go to the dead letters, or stop the worker."""
    keep: ClassVar[Keep] = "all"
    """Which events stay in the journal: all, or those `after_snapshot` says."""
    sends: ClassVar[Sequence[type[Processor[Any]] | str]] = ()
    """The processors that handlers send commands to, beside this one."""
    adapters: ClassVar[Sequence[Adapter]] = ()
    """Adapters of events and snapshots, those nearest to the code first: the order in which they
    see an event on its way to the journal."""

    __kstate__: ClassVar[Table]

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not abstract:
            # hints may name classes that live in the function which defines this class
            cls.__kstate__ = check_processor(cls, sys._getframe(1).f_locals)

    def init(self, persist_id: str) -> S:
        """The state of a persist id before its first event; pure."""
        raise NotImplementedError


def definition_of(processor: type[Processor[Any]] | Processor[Any]) -> Definition:
    """The table of a processor, with its handlers bound to the instance given or to a new one."""
    is_class = isinstance(processor, type)
    owner: Any = processor if is_class else type(processor)
    table: Table | None = owner.__dict__.get("__kstate__")
    if table is None or not issubclass(owner, Processor):
        raise ConfigError(f"{owner!r} is no processor: it must derive from kstate.Processor")
    instance: Any = processor() if isinstance(processor, type) else processor
    return Definition(
        name=owner.name,
        state_type=table.state_type,
        init=instance.init,
        commands={cls: getattr(instance, name) for cls, name in table.commands.items()},
        replies=dict(table.replies),
        folds={cls: getattr(instance, name) for cls, name in table.folds.items()},
        reactions={
            cls: tuple(getattr(instance, name) for name in names)
            for cls, names in table.reactions.items()
        },
        sends=table.sends,
        adapters=tuple(each for each in owner.adapters if isinstance(each, EventAdapter)),
        snapshot_every=owner.snapshot_every,
        snapshot_version=owner.snapshot_version,
        on_error=owner.on_error,
        snapshot_adapters=tuple(
            each for each in owner.adapters if isinstance(each, SnapshotAdapter)
        ),
        keep=owner.keep.events if isinstance(owner.keep, AfterSnapshot) else None,
    )


def name_of(processor: type[Processor[Any]] | Processor[Any] | str) -> str:
    """The name of a processor given as a class, an instance or its name."""
    if isinstance(processor, str):
        return processor
    name = getattr(processor, "name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{processor!r} is neither a processor nor the name of one")
    return name
