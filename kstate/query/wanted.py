"""Which events a query looks for, told by the key and the headers of their records alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple, TypedDict

from kstate.core.messages import Headers, Record
from kstate.errors import ConfigError
from kstate.log.port import Choice

EventType = type | str
"""An event's class, or the name it is stored under."""


class Selection(TypedDict, total=False):
    """What a query may be given; all of it must hold."""

    any_of: Iterable[str]
    """Tags: the event bears one of them."""
    all_of: Iterable[str]
    """Tags: it bears all of them."""
    none_of: Iterable[str]
    """Tags: it bears none of them."""
    types: Iterable[EventType]
    """It was stored under one of these names, or the name or a former one of one of these classes.
    What adapters make of an event is not looked at."""
    after: str | None
    """It lies behind this position, that of an event found before."""
    from_offset: int
    """It lies at this offset of its partition or later."""
    since: datetime | None
    """It is of about this time or later: from the first record of a partition that is."""
    in_time_order: bool
    """By the events' times across partitions; not with ``live``."""
    live: bool
    """Wait for further ones."""


class Wanted(NamedTuple):
    """All that is given must hold; tags and types are as headers have them."""

    key: bytes | None = None
    any_of: frozenset[bytes] = frozenset()  # it bears one of these tags
    all_of: frozenset[bytes] = frozenset()  # and all of these
    none_of: frozenset[bytes] = frozenset()  # and none of these
    types: frozenset[bytes] = frozenset()  # it is stored under one of these names

    @property
    def everything(self) -> bool:
        """Whether every event is wanted."""
        return self == Wanted()

    def choice(self) -> Choice | None:
        """Whether headers are of one of these; None when all are."""
        rest = self._replace(key=None)
        if rest.everything:
            return None
        if len(self.any_of) == 1 and rest == Wanted(any_of=self.any_of):
            return _with_header("tag", next(iter(self.any_of)))
        if len(self.types) == 1 and rest == Wanted(types=self.types):
            return _with_header("type", next(iter(self.types)))
        return lambda headers: _holds(rest, headers)

    def filter(self) -> Callable[[Record], bool]:
        """Whether a journal record may be one of these; its key tells of the persist id."""
        choice = self.choice()
        if self.key is not None:
            beginning = self.key + b"@"
            return lambda record: (
                (record[2] or b"").startswith(beginning) and (choice is None or choice(record[4]))
            )
        if choice is None:
            return lambda _: True
        return lambda record: choice(record[4])


def _with_header(name: str, value: bytes) -> Choice:
    wanted = (name, value)
    return lambda headers: wanted in headers


def _holds(wanted: Wanted, headers: Headers) -> bool:
    tags = {value for name, value in headers if name == "tag"}
    if wanted.types and not any(n == "type" and v in wanted.types for n, v in headers):
        return False
    if wanted.any_of and wanted.any_of.isdisjoint(tags):
        return False
    return wanted.all_of <= tags and wanted.none_of.isdisjoint(tags)


def wanted_of(selection: Selection) -> Wanted:
    """What a caller gives, as headers have it; raises `ConfigError` for what is no name."""
    types = selection.get("types", ())
    if isinstance(types, str | type):
        types = (types,)
    return Wanted(
        any_of=_names(selection.get("any_of", ()), "tag"),
        all_of=_names(selection.get("all_of", ()), "tag"),
        none_of=_names(selection.get("none_of", ()), "tag"),
        types=_names((name for each in types for name in _stored_as(each)), "type"),
    )


def _stored_as(event_type: EventType) -> tuple[str, ...]:
    """The names an event may be stored under: its class's, and its former ones, to which a schema
    may give a namespace."""
    if isinstance(event_type, str):
        return (event_type,)
    former = (each.rpartition(".")[2] for each in getattr(event_type, "avro_aliases", ()))
    return (event_type.__name__, *former)


def _names(given: Iterable[str], what: str) -> frozenset[bytes]:
    if isinstance(given, str):
        raise ConfigError(f"{given!r} is one {what}: give a list of them, like [{given!r}]")
    names = list(given)
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{name!r} is no {what}: a {what} is a non-empty text")
    return frozenset(name.encode() for name in names)
