"""What a verification finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["damage", "note"]

Kind = Literal[
    "gap",
    "tombstone",
    "duplicate",
    "order",
    "partition",
    "foreign",
    "schema",
    "unreadable",
    "fold",
    "snapshot",
    "low-water",
    "source",
    "transaction",
    "dead-letters",
    "version",
]
KINDS: tuple[str, ...] = get_args(Kind)
NOTES: frozenset[str] = frozenset(("dead-letters", "version"))
"""Kinds that tell something and are no damage."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: what is wrong and what to do, in a sentence."""

    kind: Kind
    topic: str
    partition: int
    offset: int  # of the record at which it shows
    persist_id: str | None  # None where the record has none that can be told
    seq: int | None  # of the event or the snapshot
    sentence: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Place:
    """A partition of a topic, where findings are made."""

    topic: str
    partition: int

    def finding(
        self, kind: Kind, offset: int, sentence: str, key: bytes | None = None, seq: int = 0
    ) -> Finding:
        """What was found at an offset, of the persist id with this key; ``seq=0``: of none."""
        return Finding(
            kind=kind,
            topic=self.topic,
            partition=self.partition,
            offset=offset,
            persist_id=None if key is None else key.decode(errors="replace"),
            seq=seq or None,
            sentence=sentence,
            severity="note" if kind in NOTES else "damage",
        )


@dataclass(slots=True)
class Counts:
    """What was looked at, and what was found of it."""

    partitions: int = 0
    events: int = 0  # tombstones do not count
    persist_ids: int = 0  # with at least one event
    snapshots: int = 0  # replaced ones count
    compared: int = 0  # newest snapshots that were held against a fold
    dead_letters: int = 0
    damages: int = 0
    notes: int = 0

    def add(self, finding: Finding) -> None:
        """Counts a finding."""
        if finding.severity == "damage":
            self.damages += 1
        else:
            self.notes += 1
