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
    from kstate.core.context import Context
    from kstate.core.messages import Command
    from kstate.errors import (
        AlreadyDone,
        BadPersistId,
        CallTimeout,
        CommandFailed,
        ConfigError,
        Conflict,
        DecodeError,
        DefinitionError,
        EncodeError,
        KStateError,
        LogError,
        LogUnavailable,
        NoSuchLog,
        NotSent,
        ProcessorAbsent,
        Rejected,
        StateTimeout,
    )
    from kstate.processor import Processor, command, event, reaction
    from kstate.query.events import StoredEvent
    from kstate.wiring import connect

__all__ = [
    "Aliases",
    "AlreadyDone",
    "BadPersistId",
    "CallTimeout",
    "Client",
    "Command",
    "CommandFailed",
    "ConfigError",
    "Conflict",
    "Context",
    "DecodeError",
    "DefinitionError",
    "EncodeError",
    "EventAdapter",
    "KStateError",
    "LogError",
    "LogUnavailable",
    "NoSuchLog",
    "NotSent",
    "Processor",
    "ProcessorAbsent",
    "Rejected",
    "Scale",
    "SnapshotAdapter",
    "StateTimeout",
    "Stored",
    "StoredEvent",
    "Tagged",
    "command",
    "connect",
    "event",
    "reaction",
    "tagged",
]

_HOMES = {
    "Aliases": "kstate.codec.derive",
    "AlreadyDone": "kstate.errors",
    "BadPersistId": "kstate.errors",
    "CallTimeout": "kstate.errors",
    "Client": "kstate.client",
    "Command": "kstate.core.messages",
    "CommandFailed": "kstate.errors",
    "ConfigError": "kstate.errors",
    "Conflict": "kstate.errors",
    "Context": "kstate.core.context",
    "DecodeError": "kstate.errors",
    "DefinitionError": "kstate.errors",
    "EncodeError": "kstate.errors",
    "EventAdapter": "kstate.core.adapters",
    "KStateError": "kstate.errors",
    "LogError": "kstate.errors",
    "LogUnavailable": "kstate.errors",
    "NoSuchLog": "kstate.errors",
    "NotSent": "kstate.errors",
    "Processor": "kstate.processor",
    "ProcessorAbsent": "kstate.errors",
    "Rejected": "kstate.errors",
    "Scale": "kstate.codec.derive",
    "SnapshotAdapter": "kstate.core.adapters",
    "StateTimeout": "kstate.errors",
    "Stored": "kstate.core.adapters",
    "StoredEvent": "kstate.query.events",
    "Tagged": "kstate.core.adapters",
    "command": "kstate.processor",
    "connect": "kstate.wiring",
    "event": "kstate.processor",
    "reaction": "kstate.processor",
    "tagged": "kstate.core.adapters",
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
