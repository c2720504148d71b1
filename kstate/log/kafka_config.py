"""librdkafka's properties: what the protocol fixes, what it prefers, and what passes through."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from kstate.errors import ConfigError

logger = logging.getLogger("kstate.kafka")


def _worth_telling(record: logging.LogRecord) -> bool:
    """librdkafka tells of each attempt to connect that fails, of twenty in a second, of each
    partition without a leader, and of each request that it repeats to a coordinator that is still
    loading.  That brokers are away comes as an error, too, and is told once by whoever needs
    them."""
    said = record.getMessage()
    flood = said.startswith(("FAIL [", "METADATAUPDATE [")) or said.endswith(": retrying")
    return logger.isEnabledFor(logging.DEBUG) or not flood


logger.addFilter(_worth_telling)

Properties = dict[str, Any]

DEFAULT_PORT = 9092
TRANSACTION_TIMEOUT_MS = 10_000
SESSION_TIMEOUT_MS = 6_000
FETCH_WAIT_MS = 100
"""How long a broker keeps a question for more.  A partition that starts meanwhile waits as long."""
END_WAIT_MS = 5
"""The same for who reads up to an end: behind the mark of a transaction, that is told by an answer
with nothing in it alone."""
HEARTBEAT_MS = 500
"""How late the others may learn that a member is gone, beside the session timeout."""

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
    "message.max.bytes": "it follows the largest record, which the log's URL gives: "
    "kafka://HOST:PORT?max_record_bytes=BYTES",
    "delivery.report.only.error": "a lower bound of the journal's end is taken from the reports",
}
"""Properties that cannot be set, and why."""

_ALIASES: Mapping[str, str] = {
    "metadata.broker.list": "bootstrap.servers",
    "request.required.acks": "acks",
    "delivery.timeout.ms": "message.timeout.ms",
    "auto.commit.enable": "enable.auto.commit",
}
"""The other names that librdkafka has for fixed properties, all of them."""

_CONSUMERS = frozenset(
    {
        "group.protocol",
        "group.protocol.type",
        "group.remote.assignor",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "coordinator.query.interval.ms",
        "max.poll.interval.ms",
        "check.crcs",
        "queued.min.messages",
        "queued.max.messages.kbytes",
        "fetch.wait.max.ms",
        "fetch.queue.backoff.ms",
        "fetch.message.max.bytes",
        "max.partition.fetch.bytes",
        "fetch.max.bytes",
        "fetch.min.bytes",
        "fetch.error.backoff.ms",
    }
)
"""Properties that consumers alone take."""

_PRODUCERS = frozenset(
    {
        "transaction.timeout.ms",
        "queue.buffering.max.messages",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.ms",
        "linger.ms",
        "message.send.max.retries",
        "retries",
        "batch.num.messages",
        "batch.size",
        "queue.buffering.backpressure.threshold",
        "compression.codec",
        "compression.type",
        "compression.level",
        "sticky.partitioning.linger.ms",
        "request.timeout.ms",
    }
)
"""Properties that producers alone take."""

_CODE = re.compile(
    r".*_cb|logger|on_delivery|on_commit|opaque|default_topic_conf|default\.topic\.config"
)
"""Functions and objects: a program hands them over, a text is none."""

_SECRET = re.compile(r"password|secret|\.key|jaas|oauthbearer|ssl\.\w+\.pem", re.IGNORECASE)


def check_properties(properties: Mapping[str, str], where: str) -> Properties:
    """The properties that pass through; raises `ConfigError` for a fixed one, by the name that was
    written, and for a text where a function or an object belongs."""
    for name, value in properties.items():
        reason = FIXED.get(_ALIASES.get(name, name))
        if reason is None and isinstance(value, str) and _CODE.fullmatch(name):
            reason = "it is a function or an object, and no text"
        if reason is not None:
            raise ConfigError(f"{where} sets {name}, which cannot be set: {reason}")
    return dict(properties)


def shown(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties without their secrets, to be printed."""
    return {n: "***" if _SECRET.search(n) else value for n, value in properties.items()}


_COOPERATIVE = {"partition.assignment.strategy": "cooperative-sticky"}
"""KIP-429: partitions move one by one, and the others' owners go on."""


class Settings:
    """The properties of a cluster's clients: what the user has set, within what is fixed."""

    def __init__(self, bootstrap: str, extra: Mapping[str, str], max_message_bytes: int) -> None:
        common = {
            "bootstrap.servers": bootstrap,
            "socket.keepalive.enable": True,
            "socket.nagle.disable": True,
            "allow.auto.create.topics": False,
            # half of it is how long librdkafka waits between its first connections
            "reconnect.backoff.ms": 50,
            "logger": logger,
            **{n: v for n, v in extra.items() if n not in _CONSUMERS and n not in _PRODUCERS},
        }
        sized = {"message.max.bytes": max_message_bytes, **common}
        self._admin = common
        self._consumer = sized | {n: v for n, v in extra.items() if n in _CONSUMERS}
        self._producer = sized | {n: v for n, v in extra.items() if n in _PRODUCERS}
        self._fetch_bytes = max(max_message_bytes, 2**20)

    def __repr__(self) -> str:
        return str(shown(self._producer | self._consumer))

    def admin(self) -> Properties:
        """A client that asks for topics, offsets and groups."""
        return dict(self._admin)

    def member_consumer(self, group: str, instance: str) -> Properties:
        """The consumer of a worker."""
        return {
            **({} if self._broker_assigns else {"heartbeat.interval.ms": HEARTBEAT_MS}),
            "queued.max.messages.kbytes": 16_384,
            **self._reading(),
            "group.id": group,
            "client.id": instance,
            # KIP-345: a restart does not disturb the others.  With KIP-848 a name would do harm.
            # The broker keeps the seat of a last life for its session and refuses its name until
            # then, which librdkafka takes for the end, and it keeps the seat of one that left as
            # long.  Without a name, who leaves is replaced at once; who was killed and comes back
            # waits beside its last life and gets its partitions, and the others keep theirs
            **({} if self._broker_assigns else _COOPERATIVE | {"group.instance.id": instance}),
        }

    def reader_consumer(self, name: str, *, follows: bool) -> Properties:
        """A consumer that belongs to no group: the group's coordinator never hears its id."""
        return {
            **self._reading(FETCH_WAIT_MS if follows else END_WAIT_MS),
            "group.id": name,
            "client.id": name,
        }

    @property
    def _broker_assigns(self) -> bool:
        """KIP-848: the broker decides about assignments and sessions."""
        return self._consumer.get("group.protocol") == "consumer"

    def _reading(self, fetch_wait_ms: int = FETCH_WAIT_MS) -> Properties:
        session = {} if self._broker_assigns else {"session.timeout.ms": SESSION_TIMEOUT_MS}
        return {
            **session,
            "fetch.wait.max.ms": fetch_wait_ms,
            "fetch.message.max.bytes": self._fetch_bytes,
            **self._consumer,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }

    def member_producer(self, instance: str) -> Properties:
        """The transactional producer of a worker."""
        return {
            # the next transaction meets CONCURRENT_TRANSACTIONS and would wait 100 ms
            "retry.backoff.ms": 2,
            "retry.backoff.max.ms": 50,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "linger.ms": 1,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 262_144,
            **self._producer,
            "client.id": instance,
            "transactional.id": instance,
            "partitioner": "murmur2_random",
        }

    def client_producer(self) -> Properties:
        """A producer outside transactions."""
        return {
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            # how long a topic that is not there may be one that was just created
            "topic.metadata.propagation.max.ms": 3_000,
            **self._producer,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "delivery.report.only.error": True,
        }
