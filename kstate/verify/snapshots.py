"""The snapshots of a partition: the newest of each persist id, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import NamedTuple

from kstate.core.messages import ImportMark, Progress, Record
from kstate.core.partition import partition_for
from kstate.core.topics import CHECKPOINT_KEY, decode_persist_id
from kstate.errors import BadPersistId
from kstate.verify.findings import Finding, Place
from kstate.verify.values import Fault, Values

UNKNOWN_SEQ = 2**63
"""Stands for the seq of a snapshot that cannot be read: it may cover any event."""


class Held:
    """The newest snapshot of a persist id, and the newest that today's code takes."""

    __slots__ = (
        *("erased", "fault", "gone", "offset", "seq"),
        *("usable_offset", "usable_seq", "value"),
    )

    def __init__(self) -> None:
        self.seq = 0
        self.offset = -1
        self.fault: Fault | None = None  # what is wrong with the newest one
        self.erased = 0  # the seq after which its state began anew
        self.gone = 0  # the seq up to which any of its snapshots says that events were removed
        self.usable_seq = 0  # 0: today's code takes none
        self.usable_offset = -1
        self.value: bytes | None = None  # of the usable one, where states are compared


class Lonely(NamedTuple):
    """The snapshot of a persist id without events."""

    key: bytes
    seq: int
    offset: int


class Snapshots:
    """What stands in one partition of the snapshots topic.

    ``keep_values``: states are to be compared with folds; else a few numbers per persist id are
    kept.
    """

    def __init__(self, place: Place, partitions: int, values: Values, keep_values: bool) -> None:
        self.held: dict[bytes, Held] = {}
        self.noted: Progress | None = None  # the newest checkpoint record
        self.read = 0
        self.importing = False  # what was imported so far ends with a mark instead of a progress
        self._place = place
        self._partitions = partitions
        self._values = values
        self._keep_values = keep_values

    def take(self, records: Sequence[Record]) -> Iterator[Finding]:
        """Takes over records of the topic, in their order."""
        for record in records:
            key = record.key
            if key == CHECKPOINT_KEY:
                yield from self._checkpoint(record)
            elif key is not None and key in self.held:
                self._newest(self.held, key, record)
            else:
                yield from self._first(record)

    def _checkpoint(self, record: Record) -> Iterator[Finding]:
        if record.value is None:
            return
        noted = Progress.parse_note(record.value)
        self.importing = ImportMark.parse_note(record.value) is not None
        if noted is not None:
            self.noted = noted
        if noted is not None or self.importing:  # a worker refuses an import, and says why
            return
        yield self._place.finding(
            "foreign",
            record.offset,
            f"the checkpoint record holds {record.value[:40]!r}, which is no progress: another "
            "program or a newer kstate wrote it; find out which, and verify with the newest kstate",
        )

    def _first(self, record: Record) -> Iterator[Finding]:
        """The first record of a persist id."""
        key = record.key
        try:
            decode_persist_id(key)
        except BadPersistId as error:
            yield self._place.finding(
                "foreign",
                record.offset,
                f"the record is no snapshot: {error}; find out which program writes to this topic, "
                "and take its right to do so away",
                key,
            )
            return
        assert key is not None
        owner = partition_for(key, self._partitions)
        if owner != self._place.partition:
            yield self._place.finding(
                "partition",
                record.offset,
                f"the snapshot belongs to partition {owner} by its key, and nobody looks for it "
                "here: find out which program wrote it",
                key,
            )
            return
        self._newest(self.held, key, record)

    def _newest(self, held: dict[bytes, Held], key: bytes, record: Record) -> None:
        if record.value is None:
            held.pop(key, None)
            return
        self.read += 1
        found = self._values.snapshot(record.value)
        each = held.get(key)
        if each is None:
            each = held[key] = Held()
        each.offset = record.offset
        if isinstance(found, Fault):
            each.fault, each.seq = found, UNKNOWN_SEQ
            return
        each.fault = None
        each.erased = found.erased
        each.seq = found.seq
        each.gone = max(each.gone, found.removed, found.erased)
        if found.usable:
            each.usable_seq, each.usable_offset = found.seq, record.offset
            each.value = record.value if self._keep_values else None

    def end(self, snapshot_version: int | None) -> Iterator[Finding]:
        """What is wrong with the newest ones, after the last record."""
        of_others, newest = 0, -1
        for key, held in self.held.items():
            if held.fault is not None:
                kind, reason = held.fault
                yield self._place.finding(kind, held.offset, _unreadable(reason, held), key)
            elif held.usable_offset != held.offset:
                of_others, newest = of_others + 1, max(newest, held.offset)
        if of_others:
            yield self._place.finding(
                "version",
                newest,
                f"{of_others} of the snapshots are not of the snapshot_version {snapshot_version} "
                "of the code given: they are not compared, and a worker with this code rebuilds "
                "their entities from the journal",
            )

    def covering(self, key: bytes) -> int:
        """The seq up to which a snapshot stands for missing events; 0: none does."""
        held = self.held.get(key)
        return 0 if held is None else held.usable_seq

    def gone(self, key: bytes) -> int:
        """The seq up to which events were removed by kstate; 0: none were."""
        held = self.held.get(key)
        return 0 if held is None else held.gone

    def told(self, key: bytes) -> bool:
        """Whether it is known how many events were removed: what cannot be read tells nothing."""
        held = self.held.get(key)
        return held is not None and held.fault is None

    def lonely(self, events: Container[bytes]) -> list[Lonely]:
        """The snapshots of persist ids without events, though not all were removed."""
        return [
            Lonely(key, held.seq, held.offset)
            for key, held in self.held.items()
            if key not in events and held.fault is None and held.seq > held.gone
        ]

    def lost(self, each: Lonely) -> Finding:
        """What is wrong with the snapshot of a persist id without events."""
        return self._place.finding(
            "snapshot",
            each.offset,
            f"the journal has no event of it, but the newest snapshot is at seq {each.seq}, and "
            f"{told_of(self.gone(each.key))}: events were lost; workers go on with the snapshot, "
            "and the history cannot be folded any more: restore the journal from a backup",
            each.key,
            each.seq,
        )


def _unreadable(reason: str, held: Held) -> str:
    older = f"the older one at seq {held.usable_seq}" if held.usable_seq else "its first event"
    return (
        f"the newest snapshot cannot be used: {reason}; a worker rebuilds the entity from {older} "
        "while the journal still has the events since: run code that reads it, or have a worker "
        "snapshot the entity anew"
    )


def told_of(gone: int) -> str:
    """What a snapshot does: it says how many events were removed."""
    return f"tells of removed events up to {gone} only" if gone else "tells of no removed events"


Take = Callable[[Sequence[Record]], Iterator[Finding]]
