"""Kafka's own log cleaner, made to pass over a topic now."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from kstate.core.messages import Record
from kstate.log.port import Log
from kstate.testing.broker import administrator

STEP_S = 0.2
ADMIN_S = 30.0

_AT_ONCE = {"min.cleanable.dirty.ratio": "0.0", "min.compaction.lag.ms": "0", "segment.ms": "1"}
"""Everything in a segment that is closed is worth cleaning, and each append closes one."""


class NotCleaned(Exception):
    """The cleaner did not come in time; one sentence."""


def compact(log: Log, bootstrap: str, topic: str, patience_s: float) -> None:
    """Returns when no two committed records of a partition have the same key any more.

    The cleaner never touches the segment that is written to, so that is closed by appending to it:
    records of a transaction that is aborted, which nobody who reads committed records ever sees.
    The topic's settings stay changed: for topics of tests only.  Raises `NotCleaned`.
    """
    _configure(bootstrap, topic)
    deadline = time.monotonic() + patience_s
    while _repeated(log, topic):
        if time.monotonic() > deadline:
            raise NotCleaned(f"the cleaner of {topic} did not come within {patience_s:g} s")
        _append_nothing(bootstrap, topic, len(log.ends(topic)))
        time.sleep(STEP_S)


def _configure(bootstrap: str, topic: str) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in _AT_ONCE.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    admin = administrator(bootstrap)
    admin.incremental_alter_configs([resource])[resource].result(ADMIN_S)


def _append_nothing(bootstrap: str, topic: str, partitions: int) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": f"cleaner-{uuid.uuid4().hex}"}
    )
    producer.init_transactions(ADMIN_S)
    producer.begin_transaction()
    for partition in range(partitions):
        producer.produce(topic, b"", b"", partition)
    producer.flush(ADMIN_S)
    producer.abort_transaction(ADMIN_S)


def _repeated(log: Log, topic: str) -> bool:
    """Whether a key occurs twice in a partition."""
    ends = {partition: bounds.end for partition, bounds in log.ends(topic).items()}
    seen: set[tuple[int, bytes | None]] = set()
    count = 0
    for record in _read(log, topic, ends):
        seen.add((record.partition, record.key))
        count += 1
    return count > len(seen)


def _read(log: Log, topic: str, ends: Mapping[int, int]) -> list[Record]:
    reader = log.reader()
    try:
        reader.assign(topic, dict.fromkeys(ends, 0))
        records: list[Record] = []
        left = dict(ends)
        while left:
            chunk = reader.poll(1_000, STEP_S)
            records.extend(chunk.records)
            left = {p: end for p, end in left.items() if chunk.ends.get(p, -1) < end}
        return records
    finally:
        reader.close()
