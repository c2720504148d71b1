"""kstate: persistent processes on Kafka.

A process is a class with commands, events and a state; see `Processor`.  A client sends commands
and reads events; see `connect`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kstate.client import Client
    from kstate.codec.derive import Aliases, Scale
    from kstate.core.adapters import EventAdapter, SnapshotAdapter, Stored, Tagged, tagged
    from kstate.core.batch import CommittedEvent
    from kstate.core.context import Context
    from kstate.core.definition import after_snapshot
    from kstate.core.messages import Command, Deleted
    from kstate.errors import (
        AlreadyDone,
        BadPersistId,
        CallTimeout,
        CommandFailed,
        ConfigError,
        Conflict,
        DatabaseUnavailable,
        DecodeError,
        DefinitionError,
        EncodeError,
        KStateError,
        LogError,
        LogUnavailable,
        NoSuchLog,
        NotSent,
        ProcessorAbsent,
        ProjectionError,
        ProjectionLate,
        ProjectionStopped,
        Rejected,
        StateTimeout,
    )
    from kstate.event_handler import EventHandler, handles
    from kstate.inprocess import InProcess, worker
    from kstate.processor import Processor, command, event, reaction
    from kstate.projection.definition import Projection, projects
    from kstate.projection.rows import Rows
    from kstate.query.events import StoredEvent
    from kstate.query.points import Point
    from kstate.wiring import connect

__all__ = [
    "Aliases",
    "AlreadyDone",
    "BadPersistId",
    "CallTimeout",
    "Client",
    "Command",
    "CommandFailed",
    "CommittedEvent",
    "ConfigError",
    "Conflict",
    "Context",
    "DatabaseUnavailable",
    "DecodeError",
    "DefinitionError",
    "Deleted",
    "EncodeError",
    "EventAdapter",
    "EventHandler",
    "InProcess",
    "KStateError",
    "LogError",
    "LogUnavailable",
    "NoSuchLog",
    "NotSent",
    "Point",
    "Processor",
    "ProcessorAbsent",
    "Projection",
    "ProjectionError",
    "ProjectionLate",
    "ProjectionStopped",
    "Rejected",
    "Rows",
    "Scale",
    "SnapshotAdapter",
    "StateTimeout",
    "Stored",
    "StoredEvent",
    "Tagged",
    "after_snapshot",
    "command",
    "connect",
    "event",
    "handles",
    "projects",
    "reaction",
    "tagged",
    "worker",
]

_HOMES = {
    "Aliases": "kstate.codec.derive",
    "AlreadyDone": "kstate.errors",
    "BadPersistId": "kstate.errors",
    "CallTimeout": "kstate.errors",
    "Client": "kstate.client",
    "Command": "kstate.core.messages",
    "CommandFailed": "kstate.errors",
    "CommittedEvent": "kstate.core.batch",
    "ConfigError": "kstate.errors",
    "Conflict": "kstate.errors",
    "Context": "kstate.core.context",
    "DatabaseUnavailable": "kstate.errors",
    "DecodeError": "kstate.errors",
    "DefinitionError": "kstate.errors",
    "Deleted": "kstate.core.messages",
    "EncodeError": "kstate.errors",
    "EventAdapter": "kstate.core.adapters",
    "EventHandler": "kstate.event_handler",
    "InProcess": "kstate.inprocess",
    "KStateError": "kstate.errors",
    "LogError": "kstate.errors",
    "LogUnavailable": "kstate.errors",
    "NoSuchLog": "kstate.errors",
    "NotSent": "kstate.errors",
    "Point": "kstate.query.points",
    "Processor": "kstate.processor",
    "ProcessorAbsent": "kstate.errors",
    "Projection": "kstate.projection.definition",
    "ProjectionError": "kstate.errors",
    "ProjectionLate": "kstate.errors",
    "ProjectionStopped": "kstate.errors",
    "Rejected": "kstate.errors",
    "Rows": "kstate.projection.rows",
    "Scale": "kstate.codec.derive",
    "SnapshotAdapter": "kstate.core.adapters",
    "StateTimeout": "kstate.errors",
    "Stored": "kstate.core.adapters",
    "StoredEvent": "kstate.query.events",
    "Tagged": "kstate.core.adapters",
    "after_snapshot": "kstate.core.definition",
    "command": "kstate.processor",
    "connect": "kstate.wiring",
    "event": "kstate.processor",
    "handles": "kstate.event_handler",
    "projects": "kstate.projection.definition",
    "reaction": "kstate.processor",
    "tagged": "kstate.core.adapters",
    "worker": "kstate.inprocess",
}


_MODULES = ("aio", "errors")
"""Modules that need no import of their own: ``kstate.errors.LogError``, ``kstate.aio.connect``."""


if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> Any:
        """Imports a public name when it is first used (PEP 562): what needs none of them, like
        ``kstate --help``, loads neither the codec nor a log."""
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found


def __dir__() -> list[str]:
    return __all__
