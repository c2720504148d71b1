"""A shard on a log that is a few lists: committing, dropping, and rebuilding from what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core_model import Event, Order, Reply
from core_program import Program, Put

from kstate.codec.avro import AvroCodec
from kstate.core.context import Machine
from kstate.core.entity import Entity
from kstate.core.envelope import hash_command_id
from kstate.core.letters import failed_key
from kstate.core.messages import Deleted, Headers, Progress, Recent, Record, Write, WriteRow
from kstate.core.outgoing import Outgoing
from kstate.core.policy import Policy
from kstate.core.replay import Replay
from kstate.core.shard import Shard
from kstate.core.topics import Topics, parse_event_key
from kstate.processor import Processor, definition_of

REPLIES = "program.replies"


class ListLog:
    """One partition of every topic.  Each commit leaves a hole in the offsets, as markers do."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.records: dict[str, list[Record]] = {topic: [] for topic in topics[:6]}
        self.ends: dict[str, int] = dict.fromkeys(topics[:6], 0)
        self.progress = Progress(0, 0, -1, 0)

    def append(self, write: Write) -> int:
        offset = self.ends[write.topic]
        self.records[write.topic].append(
            Record(0, offset, write.key, write.value, write.headers, write.timestamp)
        )
        self.ends[write.topic] = offset + 1
        return offset

    def commit(
        self, writes: Sequence[WriteRow], progress: Progress
    ) -> Mapping[tuple[str, int], int]:
        for write in writes:
            self.append(Write._make(write))
        metadata = progress.metadata("someone")
        parsed = Progress.parse(progress.offset, metadata)
        assert parsed is not None
        self.progress = parsed[0]
        touched = {topic for topic, *_ in writes}
        bounds = {(topic, 0): self.ends[topic] for topic in touched}
        for topic in touched - {self.topics.commands}:
            self.ends[topic] += 1
        return bounds

    def snapshot(self, key: bytes) -> bytes | None:
        found = [r.value for r in self.records[self.topics.snapshots] if r.key == key]
        return found[-1] if found else None

    def letters(self, persist_id: bytes) -> list[bytes]:
        """The keys of the dead letters of a persist id that have no tombstone."""
        newest = {r.key or b"": r for r in self.records[self.topics.dead_letters]}
        return [
            key
            for key, record in newest.items()
            if record.value is not None and failed_key(record.key, record.headers) == persist_id
        ]


class Bench:
    """A processor's shard, the only one, and its log."""

    def __init__(
        self,
        policy: Policy | None = None,
        processor: type[Processor[Any]] = Program,
        partitions: int = 1,
    ) -> None:
        self.codec = AvroCodec(definition_of(processor))
        self.machine = Machine(definition_of(processor), self.codec, policy or Policy())
        self.policy = self.machine.policy
        self.topics = Topics.of(processor.name)
        self.partitions = partitions
        self.log = ListLog(self.topics)
        self.shard = self.new_shard()

    def new_shard(self) -> Shard:
        targets = {self.machine.name: self.topics.commands}
        replies, partitions = {self.topics.replies: 2}, self.partitions
        outgoing = Outgoing(self.machine, 0, self.topics, targets, replies, partitions)
        return Shard(
            self.machine,
            0,
            partitions,
            self.topics,
            outgoing,
            lambda k: self.log.snapshot(k),
            lambda k: self.log.letters(k),
        )

    def put(
        self,
        command: Any,
        key: bytes | None = b"a",
        command_id: str | None = None,
        asks: str = "good",
        expected: int | None = None,
    ) -> Record:
        """Appends a command to the commands topic."""
        headers: Headers = []
        if command_id is not None:
            headers.append(("command-id", command_id.encode()))
        if asks:
            topic = self.topics.replies if asks == "good" else self.topics.journal
            headers += [("reply-to", topic.encode()), ("reply-partition", b"1")]
        if expected is not None:
            headers.append(("expected-seq", b"%d" % expected))
        value = b"no command" if command is None else self.encoded(command)
        self.log.append(Write(self.topics.commands, 0, key, value, headers, 0))
        return self.commands[-1]

    def encoded(self, command: Any) -> bytes:
        return self.codec.encode_command(self.machine.name, command)

    @property
    def commands(self) -> list[Record]:
        return self.log.records[self.topics.commands]

    def commit(self, now: int) -> Any:
        """Closes the batch and commits it; the batch."""
        shard = self.shard
        shard.close(now)
        ends = self.log.commit(shard.batch.writes, shard.progress())
        return shard.commit(ends)

    def run(self, *records: Record, now: int = 0) -> Any:
        """One batch of these commands, committed."""
        for record in records:
            self.shard.step(record, now)
        return self.commit(now)

    def rebuilt(self) -> Shard:
        """Another shard, from nothing but the log."""
        shard = self.new_shard()
        replay = Replay(shard)
        progress = self.log.progress
        for record in self.log.records[self.topics.journal]:
            if record.offset >= progress.low_water:
                replay.event(record)
        shard.entity_count = progress.entities
        shard.restored(
            progress.offset,
            max(replay.newest_source, progress.source),
            self.log.ends[self.topics.journal],
        )
        return shard

    # -- what is there, in the words of the model --------------------------------------------

    def entity(self, shard: Shard, key: bytes) -> Entity:
        """An entity as the shard has it, in memory or behind its snapshot; nothing changes."""
        found = shard.entities.get(key)
        if found is not None:
            return found
        value = self.log.snapshot(key)
        if value is None:
            return Entity(key.decode(), self.machine.init(key.decode()))
        snapshot = self.codec.decode_snapshot(value)
        return Entity.restore(self.machine, key.decode(), snapshot, len(value))

    def recall(self, shard: Shard, key: bytes, command_id: str, now: int) -> Recent | None:
        """What the shard would answer a duplicate."""
        entity = self.entity(shard, key)
        return entity.recall(hash_command_id(command_id.encode()), self.policy, now)

    def journal(self) -> list[Event]:
        return [self._event(r) for r in self.log.records[self.topics.journal]]

    def _event(self, record: Record) -> Event:
        parsed = parse_event_key(record.key)
        assert parsed is not None
        event = self.codec.decode_event(record.value)
        if isinstance(event, Put):
            what: Any = event.n
        else:
            what = "deleted" if isinstance(event, Deleted) else "noted"
        headers = dict(record.headers)
        return Event(
            *parsed,
            what,
            headers["command-id"].decode(),
            int(headers["source"].removeprefix(b"0:")),
            self._text(headers.get("reply")),
            record.timestamp,
        )

    def _text(self, reply: bytes | None) -> str | None:
        return None if reply is None else self.codec.decode_reply(*self._reply_class, reply)

    @property
    def _reply_class(self) -> tuple[type]:
        (command_class,) = self.machine.definition.commands
        return (command_class,)

    def replies(self) -> list[Reply]:
        return [self._reply(r) for r in self.log.records[self.topics.replies]]

    def _reply(self, record: Record) -> Reply:
        headers = dict(record.headers)
        return Reply(
            (record.key or b"").decode(),
            headers["status"].decode(),
            self._text(record.value),
            int(headers["seq"]),
            int(headers["position"].removeprefix(b"0:")),
            headers.get("code", b"").decode(),
        )

    def order(self, record: Record) -> Order:
        """A record as the model wants it."""
        headers = dict(record.headers)
        target = headers.get("reply-to")
        asks = "" if target is None else "good" if target == REPLIES.encode() else "bad"
        expected = headers.get("expected-seq")
        no_command = record.value == b"no command"
        return Order(
            record.offset,
            record.key or b"",
            headers.get("command-id", b"0:%d" % record.offset).decode(),
            None if no_command else self.codec.decode_command(record.value, None, None),
            asks,
            None if expected is None else int(expected),
        )
