"""What a client checks of a command before anything is sent, and says of one that had no answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kstate.core.letters import DEAD_LETTER_HEADERS
from kstate.core.messages import RESERVED_COMMANDS, Command, Headers
from kstate.errors import CallTimeout, ConfigError, NotSent, StateTimeout
from kstate.processor import Processor, name_of
from kstate.query.processors import ProcessorRef

RESERVED_HEADERS = frozenset(
    {
        # what a worker reads, beside traceparent, which is the caller's to give
        *("command-id", "content-type", "expected-seq", "reply-partition", "reply-to", "type"),
        # what a dead letter gets in place of the command's own
        *DEAD_LETTER_HEADERS,
    }
)
"""Headers of a command record that are not the caller's to set."""


def caller_headers(headers: Mapping[str, bytes] | None) -> Headers:
    """A caller's headers as a record takes them; raises `ConfigError` for one it cannot set."""
    for name, value in (headers or {}).items():
        if name in RESERVED_HEADERS:
            raise ConfigError(f"the header {name} is kstate's own: give another name to yours")
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise ConfigError(f"the header {name!r} is not a text with bytes as its value")
    return list((headers or {}).items())


def check_handled(processor: type[Processor[Any]], command: Command[Any]) -> None:
    """Raises `ConfigError` for a command that the processor's class has no handler for."""
    handled = processor.__kstate__.commands
    if type(command) not in handled and type(command) not in RESERVED_COMMANDS:
        known = ", ".join(sorted(each.__name__ for each in handled))
        raise ConfigError(
            f"{processor.__name__} has no handler for {type(command).__qualname__}: "
            f"its commands are {known}"
        )


@contextmanager
def telling_of_state(processor: ProcessorRef, persist_id: str, timeout: float) -> Iterator[None]:
    """Says what to do about a state that was not told in time: it is no command to repeat."""
    try:
        yield
    except NotSent:
        raise
    except CallTimeout as error:
        name = name_of(processor)
        raise StateTimeout(error.command_id, timeout, name, persist_id) from None


def new_command_id() -> str:
    """A command id that nobody else has."""
    return uuid.uuid4().hex
