"""A bank's journal as tests of its index write it, and two clients to read it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kstate
from kstate import Client
from kstate.core.messages import Record, Write
from kstate.core.partition import partition_for
from kstate.core.topics import Topics, event_key
from kstate.query.events import StoredEvent
from kstate.query.index import Index
from kstate.runtime.startup import prepare_schemas, prepare_topics
from kstate.testing.log_world import World as LogWorld
from kstate.wiring import codec_of, open_log
from processors.bank import Bank, Deposited, FeeCharged, Withdrawn

PATIENCE_S = 20.0
KINDS: tuple[Any, ...] = (Deposited, Withdrawn, FeeCharged)
TAGS = ("large", "internal", "odd", "rare")
IDS = [f"acct-{number}" for number in range(12)] + ["a@1", "ü"]


class Books:
    """The journal; ``plain`` reads it as it is, ``indexed`` by an index."""

    def __init__(self, url: str, directory: Path, prefix: str, partitions: int = 3) -> None:
        self.url = url
        self.prefix = prefix
        self.directory = directory / "index"
        self.partitions = partitions
        self.topics = Topics.of("bank", prefix)
        self.world = LogWorld(lambda: open_log(url), PATIENCE_S)
        self.codec, schemas = codec_of(self.world.log, self.topics, Bank)
        self.count = prepare_topics(self.world.log, self.topics, partitions, partitions)
        prepare_schemas(self.world.log, self.topics, schemas, self.count, 0)
        self.plain = kstate.connect(url, prefix=prefix, index="")
        self.indexed = self.client()
        self._seqs: dict[str, int] = {}
        self._began_ms = int(time.time() * 1000)
        self._written = 0
        self._clients: list[Client] = [self.plain, self.indexed]

    def client(self) -> Client:
        """One more that uses the index."""
        return kstate.connect(self.url, prefix=self.prefix, index=self.directory)

    @property
    def index(self) -> Index:
        """The index that ``indexed`` answers from."""
        found = self.indexed.journal(Bank)._index  # a look behind the queries
        assert found is not None
        return found

    @property
    def file(self) -> Path:
        return self.index.path

    def event(
        self, persist_id: str, amount: int, tags: Iterable[str] = (), kind: Any = Deposited
    ) -> Write:
        """The next event of a persist id."""
        seq = self._seqs[persist_id] = self._seqs.get(persist_id, 0) + 1
        headers = [("type", kind.__name__.encode()), ("command-id", b"c%d" % amount)]
        headers += [("tag", tag.encode()) for tag in tags]
        self._written += 1
        at = self._began_ms + self._written // 3  # some at the same time
        return self._write(persist_id, seq, self.codec.encode_event(kind(amount)), headers, at)

    def tombstone(self, persist_id: str, seq: int) -> Write:
        """What takes an event out of the journal."""
        return self._write(persist_id, seq, None, [], int(time.time() * 1000))

    def _write(
        self,
        persist_id: str,
        seq: int,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        at: int,
    ) -> Write:
        key = persist_id.encode()
        home = partition_for(key, self.count)
        return Write(self.topics.journal, home, event_key(key, seq), value, headers, at)

    def produce(self, *writes: Write) -> None:
        self.world.produce(writes)

    def grow(self, random: random.Random, count: int) -> None:
        """So many random events, and tombstones of some."""
        writes = []
        for _ in range(count):
            persist_id = random.choice(IDS)
            had = self._seqs.get(persist_id, 0)
            if had and random.random() < 0.2:
                writes.append(self.tombstone(persist_id, random.randint(1, had)))
            else:
                tags = random.sample(TAGS, random.choice((0, 0, 1, 1, 2)))
                kind = random.choice(KINDS)
                writes.append(self.event(persist_id, random.randint(0, 10**6), tags, kind))
        self.produce(*writes)

    def living(self, found: Iterable[StoredEvent]) -> list[StoredEvent]:
        """Without those that a tombstone has taken out, which the log may still have."""
        gone: dict[bytes | None, int] = {}
        for record in self.world.read(self.topics.journal):
            if record.value is None:
                gone[record.key] = record.offset
        return [each for each in found if gone.get(each.record.key, -1) < each.offset]

    def close(self) -> None:
        for each in self._clients:
            each.close()
        self.world.close()


def by_partition(found: Iterable[StoredEvent]) -> dict[int, list[Record]]:
    """What was found in each partition, in order."""
    parts: dict[int, list[Record]] = {}
    for each in found:
        parts.setdefault(each.partition, []).append(each.record)
    return parts


def selections(random: random.Random) -> Iterator[dict[str, Any]]:
    """Random selections that an index answers."""
    for _ in range(12):
        tags = (*TAGS, "never")
        chosen: dict[str, Any] = {
            "any_of": random.sample(tags, random.choice((0, 1, 2))),
            "all_of": random.sample(tags, random.choice((0, 0, 1, 2))),
            "none_of": random.sample(tags, random.choice((0, 0, 1))),
            "types": random.sample(KINDS, random.choice((0, 0, 1, 2))),
        }
        if not any(chosen.values()):
            chosen["none_of"] = ["never"]  # for everything the journal itself is read
        if random.random() < 0.3:
            chosen["from_offset"] = random.randint(0, 30)
        yield chosen


def large(books: Books) -> list[int]:
    """The amounts of the tagged events, by the index."""
    found = books.indexed.events.by_tag(Bank, "large")
    return sorted(each.event.amount for each in found)


def fill(books: Books, count: int) -> None:
    """So many events of twenty accounts; every tenth is tagged as large."""
    ids = [f"acct-{number}" for number in range(20)]
    books.produce(
        *[books.event(ids[n % 20], n, ["large"] if n % 10 == 0 else []) for n in range(count)]
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of."""
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
