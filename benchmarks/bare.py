"""The bare loop: deposits into a bank with confluent-kafka and fastavro alone, exactly once.

It writes the records that kstate writes, byte for byte: same keys, values, headers and partitions,
in transactions that carry the consumer's offsets.  What it leaves out is what a framework is for:
it takes any command for a deposit, knows no duplicates, forgets its state when it ends, and dies of
every error.

``python -m benchmarks.bare BOOTSTRAP PREFIX [--batch N]`` runs it until SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from kstate.core.topics import Topics
from kstate.log.kafka_config import Settings

MAX_MESSAGE_BYTES = 1_048_588  # the broker's default
WAIT_S = 0.1

DEPOSIT: Any = parse_schema(
    {"type": "record", "name": "bank.Deposit", "fields": [{"name": "amount", "type": "long"}]}
)
DEPOSITED: Any = parse_schema(
    {"type": "record", "name": "bank.Deposited", "fields": [{"name": "amount", "type": "long"}]}
)
BALANCE: Any = parse_schema("long")


def single_object_header(schema: Any) -> bytes:
    """The ten bytes before a datum (Avro specification, "Single-object encoding")."""
    return b"\xc3\x01" + bytes.fromhex(
        fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    )


DEPOSIT_HEADER = single_object_header(DEPOSIT)
DEPOSITED_HEADER = single_object_header(DEPOSITED)
BALANCE_HEADER = single_object_header(BALANCE)
EVENT_TYPE = ("type", b"Deposited")
STATUS = ("status", b"ok")


class BareLoop:
    """One consumer, one transactional producer, and the accounts in a dict.

    ``committed`` is called with the number of commands after each commit.
    """

    def __init__(
        self, bootstrap: str, topics: Topics, batch: int, committed: Callable[[int], None]
    ) -> None:
        name = f"{topics.group}-bare"
        settings = Settings(bootstrap, {}, MAX_MESSAGE_BYTES)
        self._batch = batch
        self._topics = topics
        self._committed = committed
        self._accounts: dict[bytes, tuple[int, int]] = {}  # key → seq and balance
        self._stopping = False
        self._producer: Any = Producer(settings.member_producer(name))
        self._producer.init_transactions()
        self._consumer: Any = Consumer(
            {**settings.member_consumer(topics.group, name), "enable.partition.eof": False}
        )
        self._consumer.subscribe([topics.commands], on_assign=self._assign)

    def _assign(self, consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        """Goes on where the group stopped; a new group begins at the first command."""
        places = consumer.committed(list(partitions))
        for place in places:
            place.offset = max(place.offset, 0)
        consumer.incremental_assign(places)

    def stop(self) -> None:
        """Asks the loop to end after its batch."""
        self._stopping = True

    def run(self) -> None:
        """Works until `stop`; raises `KafkaException` for whatever goes wrong."""
        try:
            while not self._stopping:
                first = self._consumer.poll(WAIT_S)
                if first is not None:
                    # `consume` with a timeout would wait for all it was asked for
                    self._transaction([first, *self._consumer.consume(self._batch - 1, 0)])
        finally:
            self._producer.purge()
            self._consumer.close()

    def _transaction(self, messages: Sequence[Message]) -> None:
        producer = self._producer
        producer.begin_transaction()
        last = self._deposit(messages)
        offsets = [
            TopicPartition(self._topics.commands, partition, offset + 1)
            for partition, offset in last.items()
        ]
        producer.send_offsets_to_transaction(offsets, self._consumer.consumer_group_metadata())
        producer.commit_transaction()
        producer.poll(0)  # takes the delivery reports off the queue
        self._committed(len(messages))

    def _deposit(self, messages: Sequence[Message]) -> dict[int, int]:
        """Makes deposits, queues their records, and gives the last offset of each partition."""
        accounts, produce, journal = self._accounts, self._producer.produce, self._topics.journal
        now = int(time.time() * 1000)
        last: dict[int, int] = {}
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            key, value = message.key(), message.value()
            partition, offset = message.partition(), message.offset()
            headers = dict(message.headers())
            if value[:10] != DEPOSIT_HEADER:
                raise ValueError(f"{partition}:{offset} is no deposit: {value[:10]!r}")
            deposit: Any = schemaless_reader(BytesIO(value[10:]), DEPOSIT, None)
            amount = deposit["amount"]
            seq, balance = accounts.get(key, (0, 0))
            seq, balance = accounts[key] = seq + 1, balance + amount
            place = b"%d:%d" % (partition, offset)
            command_id = headers["command-id"]
            written = [EVENT_TYPE, ("command-id", command_id), ("source", place)]
            reply_to = headers.get("reply-to")
            if reply_to is not None:
                reply = encode(BALANCE_HEADER, BALANCE, balance)
                written.append(("reply", reply))
                produce(
                    reply_to.decode(),
                    reply,
                    command_id,
                    int(headers["reply-partition"]),
                    headers=[
                        STATUS,
                        ("position", place),
                        ("seq", b"%d" % seq),
                        ("persist-id", key),
                    ],
                    timestamp=now,
                )
            event = encode(DEPOSITED_HEADER, DEPOSITED, {"amount": amount})
            event_key = b"%b@%d" % (key, seq)
            produce(journal, event, event_key, partition, headers=written, timestamp=now)
            last[partition] = offset
        return last


def encode(header: bytes, schema: Any, datum: Any) -> bytes:
    """A datum in Avro's single-object encoding."""
    out = BytesIO()
    out.write(header)
    schemaless_writer(out, schema, datum)
    return out.getvalue()


def main() -> None:
    """Runs the loop until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("prefix", help="what the topics' names begin with")
    parser.add_argument("--batch", type=int, default=1_000)
    options = parser.parse_args()
    topics = Topics.of("bank", options.prefix)
    loop = BareLoop(options.bootstrap, topics, options.batch, lambda commands: None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    loop.run()


if __name__ == "__main__":
    main()
