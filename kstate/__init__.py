"""kstate: persistent processes on Kafka.

A process is a class with commands, events and a state; see `Processor`.  A client sends commands
and reads events; see `connect`.
"""

from kstate.client import Client
from kstate.codec.derive import Aliases, Scale
from kstate.core.adapters import EventAdapter, Tagged, tagged
from kstate.core.context import Context
from kstate.core.messages import Command
from kstate.errors import (
    AlreadyDone,
    CallTimeout,
    CommandFailed,
    Conflict,
    DefinitionError,
    KStateError,
    Rejected,
)
from kstate.processor import Processor, command, event, reaction
from kstate.query import StoredEvent
from kstate.wiring import connect

__all__ = [
    "Aliases",
    "AlreadyDone",
    "CallTimeout",
    "Client",
    "Command",
    "CommandFailed",
    "Conflict",
    "Context",
    "DefinitionError",
    "EventAdapter",
    "KStateError",
    "Processor",
    "Rejected",
    "Scale",
    "StoredEvent",
    "Tagged",
    "command",
    "connect",
    "event",
    "reaction",
    "tagged",
]


def __dir__() -> list[str]:
    return __all__
