"""Reading partitions of a Kafka topic outside any group."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from kstate.log.kafka_config import Settings
from kstate.log.kafka_errors import client_of, translate
from kstate.log.kafka_records import chosen, records_of
from kstate.log.port import Choice, Chunk, Ends

CONNECT_S = 5.0

EndsOf = Callable[[str, Sequence[int]], Mapping[int, Ends]]


class KafkaReader:
    """See `kstate.log.port.Reader`."""

    def __init__(self, settings: Settings, ends_of: EndsOf, *, follows: bool) -> None:
        self._ends_of = ends_of
        name = f"kstate-reader-{uuid.uuid4().hex}"
        self._consumer: Consumer | None = client_of(
            Consumer, settings.reader_consumer(name, follows=follows)
        )
        self._known: set[str] = set()  # topics whose leaders were looked for
        self._topic = ""
        self._only: Choice | None = None

    def assign(self, topic: str, positions: Mapping[int, int], only: Choice | None = None) -> None:
        """See the port."""
        self._only = only
        ends = self._ends_of(topic, sorted(positions))
        self._topic = topic
        assert self._consumer is not None
        if topic not in self._known:
            self._connect(topic)
            self._known.add(topic)
        self._consumer.assign(
            [
                TopicPartition(topic, partition, max(offset, ends[partition].start))
                for partition, offset in positions.items()
            ]
        )

    def _connect(self, topic: str) -> None:
        """Spares the first fetch a second: librdkafka looks for the leaders as soon as partitions
        are assigned, and again only after a second when no broker was connected yet."""
        assert self._consumer is not None
        try:
            self._consumer.list_topics(topic, timeout=CONNECT_S)
        except KafkaException as error:
            raise translate(error, f"{topic} cannot be read") from error

    def poll(self, max_records: int, timeout_s: float) -> Chunk:
        """See the port."""
        assert self._consumer is not None
        try:
            first = self._consumer.poll(timeout_s)
            if first is None:
                return Chunk((), {})
            # `consume` with a timeout would wait for all it was asked for
            rest = self._consumer.consume(max_records - 1, 0) if max_records > 1 else ()
        except KafkaException as error:
            raise translate(error, f"{self._topic} cannot be read") from error
        found: list[Message] = []
        ends: dict[int, int] = {}
        for message in (first, *rest):
            problem = message.error()
            if problem is None:
                found.append(message)
            elif problem.code() == KafkaError._PARTITION_EOF:
                ends[message.partition()] = message.offset()
            else:
                raise translate(problem, f"{self._topic} cannot be read")
        if self._only is None and not ends:
            return Chunk(records_of(found), ends)
        last = {message.partition(): message for message in found}
        passed = {partition: message.offset() + 1 for partition, message in last.items()}
        # what came behind an end may be told together with it
        ends = {each: max(end, passed.get(each, 0)) for each, end in ends.items()}
        if self._only is None:
            return Chunk(records_of(found), ends)
        return Chunk(records_of(chosen(found, self._only)), ends, passed)

    def close(self) -> None:
        """See the port."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
