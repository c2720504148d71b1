"""A batch: what the next commands of a partition would make of it, until the log has committed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from kstate.core.context import Effect
from kstate.core.entity import Entity
from kstate.core.messages import Write, WriteRow

if TYPE_CHECKING:
    from kstate.core.removal import Gone


@dataclass(slots=True)
class Counts:
    """What was done, since the worker took its seat; `add` takes over a batch's."""

    commands: int = 0
    events: int = 0
    replies: int = 0
    rejected: int = 0
    conflicts: int = 0
    duplicates: int = 0
    failed: int = 0  # handlers that raised
    refused: int = 0  # records that were no command
    dead_letters: int = 0
    replies_refused: int = 0  # reply-to not on the list
    forwarded: int = 0
    sent: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0  # automatic ones whose state does not encode
    evicted: int = 0
    erased: int = 0  # entities
    removed: int = 0  # events, by tombstones

    def add(self, other: Counts) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Fault(NamedTuple):
    """Something to tell the operator: a command that did not run, a snapshot not taken."""

    what: str
    partition: int
    offset: int
    key: bytes | None
    error: Exception


class CommittedEvent(NamedTuple):
    """A committed event, for subscribers in the same program."""

    persist_id: str
    seq: int
    event: Any
    tags: tuple[str, ...]
    at: int  # milliseconds since the epoch


class Batch:
    """The overlay of one partition, its records, and what is to be done once they are committed."""

    __slots__ = (
        "bytes",
        "counts",
        "covers",
        "created",
        "due",
        "effects",
        "events",
        "evicting",
        "faults",
        "floor",
        "gone",
        "grown",
        "letters",
        "moved",
        "next",
        "now",
        "overlay",
        "position",
        "snapshots",
        "source",
        "stuck",
        "tombstones",
        "writes",
    )

    def __init__(self, partition: int, next_offset: int, source: int, floor: int) -> None:
        self.next = next_offset  # offset of the next command
        self.source = source  # command offset of the newest event
        self.position = b"%d:%d" % (partition, source)  # the same, as records tell it
        self.floor = floor  # the batch's own journal records get this offset or larger ones
        self.now = 0  # milliseconds since the epoch: the time of its newest command
        self.bytes = 0  # of its events
        self.created = 0  # persist ids that get their first event
        self.grown = 0  # bytes by which the entities on the overlay grow
        self.overlay: dict[bytes, Entity] = {}
        self.moved: dict[bytes, None] = {}  # keys with events that no snapshot in the batch covers
        self.due: dict[bytes, None] = {}  # keys that have enough events for the next snapshot
        self.covers: dict[bytes, int] = {}  # key → seq of its newest snapshot in this batch
        self.evicting: list[bytes] = []
        self.gone: dict[bytes, Gone] = {}  # of entities with events that it removes
        self.tombstones = 0  # for events
        self.stuck: dict[bytes, int] = {}  # key → seq at which its snapshot did not encode
        self.writes: list[WriteRow] = []
        self.letters: list[Write] = []  # dead ones, which an erasure in the batch may take back
        self.snapshots: dict[bytes, bytes] = {}
        self.effects: list[Effect] = []
        self.events: list[CommittedEvent] = []
        self.faults: list[Fault] = []
        self.counts = Counts()

    def take_writes(self) -> list[WriteRow]:
        """The records so far, which are the caller's from now on."""
        writes, self.writes = self.writes, []
        return writes
