"""librdkafka's properties: what the protocol fixes, what it prefers, and what passes through."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from kstate.errors import ConfigError

logger = logging.getLogger("kstate.kafka")

Properties = dict[str, Any]

DEFAULT_PORT = 9092
TRANSACTION_TIMEOUT_MS = 10_000
SESSION_TIMEOUT_MS = 6_000

FIXED: Mapping[str, str] = {
    "group.id": "it is the processor's name",
    "client.id": "it is the worker's name, so that a restart can end what the last life left open",
    "transactional.id": "it is the worker's name",
    "group.instance.id": "it is the worker's name",
    "enable.auto.commit": "offsets are committed with the transaction",
    "enable.auto.offset.store": "offsets are committed with the transaction",
    "auto.offset.reset": "a reset must never be silent",
    "isolation.level": "only committed records count",
    "enable.idempotence": "transactions need it",
    "acks": "transactions need all",
    "partitioner": "a persist id must hash alike everywhere",
    "enable.partition.eof": "readers rely on it",
    "allow.auto.create.topics": "topics are created with their settings",
    "partition.assignment.strategy": "partitions move one by one",
    "message.timeout.ms": "it follows the transaction's",
    "bootstrap.servers": "it is the log's URL",
    "delivery.report.only.error": "a lower bound of the journal's end is taken from the reports",
}
"""Properties that cannot be set, and why."""

_SECRET = re.compile(r"password|secret|\.key|jaas|oauthbearer|ssl\.\w+\.pem", re.IGNORECASE)


def check_properties(properties: Mapping[str, str], where: str) -> Properties:
    """The properties that pass through; raises `ConfigError` for a fixed one, by name."""
    for name in properties:
        if name in FIXED:
            raise ConfigError(f"{where} sets {name}, which cannot be set: {FIXED[name]}")
    return dict(properties)


def shown(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties without their secrets, to be printed."""
    return {n: "***" if _SECRET.search(n) else value for n, value in properties.items()}


def common(bootstrap: str, extra: Mapping[str, Any]) -> Properties:
    """What every client of the cluster has."""
    return {
        "bootstrap.servers": bootstrap,
        "socket.keepalive.enable": True,
        "socket.nagle.disable": True,
        "allow.auto.create.topics": False,
        "logger": logger,
        **extra,
    }


def member_consumer(base: Mapping[str, Any], group: str, instance: str) -> Properties:
    """The consumer of a worker."""
    return {
        # a partition that starts waits out the fetch under way: keep that short
        "fetch.wait.max.ms": 100,
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": 1_500,
        "queued.max.messages.kbytes": 16_384,
        **base,
        "group.id": group,
        "client.id": instance,
        "group.instance.id": instance,  # KIP-345: a restart does not disturb the others
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",  # KIP-429
    }


def member_producer(base: Mapping[str, Any], instance: str) -> Properties:
    """The transactional producer of a worker."""
    return {
        # the next transaction meets CONCURRENT_TRANSACTIONS and would wait 100 ms
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 50,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "linger.ms": 1,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 262_144,
        **base,
        "client.id": instance,
        "transactional.id": instance,
        "partitioner": "murmur2_random",
    }


def reader_consumer(base: Mapping[str, Any], name: str) -> Properties:
    """A consumer that belongs to no group: the id is never used with the group's coordinator."""
    return {
        "fetch.wait.max.ms": 100,
        **base,
        "group.id": name,
        "client.id": name,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }


def client_producer(base: Mapping[str, Any]) -> Properties:
    """A producer outside transactions."""
    return {
        "linger.ms": 5,
        "queue.buffering.max.messages": 1_000_000,
        **base,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
    }
