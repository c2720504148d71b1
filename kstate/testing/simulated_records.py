"""Partitions of a simulated log: records, transactions and their markers, holes and tombstones."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from kstate.core.messages import Record, Write
from kstate.log.port import Committed, Ends, TopicInfo, TopicSpec

MAX_RECORD_BYTES = 1_048_576


class Transaction:
    """What one life of a producer writes between a beginning and an end."""

    __slots__ = ("began_s", "committed", "decided", "epoch", "instance", "offsets", "places")

    def __init__(self, instance: str, epoch: int, began_s: float) -> None:
        self.instance = instance
        self.epoch = epoch
        self.began_s = began_s
        self.places: list[Partition] = []  # where it wrote, in the order of its first records
        self.offsets: dict[tuple[str, int], Committed] = {}  # (group, partition) → progress
        self.decided = False  # its end is written down; its markers follow
        self.committed = False


class Entry(NamedTuple):
    """What stands at one offset: a record, or the marker of a transaction's end."""

    offset: int
    record: Record | None  # None: a marker
    transaction: Transaction | None
    at_ms: int

    @property
    def committed(self) -> bool:
        """Whether this is a record that counts, as far as it is decided by now."""
        if self.record is None:
            return False
        return self.transaction is None or self.transaction.committed


class Partition:
    """One partition.  ``history`` has all that was ever written, whatever is left of it."""

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.history: list[Entry] = []
        self.start = 0
        self.end = 0
        self._entries: list[Entry] = []  # what is left
        self._open: dict[Transaction, int] = {}  # without a marker here → its first offset

    def ends(self) -> Ends:
        """See the port."""
        return Ends(self.start, min(self._open.values(), default=self.end), self.end)

    def append(self, write: Write, timestamp: int, at_ms: int, by: Transaction | None) -> int:
        """Writes a record; its offset."""
        offset = self.end
        if by is not None and by not in self._open:
            self._open[by] = offset
            by.places.append(self)
        record = Record(self.number, offset, write.key, write.value, list(write.headers), timestamp)
        self._put(Entry(offset, record, by, at_ms))
        return offset

    def mark(self, transaction: Transaction, at_ms: int) -> None:
        """Writes the marker of a transaction's end, which takes an offset; once."""
        if self._open.pop(transaction, None) is not None:
            self._put(Entry(self.end, None, transaction, at_ms))

    def _put(self, entry: Entry) -> None:
        self.end = entry.offset + 1
        self._entries.append(entry)
        self.history.append(entry)

    def read(self, offset: int, max_records: int) -> tuple[list[Record], int]:
        """Committed records from an offset on, and where to go on."""
        stable = self.ends().stable
        entries = self._entries
        records: list[Record] = []
        index = bisect_left(entries, offset, key=_offset)
        while len(records) < max_records:
            if index == len(entries) or entries[index].offset >= stable:
                return records, max(offset, stable)
            entry = entries[index]
            if entry.committed and entry.record is not None:
                records.append(entry.record)
            index += 1
            offset = entry.offset + 1
        return records, offset

    def records(self) -> Iterator[Record]:
        """All committed records that are left."""
        return iter(self.read(self.start, len(self._entries) + 1)[0])

    def compact(self, now_ms: int, delete_retention_ms: int) -> int:
        """Keeps the newest record of each key, a tombstone for a while; how many went.

        Aborted records and markers go, too: any offset, the last one included, may become a hole.
        Nothing at or past the first open transaction is touched.
        """
        stable = self.ends().stable
        newest = {
            each.record.key: each.offset
            for each in self._entries
            if each.record is not None and each.committed and each.offset < stable
        }
        before = len(self._entries)
        self._entries = [
            each
            for each in self._entries
            if each.offset >= stable
            or (
                each.record is not None
                and newest.get(each.record.key) == each.offset
                and (each.record.value is not None or now_ms - each.at_ms < delete_retention_ms)
            )
        ]
        return before - len(self._entries)

    def delete_before(self, offset: int) -> int:
        """Retention: what is below the offset goes, and the start moves; how many went."""
        offset = min(offset, self.ends().stable)
        if offset <= self.start:
            return 0
        before = len(self._entries)
        self._entries = [each for each in self._entries if each.offset >= offset]
        self.start = offset
        return before - len(self._entries)

    def delete_older(self, before_ms: int) -> int:
        """Retention by age: what was written before a time goes; how many went."""
        left = (each.offset for each in self._entries if each.at_ms >= before_ms)
        return self.delete_before(next(left, self.end))


class Topic:
    """A topic and what it was specified to be."""

    def __init__(self, spec: TopicSpec, identity: str) -> None:
        self.spec = spec
        self.identity = identity
        self.partitions = [Partition(spec.name, number) for number in range(spec.partitions)]

    def info(self) -> TopicInfo:
        """See the port."""
        spec = self.spec
        return TopicInfo(
            spec.name,
            spec.partitions,
            spec.cleanup,
            self.identity,
            spec.retention_ms,
            spec.delete_retention_ms,
            spec.log_append_time,
            0.1 if spec.short else 0.9,
            MAX_RECORD_BYTES,
        )


def record_size(write: Write) -> int:
    """Key, value and headers of a record, in bytes."""
    size = len(write.key or b"") + len(write.value or b"")
    return size + sum(len(name.encode()) + len(value or b"") for name, value in write.headers)


def _offset(entry: Entry) -> int:
    return entry.offset


__all__ = ["MAX_RECORD_BYTES", "Entry", "Partition", "Topic", "Transaction", "record_size"]
