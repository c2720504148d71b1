"""Writing to Kafka outside transactions: idempotent, and never silent about a loss."""

from __future__ import annotations

import logging
import threading

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kstate.core.messages import Write
from kstate.errors import KStateError, LogError, LogUnavailable, RecordTooLarge
from kstate.log.kafka_config import Settings
from kstate.log.kafka_errors import client_of, kafka_error, translate

FULL_WAIT_S = 0.05
CLOSE_S = 30.0
CONNECT_S = 2.0

logger = logging.getLogger("kstate.kafka")


class KafkaProducer:
    """See `kstate.log.port.Producer`."""

    def __init__(self, settings: Settings, max_record_bytes: int) -> None:
        self._limit = max_record_bytes
        self._errors: list[KStateError] = []
        self._lock = threading.Lock()
        self._connected = False
        self._producer: Producer | None = client_of(
            Producer, settings.client_producer() | {"on_delivery": self._delivered}
        )

    def send(self, write: Write) -> None:
        """See the port.  Raises `RecordTooLarge` at once."""
        size = record_size(write)
        if size > self._limit:
            raise RecordTooLarge("the record", size, self._limit)
        producer = self._open()
        if not self._connected:
            self._connect(producer, write.topic)
        while True:
            try:
                produce(producer, write)
            except BufferError:
                producer.poll(FULL_WAIT_S)
                continue
            except KafkaException as error:
                raise translate(error, f"a record for {write.topic} cannot be sent") from error
            producer.poll(0)
            return

    def _connect(self, producer: Producer, topic: str) -> None:
        """Spares the first record half a second: librdkafka asks for its producer id at once when
        a broker is connected, and otherwise every 500 ms."""
        self._connected = True
        try:
            producer.list_topics(topic, timeout=CONNECT_S)
        except KafkaException as error:
            # what this means for the record is told when it is flushed
            logger.debug("no broker yet: %s", kafka_error(error).str())

    def flush(self, timeout_s: float) -> None:
        """See the port."""
        left = self._open().flush(timeout_s)
        with self._lock:
            errors, self._errors = self._errors, []
        if errors:
            raise errors[0]
        if left:
            raise LogUnavailable(f"{left} records were not stored within {timeout_s:g} s")

    def close(self) -> None:
        """See the port."""
        if self._producer is None:
            return
        try:
            self.flush(CLOSE_S)
        finally:
            self._producer = None

    def _open(self) -> Producer:
        if self._producer is None:
            raise LogError("this producer is closed")
        return self._producer

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            with self._lock:
                self._errors.append(
                    translate(kafka_error(error), f"a record for {message.topic()} was not stored")
                )


def produce(producer: Producer, write: Write) -> None:
    """Queues a record; raises `BufferError` while the queue is full."""
    topic, partition, key, value, headers, timestamp = write
    producer.produce(
        topic,
        value,
        key,
        -1 if partition is None else partition,
        headers=headers,
        timestamp=max(0, timestamp),
    )


def record_size(write: Write) -> int:
    """The bytes of a record's key, value and headers, framing aside."""
    size = len(write.key or b"") + len(write.value or b"")
    for name, value in write.headers:
        size += len(name) + len(value or b"")
    return size
