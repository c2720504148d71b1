"""From where a consumer delivers a partition that is assigned to it."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from kstate.errors import LogUnavailable
from kstate.log.kafka_errors import kafka_error, translate

SEEK_S = 5.0
"""How long to try to move a position while a rebalance goes on."""
RETRY_S = 0.01

_OVERTAKEN = frozenset({KafkaError._OUTDATED, KafkaError._PREV_IN_PROGRESS, KafkaError._STATE})
"""What librdkafka answers to a seek when its own threads start, stop or pause the partition at the
same time (`rd_kafka_toppar_op_serve`, `rd_kafka_toppar_seek`)."""


def begin(consumer: Consumer, place: TopicPartition) -> None:
    """Has a partition delivered that was not."""
    try:
        consumer.incremental_assign([place])
    except KafkaException as error:
        raise translate(error, _what(place)) from error


def seek(consumer: Consumer, place: TopicPartition) -> None:
    """Has a partition delivered from another offset."""
    deadline = time.monotonic() + SEEK_S
    while True:
        try:
            consumer.seek(place)
        except KafkaException as error:
            if kafka_error(error).code() not in _OVERTAKEN:
                raise translate(error, _what(place)) from error
            if time.monotonic() > deadline:
                raise LogUnavailable(f"{_what(place)}: {kafka_error(error).str()}") from error
            time.sleep(RETRY_S)
        else:
            return


def _what(place: TopicPartition) -> str:
    return f"{place.topic}:{place.partition} cannot be read"
