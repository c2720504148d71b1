"""Adapters: what stands between an event or a state as the code knows it and as it is stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

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


class Stored(NamedTuple):
    """A record of the journal, or the state in a snapshot, before it becomes a dataclass.

    ``name`` is its type's, without a namespace.  ``data`` has a value for each field: numbers,
    texts, bytes, Decimals, datetimes, dates and UUIDs as they are; an enum's member by its name;
    records as dicts, and where a field may be one of several records ``{"Name": {…}}``; lists and
    dicts.  What was read is not to be changed in place: give a new `Stored`.
    """

    name: str
    data: Mapping[str, Any]


class Several(tuple[Any, ...]):
    """The events that adapters made of one stored record, when they are not exactly one."""

    __slots__ = ()


def names_of(event: Any) -> str:
    """What an event is called in an error; `Several` are named one by one."""
    if type(event) is Several:
        return ", ".join(type(each).__name__ for each in event) or "nothing"
    return type(event).__name__


class EventAdapter:
    """Stands between a processor and its journal; a processor lists its adapters in ``adapters``.

    The first one listed is the nearest to the code: on its way to the journal an event passes them
    in this order, on its way back in the reverse one.  All methods are pure: the same live, in
    recovery, in queries and in checks.
    """

    reads: ClassVar[Collection[str] | None] = None
    """Names of the stored types that `from_journal` is asked about; None: all.  Events of other
    types are read at full speed."""
    writes: ClassVar[Sequence[type]] = ()
    """Classes that `to_journal` may give and that have no ``@event`` fold: they are stored only."""
    tags: ClassVar[Sequence[str]] = ()
    """The tags that `to_journal` may give, for the pages of ``kstate schema docs``."""

    def to_journal(self, event: Any) -> Any:
        """The event as it is, ``tagged(event, ...)``, or another event to be stored in its place.

        The state is folded from the event itself: what `from_journal` makes of the stored one must
        fold to the same.
        """
        return event

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        """What a stored record is to today's code: itself, others in its place, or nothing.

        All that it becomes has the record's seq.
        """
        return (stored,)

    def examples(self) -> Iterable[Stored]:
        """Stored records to try `from_journal` with, where made-up values would not do.

        ``kstate schema check`` and ``run`` try each stored type with values of their own making,
        unless there are examples of it.
        """
        return ()


class SnapshotAdapter:
    """Reads states of older types; listed in ``adapters`` like event adapters, in their order.

    It is asked about states whose schema is not today's.  Without one they are read as Avro
    resolves them, and where it cannot, they are rebuilt from the journal.
    """

    reads: ClassVar[Collection[str] | None] = None
    """Names of the state types that `from_snapshot` is asked about; None: all."""

    def from_snapshot(self, stored: Stored) -> Stored:
        """The state as today's type, or as one that the next adapter knows.  Pure."""
        return stored

    def examples(self) -> Iterable[Stored]:
        """Stored states to try `from_snapshot` with; see `EventAdapter.examples`."""
        return ()


Adapter = EventAdapter | SnapshotAdapter


def overrides(adapter: Adapter, method: str) -> bool:
    """Whether an adapter has a method of its own instead of that of its base, which does nothing.

    >>> overrides(EventAdapter(), "to_journal")
    False
    """
    base = EventAdapter if isinstance(adapter, EventAdapter) else SnapshotAdapter
    return getattr(type(adapter), method) is not getattr(base, method)
