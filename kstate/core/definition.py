"""What a processor class comes to: a checked table of handlers, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kstate.core.adapters import EventAdapter, SnapshotAdapter

Handler = Callable[[Any, Any], Any]  # (context, command) -> reply
Fold = Callable[[Any, Any], Any]  # (state, event) -> state
Reaction = Callable[[Any, Any], None]  # (context, event)

OnError = Literal["dead_letter", "stop"]


@dataclass(frozen=True, slots=True)
class AfterSnapshot:
    """Of the events that a snapshot covers, the newest so many are kept; at least 1."""

    events: int


def after_snapshot(events: int) -> AfterSnapshot:
    """For ``keep``: of the events that an entity's newest snapshot covers, the newest so many stay
    in the journal, at least 1, and older ones are removed."""
    return AfterSnapshot(events)


Keep = Literal["all"] | AfterSnapshot


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind of persistent process.

    Built by `kstate.processor` when the class is defined; everything below reads only this.
    """

    name: str
    state_type: type
    init: Callable[[str], Any]  # persist id -> the state before the first event
    commands: Mapping[type, Handler]
    replies: Mapping[type, Any]  # command class -> annotation of its reply
    folds: Mapping[type, Fold]
    reactions: Mapping[type, tuple[Reaction, ...]]
    sends: frozenset[str]  # names of the processors it may send to, itself included
    adapters: tuple[EventAdapter, ...]
    snapshot_every: int  # events per entity; 0: only on eviction and on request
    snapshot_version: int
    on_error: OnError
    snapshot_adapters: tuple[SnapshotAdapter, ...] = ()
    keep: int | None = None  # events behind a snapshot that stay in the journal; None: all
