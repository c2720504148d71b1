"""One transactional producer, and what its errors mean.

===========================================  ===================================================
librdkafka says                              what is done
===========================================  ===================================================
retriable, of all but begin and produce      the same call again, while there is time
the transaction must be aborted              it is, and when that is confirmed: TransactionAborted,
                                             or Fenced when the group went on without the member
a record is too large                        the same, and then EncodeError
fenced                                       Fenced: the producer is of no use any more
anything else, no answer in time included    OutcomeUnknown: likewise; a commit may have succeeded
===========================================  ===================================================

A producer is never used again after an unknown outcome: librdkafka speaks transactions of
version 1, where the delayed end of one transaction may hit the next (KAFKA-17754).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from kstate.core.messages import WriteRow
from kstate.errors import EncodeError, KStateError, OutcomeUnknown
from kstate.log.kafka_config import Settings
from kstate.log.kafka_errors import (
    after_abort,
    after_transaction,
    client_of,
    kafka_error,
    too_large,
    translate,
)

TRANSACTIONS_TOPIC = "__transaction_state"
INIT_S = 10.0
ABORT_S = 5.0
AGAIN_S = 0.02
"""Between a retriable error and the next try: some come at once, without a broker's answer."""
LATE_S = 1.0
FULL_WAIT_S = 0.05

logger = logging.getLogger("kstate.kafka")

Bounds = dict[tuple[str, int], int]


class Transactions:
    """The transactions of one worker, one at a time: each begins with its first records."""

    def __init__(self, settings: Settings, instance: str) -> None:
        properties = settings.member_producer(instance)
        self._producer = client_of(Producer, properties)
        # after that the brokers end a transaction themselves: nothing is worth waiting for
        self._patience_s = int(properties["transaction.timeout.ms"]) / 1000
        self._bounds: Bounds = {}
        self._over: KStateError | None = None  # why the producer is never used again
        self._stuck = False
        self._open = False
        self._instance = instance

    def begin_life(self) -> None:
        """Ends what an earlier life of this worker left open; raises `LogUnavailable`.

        librdkafka asks the address it was given for the coordinator, takes up the broker's own name
        for that address meanwhile, which drops the question, and asks again after half a second.
        So it learns the names with a first question, and uses one with the second.
        """
        try:
            for _ in range(2):
                self._producer.list_topics(TRANSACTIONS_TOPIC, timeout=INIT_S)
            self._again(self._producer.init_transactions, INIT_S)
        except KafkaException as error:
            raise translate(error, f"{self._instance} cannot begin its transactions") from error

    def write(self, writes: Sequence[WriteRow], marked: set[int]) -> None:
        """Adds records to the transaction; when it raises, none is open any more.

        ``marked`` are the indexes of the writes whose offset is to be known after the commit.
        """
        try:
            self._begin()
            self._produce(writes, marked)
        except KafkaException as error:
            raise self._after(error) from error
        except (EncodeError, BufferError, TypeError, ValueError) as error:
            self.abort()
            raise EncodeError(f"a record cannot be written: {error}") from error

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> Bounds:
        """Ends the transaction with these offsets; see `Member.commit`."""
        try:
            self._begin()
            self._send_offsets(offsets, group)
            self._again(self._producer.commit_transaction, self._patience_s)
        except KafkaException as error:
            raise self._after(error) from error
        self._open = False
        self._producer.poll(0)
        return self._bounds

    def _begin(self) -> None:
        if self._over is not None:
            raise self._over
        if not self._open:
            self._bounds = {}
            self._producer.begin_transaction()
            self._open = True

    def _send_offsets(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """In a thread that can be left behind: in librdkafka 2.16 the call may wait for ever,
        beyond its timeout, when the coordinator goes away in the middle of it.

        A retriable error comes before the offsets are sent, while the group is added to the
        transaction, and ends the call within librdkafka, so that the next one begins anew.  What
        fails later must be aborted.  The same offsets twice are the same offsets.
        """
        failed: list[BaseException] = []

        def call(left_s: float) -> None:
            producer.send_offsets_to_transaction(offsets, group, left_s)

        def send() -> None:
            try:
                self._again(call, self._patience_s)
            except BaseException as error:  # noqa: BLE001 - raised again below
                failed.append(error)

        producer = self._producer
        thread = threading.Thread(target=send, name="kstate-offsets", daemon=True)
        thread.start()
        thread.join(self._patience_s + LATE_S)
        if thread.is_alive():
            self._stuck, self._open = True, False
            self._over = OutcomeUnknown(f"{self._instance} got no answer about its offsets")
            raise self._over
        if failed:
            raise failed[0]

    def _produce(self, writes: Sequence[WriteRow], marked: set[int]) -> None:
        produce = self._producer.produce
        delivered = self._delivered
        for index, (topic, partition, key, value, headers, timestamp) in enumerate(writes):
            number = -1 if partition is None else partition
            report = delivered if index in marked else None
            while True:
                try:
                    # all by position, with the report for both of its names: a dict less to make
                    produce(topic, value, key, number, report, report, timestamp, headers)
                except BufferError:
                    self._producer.poll(FULL_WAIT_S)
                    continue
                break

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._bounds[message.topic(), message.partition()] = message.offset() + 1

    def _again(self, call: Callable[[float], None], patience_s: float) -> None:
        """Calls, with the seconds that are left, until it succeeds, fails for good, or there is no
        time any more."""
        deadline = time.monotonic() + patience_s
        left_s = patience_s
        while True:
            try:
                return call(left_s)
            except KafkaException as error:
                cause = kafka_error(error)
                left_s = deadline - time.monotonic() - AGAIN_S
                if not cause.retriable() or cause.fatal() or cause.txn_requires_abort():
                    raise
                if left_s <= 0:
                    raise
                logger.warning("%s: trying again: %s", self._instance, cause.str())
                time.sleep(AGAIN_S)

    def _after(self, error: KafkaException) -> KStateError:
        cause = kafka_error(error)
        if not cause.txn_requires_abort() and not too_large(cause):
            return self._give_up(error, f"the transaction of {self._instance} failed")
        self.abort()
        return after_abort(error)

    def _give_up(self, error: KafkaException, what: str) -> KStateError:
        """Nobody knows what becomes of the transaction: the producer is never used again."""
        self._open = False
        self._over = after_transaction(error, what)
        return self._over

    def abort(self) -> None:
        """Drops what the transaction has, if one is open; raises as `commit` when that is not
        confirmed."""
        if not self._open:
            return
        self._open = False
        try:
            self._again(self._producer.abort_transaction, ABORT_S)
        except KafkaException as error:
            raise self._give_up(error, "the abort is not confirmed") from error
        self._producer.poll(0)

    def close(self) -> None:
        """Drops the producer, with whatever it has under way."""
        try:
            self.abort()  # or readers would wait for the transaction's timeout
        except KStateError as error:
            logger.warning("%s: closed with its transaction open: %s", self._instance, error)
        if not self._stuck:  # its thread keeps a producer that hangs until the process ends
            self._producer.purge()
        del self._producer
