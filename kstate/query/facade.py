"""Queries as a client offers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kstate.query.events import StoredEvent
from kstate.query.journal import Journal
from kstate.query.processors import ProcessorRef


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
        live: bool = False,
    ) -> Iterator[StoredEvent]:
        """The events of one persist id in seq order; with ``live`` further ones as they come."""
        return self._journal_of(processor).by_id(
            persist_id, from_seq=from_seq, to_seq=to_seq, live=live, stop=self._stop
        )

    def by_tag(
        self, processor: ProcessorRef, tag: str, *, after: str | None = None, live: bool = False
    ) -> Iterator[StoredEvent]:
        """The events with a tag, ``after`` the position of an event found before."""
        return self._journal_of(processor).by_tag(tag, after=after, live=live, stop=self._stop)

    def all(
        self, processor: ProcessorRef, *, after: str | None = None, live: bool = False
    ) -> Iterator[StoredEvent]:
        """Every event of a processor."""
        return self._journal_of(processor).all(after=after, live=live, stop=self._stop)
