"""Writing to Kafka outside transactions: idempotent, and never silent about a loss."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kstate.core.messages import Write
from kstate.errors import LogError, LogUnavailable, RecordTooLarge
from kstate.log.kafka_config import Settings
from kstate.log.kafka_errors import client_of, kafka_error, translate
from kstate.log.port import Sender, Senders

FULL_WAIT_S = 0.05
CLOSE_S = 30.0
CONNECT_S = 2.0
FLUSH_STEP_S = 0.005

Delivered = Callable[[KafkaError | None, Message], None]

logger = logging.getLogger("kstate.kafka")


class KafkaProducer:
    """See `kstate.log.port.Producer`."""

    def __init__(self, settings: Settings, max_record_bytes: int) -> None:
        self._limit = max_record_bytes
        self._senders = Senders()
        self._connected = False
        self._producer: Producer | None = client_of(
            # of every record, as a flush ends when the last one of its sender is known
            Producer,
            settings.client_producer() | {"delivery.report.only.error": False},
        )

    def send(self, write: Write, sender: Sender | None = None) -> None:
        """See the port.  Raises `RecordTooLarge` at once."""
        size = record_size(write)
        if size > self._limit:
            raise RecordTooLarge("the record", size, self._limit)
        producer = self._open()
        if not self._connected:
            self._connect(producer, write.topic)
        sender = sender or self._senders.current()
        self._senders.queued(sender)
        try:
            produce(producer, write, partial(self._delivered, sender))
        except BaseException:
            self._senders.settled(sender)
            raise
        producer.poll(0)

    def _connect(self, producer: Producer, topic: str) -> None:
        """Spares the first record half a second: librdkafka asks for its producer id at once when
        a broker is connected, and otherwise every 500 ms."""
        self._connected = True
        try:
            producer.list_topics(topic, timeout=CONNECT_S)
        except KafkaException as error:
            # what this means for the record is told when it is flushed
            logger.debug("no broker yet: %s", kafka_error(error).str())

    def flush(self, timeout_s: float, sender: Sender | None = None) -> None:
        """See the port.  What it did not wait for to the end is still under way."""
        producer = self._open()
        sender = sender or self._senders.current()
        deadline = time.monotonic() + timeout_s
        while (count := self._senders.open(sender)) and (left := deadline - time.monotonic()) > 0:
            # it returns when no record of anybody is under way, so it is asked for a moment only
            producer.flush(min(left, FLUSH_STEP_S))
        self._senders.tell(sender)
        if count:
            raise LogUnavailable(f"{count} records were not stored within {timeout_s:g} s")

    def close(self) -> None:
        """See the port."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        left = producer.flush(CLOSE_S)
        self._senders.tell_all()
        if left:
            raise LogUnavailable(f"{left} records were not stored within {CLOSE_S:g} s")

    def _open(self) -> Producer:
        if self._producer is None:
            raise LogError("this producer is closed")
        return self._producer

    def _delivered(self, sender: Sender, error: KafkaError | None, message: Message) -> None:
        found = None
        if error is not None:
            what = f"a record for {message.topic()} was not stored"
            found = translate(kafka_error(error), what)
        self._senders.settled(sender, error=found)


def produce(producer: Producer, write: Write, delivered: Delivered) -> None:
    """Queues a record, once there is room; ``delivered`` is called when its fate is known."""
    topic, partition, key, value, headers, timestamp = write
    number = -1 if partition is None else partition
    when = max(0, timestamp)
    while True:
        try:
            producer.produce(topic, value, key, number, delivered, timestamp=when, headers=headers)
            return
        except BufferError:
            producer.poll(FULL_WAIT_S)
        except KafkaException as error:
            raise translate(error, f"a record for {topic} cannot be sent") from error


def record_size(write: Write) -> int:
    """The bytes of a record's key, value and headers, framing aside."""
    size = len(write.key or b"") + len(write.value or b"")
    for name, value in write.headers:
        size += len(name) + len(value or b"")
    return size
