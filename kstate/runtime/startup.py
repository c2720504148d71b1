"""What must be true before a worker takes a seat: topics, schemas, targets."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kstate.core.topics import Topics
from kstate.errors import TopicError
from kstate.log.port import Log
from kstate.runtime.schema_topic import FORMAT, SchemaTopic
from kstate.runtime.topic_check import (
    TOMBSTONE_AGE_MS,
    Survey,
    created_anew,
    narrow,
    refuse,
    since_it_began,
    survey,
    topic_specs,
    weak_lines,
    without_meta,
)

SEEN_S = 10.0
"""How long the brokers may take to know a topic that was created."""
LOOK_S = 0.05

logger = logging.getLogger("kstate.worker")


class Surroundings(NamedTuple):
    """What a worker has to know of the topics around it."""

    partitions: int
    targets: Mapping[str, str]  # processor it may send to → its commands topic
    reply_topics: Mapping[str, int]  # topics that may be replied on → their partitions
    snapshots_identity: str
    tombstone_age_ms: int
    max_record_bytes: int  # the smallest limit of the topics that the worker writes to


def prepare_topics(log: Log, topics: Topics, partitions: int | None, new: int) -> int:
    """Creates the topics that are missing and checks the others; the partition count.

    ``partitions`` is what was asked for, None: whatever there is; ``new``: for a new processor.
    Raises `TopicError` for topics that do not fit, and for one that is lost while others show that
    the processor was at work, in words that name the cure, and creates nothing beside them; warns
    of those that are weak.
    """
    found = survey(log, topics, partitions, new, meta=False)
    refuse(found.findings)
    if found.missing:
        log.create_topics(found.missing)
        for line in created_anew(topics, found):
            logger.warning("%s", line)
        found = _seen(log, topics, partitions, new)
    if found.missing:
        raise TopicError(f"the topic {found.missing[0].name} could not be created")
    for line in weak_lines(found.findings):
        logger.warning("%s", line)
    return found.partitions


def _seen(log: Log, topics: Topics, partitions: int | None, new: int) -> Survey:
    """The topics once those that were just created are told: brokers learn of them one by one."""
    deadline = time.monotonic() + SEEN_S
    while True:
        found = survey(log, topics, partitions, new, meta=False)
        refuse(found.findings)
        if not found.missing or time.monotonic() > deadline:
            return found
        time.sleep(LOOK_S)


def warn_of(log: Log) -> None:
    """Warns of what is weak in the log itself, whatever the processor."""
    for sentence in log.weaknesses():
        logger.warning("%s", sentence)


def prepare_schemas(log: Log, topics: Topics, schemas: SchemaTopic, count: int, now: int) -> int:
    """Reads the schemas topic, checks what it says of the topics, publishes what is missing.

    How many schemas were published.  Raises `TopicError` for topics created anew behind our back,
    and for a processor that was at work although there is no record of its beginning.
    """
    schemas.refresh()
    if schemas.meta is None:
        lost = without_meta(log, topics, topics)
        if lost:
            schemas.refresh()  # another worker may have begun just now
        if schemas.meta is None:
            refuse(lost)
            return schemas.publish(meta_of(log, topics, count), now)
    refuse(since_it_began(topics, schemas.meta, meta_of(log, topics, count)))
    return schemas.publish(None, now)


def meta_of(log: Log, topics: Topics, count: int) -> dict[str, Any]:
    """The ``meta`` record that a first worker would write today; the topics must be there."""
    kept = (topics.commands, topics.journal, topics.snapshots)
    there = log.topics(kept)
    return {
        "format": FORMAT,
        "partitions": count,
        "topics": {name: there[name].identity for name in kept},
        "cluster": log.identity(),
    }


def look_around(
    log: Log, topics: Topics, count: int, sends: Iterable[str], prefix: str, extra: Iterable[str]
) -> Surroundings:
    """What the worker has to know of other topics; raises `TopicError` for missing ones."""
    targets = {name: Topics.of(name, prefix).commands for name in sends}
    written = [spec.name for spec in topic_specs(topics, count) if spec.name != topics.schemas]
    there = log.topics([*targets.values(), *written, *extra])
    for name, topic in targets.items():
        if topic not in there:
            raise TopicError(
                f"{topic} does not exist, but {topics.group} sends to {name}: "
                f"start a worker of {name} first, or in the same run"
            )
    missing = [topic for topic in extra if topic not in there]
    if missing:
        raise TopicError(f"the reply topic {missing[0]} does not exist: create it first")
    refuse(finding for info in there.values() for finding in narrow(info, log.max_record_bytes))
    return Surroundings(
        partitions=count,
        targets=targets,
        reply_topics={name: there[name].partitions for name in (topics.replies, *extra)},
        snapshots_identity=there[topics.snapshots].identity,
        tombstone_age_ms=min(TOMBSTONE_AGE_MS, there[topics.snapshots].delete_retention_ms),
        max_record_bytes=min(info.max_record_bytes for info in there.values()),
    )
