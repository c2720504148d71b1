"""Golden logs: what a generation of a bank left on its log, as JSON lines that are kept for ever.

Each line is a record: topic (without prefix and processor), partition, offset, timestamp in ms, and
key, value and headers in base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from kstate.core.messages import Record, Write
from kstate.core.topics import Topics
from kstate.log.port import Log
from kstate.runtime.schema_topic import META_KEY
from kstate.runtime.startup import meta_of, prepare_topics

DIRECTORY = Path(__file__).parent / "kept"
SCHEMAS = Path(__file__).parent / "schemas"
GENERATIONS = ("2024", "2025", "today")
PARTITIONS = 2
TOPICS = ("commands", "journal", "snapshots", "schemas")
READ_S = 20.0
CHUNK = 1_000


class Noted(NamedTuple):
    """What a generation's own fold made of an account."""

    seq: int
    state: dict[str, Any]


class Golden(NamedTuple):
    """All that is kept of a generation."""

    records: dict[str, list[Record]]  # by topic, in the order of partition and offset
    states: dict[str, Noted]  # by persist id; deleted accounts are not there


def paths(generation: str) -> tuple[Path, Path]:
    """Where the records and the states of a generation are kept."""
    return DIRECTORY / f"{generation}.jsonl", DIRECTORY / f"{generation}.states.json"


def read(generation: str) -> Golden:
    """What is kept of a generation."""
    log_file, states_file = paths(generation)
    records: dict[str, list[Record]] = {topic: [] for topic in TOPICS}
    for line in log_file.read_text("utf-8").splitlines():
        fields = json.loads(line)
        records[fields["topic"]].append(
            Record(
                fields["partition"],
                fields["offset"],
                _bytes(fields["key"]),
                _bytes(fields["value"]),
                [(name, base64.b64decode(value)) for name, value in fields["headers"]],
                fields["timestamp"],
            )
        )
    noted = json.loads(states_file.read_text("utf-8"))
    return Golden(records, {key: Noted(**each) for key, each in noted.items()})


def line_of(topic: str, record: Record) -> str:
    """The line that keeps a record."""
    return json.dumps(
        {
            "topic": topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": [[name, _text(value)] for name, value in record.headers],
        },
        separators=(",", ":"),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def pour(log: Log, topics: Topics, records: dict[str, list[Record]]) -> None:
    """Writes golden records to a log that has no such processor yet, at the offsets they had.

    The schemas topic's note is of the topics here, as whoever copies topics from one cluster to
    another has to write it.
    """
    prepare_topics(log, topics, PARTITIONS, PARTITIONS)
    meta = json.dumps(meta_of(log, topics, PARTITIONS)).encode()
    producer = log.producer()
    try:
        for topic, kept in records.items():
            name = getattr(topics, topic)
            for record in kept:
                value = meta if record.key == META_KEY else record.value
                producer.send(
                    Write(
                        name, record.partition, record.key, value, record.headers, record.timestamp
                    )
                )
        producer.flush(READ_S)
    finally:
        producer.close()


def assert_without_holes(records: Iterable[Record]) -> None:
    """Raises `ValueError` when a copy of the records would have other offsets than they."""
    following: dict[int, int] = {}
    for record in records:
        expected = following.get(record.partition, 0)
        if record.offset != expected:
            raise ValueError(f"{record.partition}:{record.offset} follows {expected - 1}")
        following[record.partition] = expected + 1
