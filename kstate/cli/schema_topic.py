"""What a log tells of a processor's schemas: which were published when, and what bears them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kstate.cli.reading import committed
from kstate.core.messages import Record
from kstate.core.topics import Topics
from kstate.errors import DecodeError, ProcessorAbsent
from kstate.log.port import Log
from kstate.query.processors import missing

if TYPE_CHECKING:
    from kstate.codec.book import Book


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


def size(log: Log, topics: Topics) -> int:
    """About how many records `counts` reads."""
    return sum(
        each.end - each.start for topic in _counted(topics) for each in log.ends(topic).values()
    )


def counts(log: Log, topics: Topics, book: Book, watch: Callable[[int], object]) -> Counter[str]:
    """How many commands, events, snapshots and replies bear each fingerprint (hexadecimal)."""
    from kstate.codec.snapshots import Envelopes
    from kstate.codec.writers import MAGIC

    envelopes = Envelopes(book)

    def state_of(record: Record) -> bytes | None:
        if (record.key or b"\0").startswith(b"\0") or record.value is None:
            return None  # of the partition's own records
        try:
            return envelopes.decode(record.value)[1]
        except DecodeError:
            return None  # no snapshot of this kind: it bears no state that could be counted

    found: Counter[str] = Counter()
    for topic in _counted(topics):
        for record in committed(log, topic, watch=watch):
            value = state_of(record) if topic == topics.snapshots else record.value
            if value is not None and value[:2] == MAGIC:
                found[value[2:10].hex()] += 1
    return found


def _counted(topics: Topics) -> tuple[str, ...]:
    return topics.commands, topics.journal, topics.snapshots, topics.replies
