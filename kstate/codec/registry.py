"""The ids of a schema registry, as one book knows them.

Confluent's wire format: ``00``, the schema's id in 4 bytes, big-endian, and the datum.  A schema is
registered under its full name (Confluent's RecordNameStrategy); a reply without a name of its own,
such as an ``int``, under that of the record it would be carried in, ``bank.Deposit.Reply``.

What is known of an id is kept for the life of the process, for a registry never gives an id
another meaning: the registry is asked for unknown ones alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from kstate.codec.book import Book, Entry
from kstate.codec.forms import Family, Form, Read
from kstate.codec.wire import Malformed
from kstate.codec.writers import CONFLUENT_BYTES, MAGIC, is_confluent, parse
from kstate.errors import (
    KStateError,
    LogUnavailable,
    RegistryUnavailable,
    SchemaError,
    UnknownSchema,
)

T = TypeVar("T")

RETRY_S = 1.0
"""For how long a registry that did not answer is not asked again."""
ANEW_S = 300.0
"""After how long without a failure the next one counts as that of another outage."""
UNKNOWN_S = 5.0
"""For how long an id that the registry does not know is not asked for again."""
MAX_UNKNOWN = 1_000


class UnknownId(UnknownSchema):
    """Bytes whose schema id has no schema that could be used."""

    def __init__(self, number: int, why: str) -> None:
        self.number = number
        self.fingerprint = head_of(number)[1:]  # what stands in its place
        KStateError.__init__(self, f"the schema with id {number} cannot be had: {why}")


class Asked(Protocol):
    """An open connection to a registry; what it raises while away is `RegistryUnavailable`."""

    def find(self, subject: str, schema: Any) -> int | None:
        """The id of exactly this schema under a subject; None where it is not registered."""

    def register(self, subject: str, schema: Any, what: str) -> int:
        """Registers a schema; its id.  Raises `SchemaError` for one that is refused."""

    def schema(self, number: int) -> Any:
        """The schema of an id; raises `UnknownId`."""


class Registry(Protocol):
    """A schema registry."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    def session(self) -> AbstractContextManager[Asked]:
        """A connection that ends with the block."""


class Wanted(NamedTuple):
    """A schema of today's code that is to be registered."""

    subject: str
    schema: Any
    kind: str  # command, event, state or reply
    type_name: str


def subject_of(form: Form, namespace: str) -> str:
    """Under which subject a form is registered; ``namespace`` is its processor's."""
    return form.written.name() or unnamed(form.type_name, namespace)


def unnamed(type_name: str, namespace: str) -> str:
    """The subject of a schema that has no name, such as that of a reply that is an int."""
    command, dot, reply = type_name.partition(".")
    return f"{namespace}.{command}{dot}{reply.capitalize()}"


def head_of(number: int) -> bytes:
    """The five bytes before a datum."""
    return b"\0" + number.to_bytes(4, "big")


class Ids:
    """Schema ids for one book.  May be used by many threads.

    ``monotonic`` gives seconds.
    """

    def __init__(
        self, registry: Registry, book: Book, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.registry = registry
        self.away_since: float | None = None
        """When the registry was first found away, until it answers again."""
        self._book = book
        self._monotonic = monotonic
        self._entries: dict[int, Entry] = {}
        self._heads: dict[tuple[str, str], bytes] = {}  # by subject and text
        self._unknown: dict[int, tuple[float, UnknownId]] = {}
        self._failure: tuple[float, KStateError] | None = None
        self._served = False

    @property
    def away_s(self) -> float:
        """For how many seconds the registry has been found away; 0 when it answers."""
        return 0.0 if self.away_since is None else self._monotonic() - self.away_since

    # -- to write ----------------------------------------------------------------------------

    def heads(self, wanted: Sequence[Wanted]) -> list[bytes]:
        """What stands before data of these schemas, each registered if it is not yet.

        Raises `SchemaError` for a schema that is refused, `LogUnavailable` while the registry is
        away.
        """
        missing = {_key(each): each for each in wanted if _key(each) not in self._heads}
        if missing:
            with self.registry.session() as session:
                for each in missing.values():
                    self._register(session, each)
                self._answered()
        return [self._heads[_key(each)] for each in wanted]

    def head(self, wanted: Wanted) -> bytes:
        """`heads` of one schema, not sooner than a while after the registry was found away."""
        known = self._heads.get(_key(wanted))
        if known is not None:
            return known
        (found,) = self._bounded(lambda: self.heads([wanted]))
        return found

    def _register(self, session: Asked, wanted: Wanted) -> None:
        number = session.find(wanted.subject, wanted.schema)
        if number is None:
            what = f"the {wanted.kind} {wanted.type_name}"
            number = session.register(wanted.subject, wanted.schema, what)
        self._entries[number] = self._book.meet(wanted.schema, wanted.kind, wanted.type_name)
        self._heads[_key(wanted)] = head_of(number)

    # -- to read -----------------------------------------------------------------------------

    def recall(self, entries: Iterable[Entry], namespace: str) -> None:
        """Learns the ids of schemas that were used before, without registering any.

        Their data is then read even while the registry is away.
        """
        with self.registry.session() as session:
            for entry in entries:
                subject = parse(entry.schema).name() or unnamed(entry.type_name, namespace)
                number = session.find(subject, entry.schema)
                if number is not None:
                    self._entries[number] = entry
            self._answered()

    def entry(self, number: int) -> Entry:
        """The schema of an id.

        Asks the registry for an unknown one.  Raises `UnknownId`; `Malformed` for a schema that
        cannot be used; `LogUnavailable` while the registry cannot tell; `ConfigError` when it
        refuses us and has never answered this process.
        """
        known = self._entries.get(number)
        if known is None:
            schema = self._bounded(lambda: self._fetch(number))
            name = parse(schema).name() or ""
            try:
                known = self._book.meet(schema, "", name.rpartition(".")[2] or f"schema {number}")
            except SchemaError as error:
                raise Malformed(f"its schema {number}: {error}", "unknown-schema") from error
            self._entries[number] = known
        return known

    def known(self, value: bytes) -> Entry | None:
        """The schema of a value that bears an id, as far as it is known without asking."""
        if not is_confluent(value) or len(value) < CONFLUENT_BYTES:
            return None
        return self._entries.get(int.from_bytes(value[1:CONFLUENT_BYTES], "big"))

    def reader(self, family: Family, value: bytes) -> Read:
        """What reads such a value from its sixth byte on; raises as `entry` does."""
        return family.reader(MAGIC + self._entry_of(value).fingerprint)

    def single(self, value: bytes | None) -> bytes | None:
        """A value in single-object encoding: as it is, or with another head."""
        if value is None or not is_confluent(value):
            return value
        return MAGIC + self._entry_of(value).fingerprint + value[CONFLUENT_BYTES:]

    def _entry_of(self, value: bytes) -> Entry:
        if len(value) < CONFLUENT_BYTES:
            raise Malformed("it ends within its header", "truncated")
        return self.entry(int.from_bytes(value[1:CONFLUENT_BYTES], "big"))

    def _fetch(self, number: int) -> Any:
        known = self._unknown.get(number)
        if known is not None and self._monotonic() < known[0]:
            raise known[1]
        try:
            with self.registry.session() as session:
                schema = session.schema(number)
                parse(schema)
        except UnknownId as error:
            self._answered()
            self._forget_unknown(number, error)
            raise
        except SchemaError as error:
            self._answered()
            unusable = UnknownId(number, str(error))
            self._forget_unknown(number, unusable)
            raise unusable from error
        self._answered()
        return schema

    def _forget_unknown(self, number: int, error: UnknownId) -> None:
        if len(self._unknown) >= MAX_UNKNOWN:
            self._unknown.clear()  # of made-up ids there is no end
        self._unknown[number] = self._monotonic() + UNKNOWN_S, error

    # -- a registry that is away -------------------------------------------------------------

    def _bounded(self, ask: Callable[[], T]) -> T:
        """Asks, unless the registry was found away a moment ago."""
        if self._failure is not None and self._monotonic() < self._failure[0]:
            raise self._failure[1]
        try:
            return ask()
        except (UnknownId, SchemaError):
            raise
        except KStateError as error:
            # what refuses us from the first is set wrongly; later it is no reason for a running
            # worker to end: credentials and certificates are renewed
            passing = isinstance(error, LogUnavailable) or not self._served
            away = error if passing else RegistryUnavailable(str(error))
            now = self._monotonic()
            if self._failure is None or now > self._failure[0] + ANEW_S:
                self.away_since = now
            self._failure = now + RETRY_S, away
            if away is error:
                raise
            raise away from error

    def _answered(self) -> None:
        self._served = True
        self._failure = self.away_since = None


def _key(wanted: Wanted) -> tuple[str, str]:
    return wanted.subject, repr(wanted.schema)
