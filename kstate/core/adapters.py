"""Event adapters: what stands between an event as the code knows it and as the journal keeps it."""

from __future__ import annotations

from typing import Any, NamedTuple

MAX_TAG_BYTES = 2048
"""All tags of one event together, as UTF-8, with `TAG_HEADER_BYTES` for each."""
TAG_HEADER_BYTES = 8
"""What a tag takes in a record beside its text: it is a header of its own."""


class Tagged(NamedTuple):
    """An event with tags, which stand in the record's headers so that a query can skip it."""

    event: Any
    tags: tuple[str, ...]


def tagged(event: Any, *tags: str) -> Tagged:
    """``event`` with ``tags`` added to those it may already have."""
    if isinstance(event, Tagged):
        return Tagged(event.event, event.tags + tags)
    return Tagged(event, tags)


class EventAdapter:
    """Stands on the write side of the journal; a processor lists its adapters in ``adapters``."""

    def to_journal(self, event: Any) -> Any:
        """The event as it is, or ``tagged(event, ...)``.  Pure."""
        return event
