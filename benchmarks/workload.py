"""The deposits that both loops make, the topics they lie on, and the records to come of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kstate.codec.avro import AvroCodec
from kstate.core.messages import Headers, Record, Write
from kstate.core.topics import Topics
from kstate.log.kafka import KafkaLog
from kstate.processor import definition_of
from kstate.runtime.startup import prepare_topics
from kstate.testing.broker import administrator
from processors.bank import Bank, Deposit

CHUNK = 10_000
WAIT_S = 5.0
READ_S = 60.0
FLUSH_S = 600.0


class Different(Exception):
    """The two loops did not write the same records."""


class Workload(NamedTuple):
    """How many deposits, on how many accounts and partitions."""

    commands: int
    ids: int
    partitions: int


class Place(NamedTuple):
    """A bank's topics, for one run."""

    prefix: str
    topics: Topics


class Content(NamedTuple):
    """A record without its time: what must be the same."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Written(NamedTuple):
    """What a run wrote, per partition: events in order, replies by their keys.

    Replies of one partition come from several partitions of commands, whose order is chance.
    """

    journal: Mapping[int, Sequence[Content]]
    replies: Mapping[int, Sequence[Content]]


class Stage:
    """A cluster with places that are made for runs and removed in the end."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._log = KafkaLog(bootstrap)
        self._codec = AvroCodec(definition_of(Bank))
        self._places: list[Place] = []
        self._name = f"bench-{uuid.uuid4().hex[:8]}"

    def place(self, partitions: int) -> Place:
        """New topics, empty."""
        prefix = f"{self._name}-{len(self._places)}-"
        place = Place(prefix, Topics.of(Bank.name, prefix))
        self._places.append(place)
        prepare_topics(self._log, place.topics, partitions, partitions)
        return place

    def preload(self, place: Place, work: Workload, asked: bool) -> None:
        """Writes all commands; ``asked``: each wants a reply, spread over the partitions.

        Runs that are to be compared find the same commands at the same offsets.
        """
        topics = place.topics
        producer = self._log.producer()
        reply_partitions = self._log.topics([topics.replies])[topics.replies].partitions
        for number in range(work.commands):
            headers: Headers = [("command-id", b"%032x" % number)]
            if asked:
                reply_partition = b"%d" % (number % reply_partitions)
                headers += [
                    ("reply-to", topics.replies.encode()),
                    ("reply-partition", reply_partition),
                ]
            key = b"acct-%d" % (number % work.ids)
            value = self._codec.encode_command(Bank.name, Deposit(1 + number % 100))
            producer.send(Write(topics.commands, None, key, value, headers, 0))
        producer.flush(FLUSH_S)
        producer.close()

    def processed(self, place: Place) -> int:
        """How many commands a group has committed."""
        progress = self._log.progress(place.topics.group, place.topics.commands)
        return sum(done.offset for done in progress.values())

    def written(self, place: Place) -> Written:
        """Reads back what a run wrote."""
        journal = self._read(place.topics.journal)
        replies = self._read(place.topics.replies)
        for contents in replies.values():
            contents.sort(key=lambda content: content.key or b"")
        return Written(journal, replies)

    def _read(self, topic: str) -> dict[int, list[Content]]:
        ends = self._log.ends(topic)
        found: dict[int, list[Content]] = {partition: [] for partition in ends}
        reader = self._log.reader()
        try:
            reader.assign(topic, dict.fromkeys(ends, 0))
            reached: dict[int, int] = {}
            deadline = time.monotonic() + READ_S
            while any(reached.get(partition, 0) < ends[partition].end for partition in ends):
                if time.monotonic() > deadline:
                    raise Different(f"{topic} was not read to its end within {READ_S:g} s")
                chunk = reader.poll(CHUNK, WAIT_S)
                for record in chunk.records:
                    found[record.partition].append(_content(record))
                reached.update(chunk.ends)
        finally:
            reader.close()
        return found

    def remove(self) -> None:
        """Deletes the topics of all places; raises `KafkaException` for what stays."""
        names = [name for place in self._places for name in place.topics[:6]]
        self._places = []
        if names:
            admin = administrator(self.bootstrap)
            for future in admin.delete_topics(names, operation_timeout=READ_S).values():
                future.result()


def _content(record: Record) -> Content:
    return Content(record.key, record.value, record.headers)


def compare(bare: Written, kstate: Written, work: Workload, asked: bool) -> int:
    """How many records are the same, byte for byte; raises `Different` unless all are."""
    expected = {"journal": work.commands, "replies": work.commands if asked else 0}
    for kind, count in expected.items():
        ours: Mapping[int, Sequence[Content]] = getattr(kstate, kind)
        theirs: Mapping[int, Sequence[Content]] = getattr(bare, kind)
        for partition, contents in ours.items():
            for number, (one, other) in enumerate(zip(theirs[partition], contents, strict=False)):
                if one != other:
                    raise Different(
                        f"record {number} of {kind}:{partition} differs: the bare loop wrote "
                        f"{one}, kstate {other}"
                    )
        for who, parts in (("the bare loop", theirs), ("kstate", ours)):
            total = sum(map(len, parts.values()))
            if total != count:
                raise Different(f"{who} wrote {total} records to {kind}, not {count}")
    return sum(expected.values())
