"""A member whose seat was taken by another one under its name, and which has not noticed."""

from __future__ import annotations

import time
import uuid

from confluent_kafka import Consumer

from kstate.log.port import TopicSpec
from kstate.wiring import open_log

PATIENCE_S = 30.0
HEARTBEATS_S = 4.0  # two of them, after which the consumer knows, and its member does not


def test_a_member_that_was_fenced_unnoticed_closes_in_peace(bootstrap: str) -> None:
    log = open_log(f"kafka://{bootstrap}")
    name = f"fenced-{uuid.uuid4().hex[:8]}"
    log.create_topics([TopicSpec(name, 1, "delete")])
    member = log.join(name, name, "seat")
    deadline = time.monotonic() + PATIENCE_S
    while not log.owners(name, name) and time.monotonic() < deadline:
        member.poll(1, 0.1)

    twin = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": name,
            "group.instance.id": "seat",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1500,
        }
    )
    twin.subscribe([name])
    while not twin.assignment() and time.monotonic() < deadline:
        twin.poll(0.1)
    assert twin.assignment()
    known = time.monotonic() + HEARTBEATS_S
    while time.monotonic() < known:
        twin.poll(0.1)

    member.close()
    twin.close()
    log.close()
