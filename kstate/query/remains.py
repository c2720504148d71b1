"""What can still be read of an entity that was erased, and until when.

A tombstone takes a record out of reach when the log's cleaner has passed; topics that are not
compacted lose their records by age alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kstate.core.letters import failed_key, living
from kstate.core.messages import Record
from kstate.core.partition import partition_for
from kstate.core.topics import Topics, encode_persist_id, parse_event_key
from kstate.errors import ProcessorAbsent
from kstate.log.port import Log, TopicInfo
from kstate.query.processors import missing
from kstate.query.scan import records


@dataclass(frozen=True, slots=True)
class Remains:
    """Records of an entity in one topic that can still be read."""

    topic: str
    what: str  # in words, for one of them; it begins with a noun
    records: int
    until_ms: int | None  # when the last one is old enough to go; None: when the cleaner passes


@dataclass(frozen=True, slots=True)
class Survey:
    """What is left of an entity's past."""

    removed: int  # the seq that tombstones reach to; 0: there are none
    living: int  # events without a tombstone
    remains: Sequence[Remains]  # topics without any are left out

    @property
    def cleaned(self) -> bool:
        """Whether the log's cleaner has passed wherever it has to."""
        return all(each.until_ms is not None for each in self.remains)


def survey(log: Log, topics: Topics, persist_id: str) -> Survey:
    """Reads all that the log has of an entity; raises `ProcessorAbsent` and `BadPersistId`."""
    key = encode_persist_id(persist_id)
    there = log.topics(topics[:6])
    if topics.journal not in there or topics.snapshots not in there:
        raise ProcessorAbsent(missing(topics))
    partition = partition_for(key, there[topics.journal].partitions)
    newest = _events(log, topics.journal, partition, key)
    gone = {seq for seq, values in newest.items() if values[-1] is None}
    behind = sum(len(values) - 1 for seq, values in newest.items() if seq in gone)
    snapshots = [r for r in records(log, topics.snapshots, partition) if r.key == key]
    found = [
        Remains(topics.journal, "event with a tombstone", behind, None),
        Remains(topics.snapshots, "snapshot that was replaced", len(snapshots) - 1, None),
        *_commands(log, topics, there, partition, key),
    ]
    return Survey(
        max(gone, default=0), len(newest) - len(gone), [each for each in found if each.records > 0]
    )


def _events(log: Log, topic: str, partition: int, key: bytes) -> dict[int, list[bytes | None]]:
    """By seq, what is there of an event: its value, and None for a tombstone."""
    found: dict[int, list[bytes | None]] = {}
    for record in records(log, topic, partition):
        parsed = parse_event_key(record.key)
        if parsed is not None and parsed[0] == key:
            found.setdefault(parsed[1], []).append(record.value)
    return found


def _commands(
    log: Log, topics: Topics, there: Mapping[str, TopicInfo], partition: int, key: bytes
) -> Iterator[Remains]:
    ids: set[bytes] = set()
    if topics.commands in there:
        found = [r for r in records(log, topics.commands, partition) if r.key == key]
        ids.update(_named(r) or b"%d:%d" % (r.partition, r.offset) for r in found)
        yield _aged(there[topics.commands], "command to it", found)
    if topics.dead_letters in there:
        name = topics.dead_letters
        letters, left = _letters(log, name, partition, key)
        ids.update(_named(each) or each.key or b"" for each in letters)
        yield Remains(name, "letter with a tombstone", len(letters) - len(left), None)
        yield _aged(there[name], "command that failed", left)
    if topics.replies in there:
        replies = [
            record
            for number in range(there[topics.replies].partitions)
            for record in records(log, topics.replies, number)
            if record.key in ids
        ]
        yield _aged(there[topics.replies], "reply to one of its commands", replies)


def _letters(log: Log, topic: str, partition: int, key: bytes) -> tuple[list[Record], list[Record]]:
    """An entity's dead letters, and those of them that have no tombstone."""
    found = [
        record
        for record in records(log, topic, partition)
        if record.value is None or failed_key(record.key, record.headers) == key
    ]
    return [each for each in found if each.value is not None], living(found)


def _named(record: Record) -> bytes | None:
    """The id of a command, where it has one."""
    return dict(record.headers).get("command-id")


def _aged(info: TopicInfo, what: str, found: Sequence[Record]) -> Remains:
    newest = max((record.timestamp for record in found), default=0)
    until = newest + info.retention_ms if info.retention_ms >= 0 else NEVER_MS
    return Remains(info.name, what, len(found), until)


NEVER_MS = 253_370_764_800_000  # the year 9999
"""The end of what a topic keeps for ever."""
