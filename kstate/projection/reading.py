"""Journal records as those who follow a journal take them: with the events they handle."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from kstate.codec.port import Messages
from kstate.core.adapters import EventAdapter, overrides
from kstate.core.messages import Record
from kstate.errors import DecodeError
from kstate.processor import Processor, definition_of
from kstate.query.events import NOTED, StoredEvent, event_of, stored_events


class Taken(NamedTuple):
    """A record, and what its handlers get; ``error``: why it cannot be read."""

    offset: int
    match: StoredEvent | None  # None: no event
    events: tuple[StoredEvent, ...]
    error: DecodeError | None


def persist_id_of(match: StoredEvent) -> str:
    """The persist id, also of a record that kstate did not write."""
    return match.key.decode(errors="backslashreplace")


class Reading:
    """Reads the journal of a processor for those who handle events of some types."""

    def __init__(
        self, messages: Messages, source: type[Processor[Any]], handled: Collection[type]
    ) -> None:
        self._messages = messages
        self._handled = frozenset(handled)
        self._unread = {NOTED} | _unread(source, self._handled)

    def take(self, record: Record) -> Taken:
        """What a record holds for the handlers.  Never raises for what stands in it."""
        match = event_of(record)
        if match is None or match.type in self._unread:
            return Taken(record.offset, match, (), None)
        try:
            found = stored_events(self._messages, match)
            events = tuple(each for each in found if type(each.event) in self._handled)
        except DecodeError as error:
            return Taken(record.offset, match, (), error)
        except UnicodeDecodeError:
            foreign = DecodeError("the record's key is not UTF-8: kstate did not write it")
            return Taken(record.offset, match, (), foreign)
        return Taken(record.offset, match, events, None)


def _unread(source: type[Processor[Any]], handled: frozenset[type]) -> set[str]:
    """The stored names of events that nobody handles, so that they need not be decoded.

    A name that is no type's of today is read: it may be the former name of a type that is handled.
    Whatever adapters read may become anything.
    """
    definition = definition_of(source)
    handled_names = {each.__name__ for each in handled}
    for each in handled:
        handled_names.update(getattr(each, "avro_aliases", ()))
    names = {each.__name__ for each in definition.folds} - handled_names
    for adapter in definition.adapters:
        if isinstance(adapter, EventAdapter) and overrides(adapter, "from_journal"):
            if adapter.reads is None:
                return set()
            names -= set(adapter.reads)
    return names
