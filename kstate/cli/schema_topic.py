"""What a log tells of a processor's schemas: which were published when, and what bears them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kstate.cli.reading import committed
from kstate.config import Config
from kstate.core.messages import Record
from kstate.core.topics import Topics
from kstate.errors import DecodeError, ProcessorAbsent
from kstate.log.port import Log
from kstate.query.processors import missing

if TYPE_CHECKING:
    from kstate.codec.book import Book
    from kstate.codec.registry import Ids

REASONS = 3
"""How many reasons are told of records that were not counted."""


@dataclass(frozen=True, slots=True)
class Published:
    """The schemas topic: its schemas, and the first record of each by its fingerprint."""

    book: Book
    first: dict[str, Record]


def published(log: Log, topics: Topics) -> Published:
    """Reads the schemas topic; raises `ProcessorAbsent` when there is none."""
    from kstate.codec.book import Book
    from kstate.codec.schemas import load

    if topics.schemas not in log.topics([topics.schemas]):
        raise ProcessorAbsent(missing(topics))
    found = Published(Book(), {})
    for record in committed(log, topics.schemas):
        if load([(record.key, record.value, record.headers)], found.book):
            found.first.setdefault((record.key or b"").decode(), record)
    return found


def ids_of(config: Config, book: Book) -> Ids | None:
    """What reads the ids of the schema registry, with its schemas in ``book``; None without one."""
    from kstate.codec.registry import Ids
    from kstate.wiring import open_registry

    registry = open_registry(config.registry)
    return None if registry is None else Ids(registry, book)


def size(log: Log, topics: Topics) -> int:
    """About how many records `counts` reads."""
    return sum(
        each.end - each.start for topic in _counted(topics) for each in log.ends(topic).values()
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """How many commands, events, snapshots and replies bear each schema."""

    records: Counter[str]  # by its fingerprint, hexadecimal
    unknown: Counter[str]  # in Confluent's wire format and not to be told: by the reason

    def sentence(self, processor: str) -> str | None:
        """What could not be counted, and why; None where everything was."""
        if not self.unknown:
            return None
        count, reasons = self.unknown.total(), list(self.unknown)
        of = "record" if count == 1 else "records"
        verb = "is" if count == 1 else "are"
        told, more = reasons[:REASONS], len(reasons) - REASONS
        if more > 0:
            told.append(f"and {more:,} further ids")
        return f"{count:,} {of} of {processor} {verb} not counted: {'; '.join(told)}"


def counts(
    log: Log, topics: Topics, book: Book, ids: Ids | None, watch: Callable[[int], object]
) -> Counts:
    """Reads all records that bear a schema; ``ids`` are those of the registry, if there is one.

    Raises `LogUnavailable` while the registry is away.
    """
    from kstate.codec.forms import HEADER_BYTES
    from kstate.codec.snapshots import Envelopes
    from kstate.codec.writers import CONFLUENT_BYTES, MAGIC, is_confluent

    envelopes = Envelopes(book)

    def state_of(record: Record) -> bytes | None:
        if (record.key or b"\0").startswith(b"\0") or record.value is None:
            return None  # of the partition's own records
        try:
            return envelopes.decode(record.value)[1]
        except DecodeError:
            return None  # no snapshot of this kind: it bears no state that could be counted

    found = Counts(Counter(), Counter())
    places: dict[bytes, tuple[Counter[str], str]] = {}  # of Confluent's heads, each asked for once
    for topic in _counted(topics):
        for record in committed(log, topic, watch=watch):
            value = state_of(record) if topic == topics.snapshots else record.value
            if not value:
                continue
            if value[:2] == MAGIC:
                found.records[value[2:HEADER_BYTES].hex()] += 1
            elif is_confluent(value) and len(value) >= CONFLUENT_BYTES:
                head = value[:CONFLUENT_BYTES]
                if head not in places:
                    places[head] = _place(found, ids, head)
                counter, name = places[head]
                counter[name] += 1
    return found


def _place(found: Counts, ids: Ids | None, head: bytes) -> tuple[Counter[str], str]:
    """Where records with a head of Confluent's wire format are counted, and under which name."""
    from kstate.codec.avro import NEEDS_REGISTRY
    from kstate.codec.registry_codec import single

    if ids is None:
        return found.unknown, NEEDS_REGISTRY
    try:
        return found.records, (single(ids, head) or b"")[2:].hex()
    except DecodeError as error:
        return found.unknown, str(error)


def _counted(topics: Topics) -> tuple[str, ...]:
    return topics.commands, topics.journal, topics.snapshots, topics.replies
