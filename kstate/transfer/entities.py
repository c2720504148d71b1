"""What is known of the entities of one partition while it is copied."""

from __future__ import annotations

from typing import NamedTuple

from kstate.codec.book import Book
from kstate.codec.forms import HEADER_BYTES
from kstate.codec.snapshots import FIRST_SCHEMA, SNAPSHOT_SCHEMA, Envelopes
from kstate.codec.wire import read_long
from kstate.codec.writers import header
from kstate.core.messages import Record
from kstate.errors import ArchiveError, JournalError

REGISTERED = b"\0"
"""The first byte of values that bear the id of a schema registry."""
_HEADS = (header(SNAPSHOT_SCHEMA), header(FIRST_SCHEMA))


class Known(NamedTuple):
    """An entity's newest snapshot."""

    seq: int
    removed: int  # events up to this seq are gone, or on their way
    offset: int  # of the snapshot


NONE = Known(0, 0, -1)


class Entities:
    """Of each persist id its newest snapshot, and which of its events there are."""

    def __init__(self, book: Book) -> None:
        self.snapshots: dict[bytes, Known] = {}
        self._envelopes = Envelopes(book)
        self._first: dict[bytes, int] = {}  # of the newest run of events without a hole
        self._last: dict[bytes, int] = {}

    def snapshot(self, record: Record) -> None:
        """Takes note of a snapshot.

        Raises `DecodeError`, and `ArchiveError` for one that bears the ids of a schema registry.
        """
        key, value = record.key or b"", record.value
        if value is None:
            self.snapshots.pop(key, None)
            return
        envelope, state = self._envelopes.decode(value)
        kept = [state, *(reply for _, _, reply in envelope.recent.values())]
        if any(each is not None and each[:1] == REGISTERED for each in kept):
            raise registered(f"the snapshot of {key.decode(errors='replace')!r}")
        self.snapshots[key] = Known(envelope.seq, envelope.removed, record.offset)

    def gone(self, key: bytes, seq: int) -> bool:
        """Whether an event was removed, though it may still be read."""
        return seq <= self.snapshots.get(key, NONE).removed

    def event(self, key: bytes, seq: int) -> None:
        """Takes note of an event; raises `JournalError` for one that came before."""
        last = self._last.get(key)
        if last is None or seq > last + 1:
            self._first[key] = seq  # what is missing was removed, or `check` says so
        elif seq <= last:
            raise JournalError(
                f"the journal of {key.decode(errors='replace')!r} is broken: seq {seq} is repeated"
            )
        self._last[key] = seq

    def check(self) -> None:
        """Raises `JournalError` where neither events nor a snapshot lead up to an event."""
        for key, first in self._first.items():
            covered = self.snapshots.get(key, NONE).seq
            if first > covered + 1:
                raise JournalError(
                    f"the journal of {key.decode(errors='replace')!r} is broken: seq {first} "
                    f"follows {covered}; if its events were removed at this moment, export once "
                    "more into a new directory"
                )


def registered(what: str) -> ArchiveError:
    """The error of values whose schemas are elsewhere."""
    return ArchiveError(
        f"{what} bears the id of a schema registry, whose schemas an archive does not hold: back "
        "the topics up together with the registry, by the tools of Kafka"
    )


def unbound(value: bytes) -> bytes:
    """A snapshot for another journal: its ``journal_offset``, a lower bound, is 0.

    Everything else stays, byte for byte.  Raises `ArchiveError` for an envelope of a newer kstate.
    """
    if value[:HEADER_BYTES] not in _HEADS:
        raise ArchiveError("the archive has snapshots of a newer kstate: update kstate")
    _, pos = read_long(value, HEADER_BYTES)
    _, pos = read_long(value, pos)
    _, end = read_long(value, pos)
    return value[:pos] + b"\0" + value[end:]
