"""A bank's past, written without having been lived, by a plain producer.

Journal, snapshots and progress are as kstate leaves them.  Deposits come on accounts chosen by
chance, all of them within the dedup window's time.  Snapshots are those of kstate's policy: every
``snapshot_every`` events of an account, and of the oldest accounts where the tail of a partition
grows beyond ``max_tail``.  Memory holds the accounts, never the events.
"""

from __future__ import annotations

import logging
import random
import time
from typing import NamedTuple

import confluent_kafka

from kstate.codec.avro import AvroCodec
from kstate.core.context import Machine
from kstate.core.entity import Entity, snapshot_of
from kstate.core.envelope import hash_command_id
from kstate.core.messages import Progress, Write
from kstate.core.partition import partition_for
from kstate.core.policy import Policy
from kstate.core.topics import Topics, event_key
from kstate.log.port import Committed, Log, Producer
from kstate.processor import definition_of
from processors.bank import Bank, Deposited

logger = logging.getLogger("kstate.bench")

FLUSH_S = 600.0
FULL_S = 0.05
JOIN_S = 30.0
AMOUNTS = 64
SEED = 1


class Past(NamedTuple):
    """How much there was, and what is left of it to be read."""

    events: int
    entities: int
    partitions: int
    snapshots: bool  # whether any were taken


class Left(NamedTuple):
    """What a partition's takeover finds."""

    progress: Progress
    balances: dict[str, int]  # of every account with an event


class _Home:
    """One partition while its past is made."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.end = 0  # of the journal and of the commands: each of these left one event
        self.entities: dict[bytes, Entity] = {}
        self.uncovered: dict[bytes, int] = {}  # key → offset of its first event, in rising order

    def left(self) -> Left:
        low_water = next(iter(self.uncovered.values()), self.end)
        progress = Progress(self.end, low_water, self.end - 1, len(self.entities))
        return Left(progress, {e.persist_id: e.state.balance for e in self.entities.values()})


class PlainProducer:
    """A producer of confluent-kafka as it is: what was not stored is told by `flush` as a count."""

    def __init__(self, bootstrap: str) -> None:
        properties = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 50,
            "queue.buffering.max.messages": 200_000,
        }
        self._producer = confluent_kafka.Producer(properties, logger=logger)

    def send(self, write: Write) -> None:
        """Queues a record, once there is room."""
        topic, partition, key, value, headers, timestamp = write
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, timestamp=timestamp, headers=headers
                )
                return
            except BufferError:
                self._producer.poll(FULL_S)

    def flush(self, timeout_s: float) -> None:
        """Waits until all is stored.  Raises `TimeoutError`."""
        left = self._producer.flush(timeout_s)
        if left:
            raise TimeoutError(f"{left} records were not stored within {timeout_s:g} s")

    def close(self) -> None:
        """Nothing is left to be done after `flush`."""


class Author:
    """Writes one past into topics that exist and are empty."""

    def __init__(self, log: Log, topics: Topics, past: Past, policy: Policy) -> None:
        self._log = log
        self._topics = topics
        self._past = past
        definition = definition_of(Bank)
        self._codec = AvroCodec(definition)
        self._machine = Machine(definition, self._codec, policy)
        self._homes = [_Home(number) for number in range(past.partitions)]
        self._now = int(time.time() * 1000)

    def write(self) -> dict[int, Left]:
        """Writes everything; what a worker will find, per partition."""
        producer = self._producer()
        chance = random.Random(SEED)
        deposits = [Deposited(amount) for amount in range(1, AMOUNTS + 1)]
        values = [self._codec.encode_event(deposit) for deposit in deposits]
        keys = [b"acct-%d" % number for number in range(self._past.entities)]
        homes = [self._homes[partition_for(key, self._past.partitions)] for key in keys]
        for number in range(self._past.events):
            account = int(chance.random() * self._past.entities)
            amount = number % AMOUNTS
            self._deposit(
                producer, homes[account], keys[account], number, deposits[amount], values[amount]
            )
        producer.flush(FLUSH_S)
        producer.close()
        self._commit()
        return {home.number: home.left() for home in self._homes}

    def _producer(self) -> Producer | PlainProducer:
        scheme, _, rest = self._log.url.partition("://")
        return PlainProducer(rest) if scheme == "kafka" else self._log.producer()

    def _deposit(
        self,
        producer: Producer | PlainProducer,
        home: _Home,
        key: bytes,
        number: int,
        event: Deposited,
        value: bytes,
    ) -> None:
        topics, machine = self._topics, self._machine
        entity = home.entities.get(key)
        if entity is None:
            persist_id = key.decode()
            entity = home.entities[key] = Entity(persist_id, machine.init(persist_id))
        entity.seq += 1
        entity.state = machine.fold(entity.persist_id, entity.state, event)
        offset = home.end
        home.end += 1
        command_id = b"%032x" % number
        headers = [
            ("type", b"Deposited"),
            ("command-id", command_id),
            ("source", b"%d:%d" % (home.number, offset)),
        ]
        send, place = producer.send, home.number
        # what was processed is not read again: that there was a command is all that counts
        send(Write(topics.commands, place, key, b"", [], self._now))
        journal_key = event_key(key, entity.seq)
        send(Write(topics.journal, place, journal_key, value, headers, self._now))
        if not self._past.snapshots:
            home.uncovered.setdefault(key, offset)
            return
        entity.recent[hash_command_id(command_id)] = (entity.seq, self._now, None)
        if len(entity.recent) > machine.policy.window_ids:
            del entity.recent[next(iter(entity.recent))]
        home.uncovered.setdefault(key, offset)
        if entity.seq - entity.snapshot_seq >= Bank.snapshot_every:
            self._snapshot(producer, home, key)
        oldest = next(iter(home.uncovered), None)
        if oldest is not None and home.end - home.uncovered[oldest] > machine.policy.max_tail:
            self._snapshot(producer, home, oldest)

    def _snapshot(self, producer: Producer | PlainProducer, home: _Home, key: bytes) -> None:
        entity = home.entities[key]
        snapshot = snapshot_of(self._machine, entity, home.end, self._now, removed=0, erased=0)
        value = self._codec.encode_snapshot(snapshot)
        producer.send(Write(self._topics.snapshots, home.number, key, value, [], self._now))
        entity.snapshot_seq = entity.seq
        del home.uncovered[key]

    def _commit(self) -> None:
        """Commits the progress as the worker before would have done."""
        member = self._log.join(self._topics.group, self._topics.commands, "before")
        try:
            missing = {home.number for home in self._homes}
            deadline = time.monotonic() + JOIN_S
            while missing:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the partitions {missing} were not assigned")
                polled = member.poll(1, 0.1)
                missing -= {assignment.partition for assignment in polled.assigned}
            progress = {
                home.number: Committed(home.end, home.left().progress.metadata("before"))
                for home in self._homes
            }
            member.commit([], progress)
        finally:
            member.close()
