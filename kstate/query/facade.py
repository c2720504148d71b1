"""Queries as a client offers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Unpack

from kstate.query.events import StoredEvent
from kstate.query.journal import Journal
from kstate.query.processors import ProcessorRef
from kstate.query.wanted import EventType, Selection


class Events:
    """Queries over journals; a live one ends when ``stop`` is true."""

    def __init__(
        self, journal_of: Callable[[ProcessorRef], Journal], stop: Callable[[], bool]
    ) -> None:
        self._journal_of = journal_of
        self._stop = stop

    def by_id(
        self,
        processor: ProcessorRef,
        persist_id: str,
        *,
        from_seq: int = 1,
        to_seq: int | None = None,
        since: datetime | None = None,
        after: str | None = None,
        live: bool = False,
    ) -> Iterator[StoredEvent]:
        """The events of one persist id in seq order; with ``live`` further ones as they come.

        ``after`` is the position of an event found before: those behind it.
        """
        return self._journal_of(processor).by_id(
            persist_id,
            from_seq=from_seq,
            to_seq=to_seq,
            since=since,
            after=after,
            live=live,
            stop=self._stop,
        )

    def by_tag(
        self, processor: ProcessorRef, *tags: str, **selection: Unpack[Selection]
    ) -> Iterator[StoredEvent]:
        """The events that bear any of the tags; see `all`."""
        selection["any_of"] = (*tags, *selection.get("any_of", ()))
        return self.all(processor, **selection)

    def by_type(
        self, processor: ProcessorRef, *events: EventType, **selection: Unpack[Selection]
    ) -> Iterator[StoredEvent]:
        """The events of these classes, or stored under these names; see `all`."""
        selection["types"] = (*events, *selection.get("types", ()))
        return self.all(processor, **selection)

    def all(self, processor: ProcessorRef, **selection: Unpack[Selection]) -> Iterator[StoredEvent]:
        """Every event of a processor, or those that `Selection` says.

        Events of a persist id come in the order of their seqs; across persist ids in no order, or
        with ``in_time_order`` by their times.
        """
        return self._journal_of(processor).all(stop=self._stop, **selection)

    def ids(self, processor: ProcessorRef, *, live: bool = False) -> Iterator[str]:
        """The persist ids that have events and were not deleted, sorted; with ``live`` further
        ones as they come to exist, and those that begin anew after they were deleted."""
        journal = self._journal_of(processor)
        return journal.live_ids(stop=self._stop) if live else iter(journal.ids())

    def wait_for(self, processor: ProcessorRef, position: str, timeout: float = 10.0) -> None:
        """Returns once every query can see the events of a command answered with this position;
        see `Client.call_with_position`.  Raises `LogUnavailable` after ``timeout`` seconds."""
        self._journal_of(processor).wait_for(position, timeout)
