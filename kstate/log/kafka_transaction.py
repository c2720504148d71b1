"""One transactional producer, and what its errors mean.

===========================================  ===================================================
librdkafka says                              what is done
===========================================  ===================================================
retriable                                    the same call again
the transaction must be aborted              it is, and when that is confirmed: TransactionAborted,
                                             or Fenced when the group went on without the member
fenced                                       Fenced: the producer is of no use any more
anything else, a lost connection included    OutcomeUnknown: likewise; a commit may have succeeded
===========================================  ===================================================

A producer is never used again after an unknown outcome: librdkafka speaks transactions of
version 1, where the delayed end of one transaction may hit the next (KAFKA-17754).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from kstate.core.messages import Write
from kstate.errors import EncodeError
from kstate.log.kafka_config import Settings
from kstate.log.kafka_errors import (
    after_abort,
    after_transaction,
    client_of,
    kafka_error,
    translate,
)

INIT_S = 30.0
FULL_WAIT_S = 0.05

logger = logging.getLogger("kstate.kafka")

Bounds = dict[tuple[str, int], int]


class Transactions:
    """The transactions of one worker, one at a time."""

    def __init__(self, settings: Settings, instance: str) -> None:
        self._producer = client_of(Producer, settings.member_producer(instance))
        self._bounds: Bounds = {}
        self._instance = instance

    def begin_life(self) -> None:
        """Ends what an earlier life of this worker left open; raises `LogUnavailable`."""
        try:
            self._again(lambda: self._producer.init_transactions(INIT_S))
        except KafkaException as error:
            raise translate(error, f"{self._instance} cannot begin its transactions") from error

    def run(
        self,
        writes: Sequence[Write],
        offsets: Sequence[TopicPartition],
        group: Any,
        marked: set[int],
    ) -> Bounds:
        """Writes the records and the offsets in one transaction; see `Member.commit`.

        ``marked`` are the indexes of the writes whose offset is to be known afterwards.
        """
        producer = self._producer
        self._bounds = {}
        try:
            producer.begin_transaction()
            self._produce(writes, marked)
            self._again(lambda: producer.send_offsets_to_transaction(offsets, group))
            self._again(producer.commit_transaction)
        except KafkaException as error:
            raise self._after(error) from error
        except (EncodeError, BufferError, TypeError, ValueError) as error:
            self._abort()
            raise EncodeError(f"a record cannot be written: {error}") from error
        producer.poll(0)
        return self._bounds

    def _produce(self, writes: Sequence[Write], marked: set[int]) -> None:
        produce = self._producer.produce
        delivered = self._delivered
        for index, (topic, partition, key, value, headers, timestamp) in enumerate(writes):
            number = -1 if partition is None else partition
            report = delivered if index in marked else None
            while True:
                try:
                    produce(topic, value, key, number, report, timestamp=timestamp, headers=headers)
                except BufferError:
                    self._producer.poll(FULL_WAIT_S)
                    continue
                break

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._bounds[message.topic(), message.partition()] = message.offset() + 1

    def _again(self, call: Callable[[], None]) -> None:
        """Calls until it succeeds or fails for good."""
        while True:
            try:
                return call()
            except KafkaException as error:
                cause = kafka_error(error)
                if not cause.retriable() or cause.fatal() or cause.txn_requires_abort():
                    raise
                logger.warning("%s: trying again: %s", self._instance, cause.str())

    def _after(self, error: KafkaException) -> Exception:
        cause = kafka_error(error)
        if not cause.txn_requires_abort():
            return after_transaction(error, f"the transaction of {self._instance} failed")
        self._abort()
        return after_abort(error)

    def _abort(self) -> None:
        try:
            self._again(self._producer.abort_transaction)
        except KafkaException as error:
            raise after_transaction(error, "the abort is not confirmed") from error
        self._producer.poll(0)

    def close(self) -> None:
        """Drops the producer, with whatever it has under way."""
        self._producer.purge()
        del self._producer
