"""What a killed worker left open keeps nobody waiting."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from kstate.errors import LogUnavailable
from kstate.log.kafka import KafkaLog
from kstate.log.port import Committed
from kstate.testing.log_world import World

PATIENCE_S = 40.0
TRANSACTION_TIMEOUT_MS = 60_000
"""Longer than a test waits: what ends a transaction sooner is not its timeout."""


@pytest.fixture
def world(bootstrap: str) -> Iterator[World]:
    made = World(lambda: KafkaLog(bootstrap), PATIENCE_S)
    yield made
    made.close()


def leave_open(bootstrap: str, instance: str, group: str, topic: str) -> Producer:
    """A transaction with the group's progress in it, as a worker of that name leaves one."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": instance,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        }
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"open", b"k", 0)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    metadata = consumer.consumer_group_metadata()
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 9)], metadata)
    producer.flush()
    consumer.close()
    return producer


def test_the_progress_is_stable_at_once_when_an_orphans_transaction_is_ended(
    world: World, bootstrap: str
) -> None:
    topic, group, gone = world.topic(1), world.group(), f"gone-{uuid.uuid4().hex}"
    seat = world.owner(group, topic, f"heir-{uuid.uuid4().hex}")
    seat.member.commit([], {0: Committed(7, "before")})
    left = leave_open(bootstrap, gone, group, topic)
    with pytest.raises(LogUnavailable):
        seat.member.committed(0)
    began = time.monotonic()

    assert world.log.end_orphan(group, gone)

    def stable() -> bool:
        try:
            return seat.member.committed(0) == Committed(7, "before")
        except LogUnavailable:
            return False

    world.until(stable, "the progress was stable")
    assert time.monotonic() - began < TRANSACTION_TIMEOUT_MS / 1000
    ends = world.log.ends(topic)[0]
    assert ends.stable == ends.end
    del left


def test_the_transaction_of_a_member_is_left_alone(world: World, bootstrap: str) -> None:
    topic, group, alive = world.topic(1), world.group(), f"alive-{uuid.uuid4().hex}"
    seat = world.owner(group, topic, alive)
    assert not world.log.end_orphan(group, alive)
    seat.member.commit([], {0: Committed(1, "m")})
    assert seat.member.committed(0) == Committed(1, "m")
