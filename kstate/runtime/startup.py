"""What must be true before a worker takes a seat: topics, schemas, targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kstate.core.topics import Topics
from kstate.errors import TopicError
from kstate.log.port import Log, TopicInfo, TopicSpec
from kstate.runtime.schema_topic import FORMAT, SchemaTopic

DAY_MS = 86_400_000
COMMAND_RETENTION_MS = 7 * DAY_MS
REPLY_RETENTION_MS = 3_600_000
DEAD_LETTER_RETENTION_MS = 30 * DAY_MS
TOMBSTONE_AGE_MS = 7 * DAY_MS
REPLY_PARTITIONS = 4


class Surroundings(NamedTuple):
    """What a worker has to know of the topics around it."""

    partitions: int
    targets: Mapping[str, str]  # processor it may send to → its commands topic
    reply_topics: Mapping[str, int]  # topics that may be replied on → their partitions
    snapshots_identity: str
    tombstone_age_ms: int


def topic_specs(topics: Topics, partitions: int) -> list[TopicSpec]:
    """The topics of a processor with ``partitions`` partitions, as they should be."""
    return [
        TopicSpec(
            topics.commands,
            partitions,
            "delete",
            retention_ms=COMMAND_RETENTION_MS,
            log_append_time=True,
        ),
        TopicSpec(topics.journal, partitions, "compact", delete_retention_ms=TOMBSTONE_AGE_MS),
        TopicSpec(
            topics.snapshots,
            partitions,
            "compact",
            delete_retention_ms=TOMBSTONE_AGE_MS,
            short=True,
        ),
        TopicSpec(topics.replies, REPLY_PARTITIONS, "delete", retention_ms=REPLY_RETENTION_MS),
        TopicSpec(topics.dead_letters, partitions, "delete", retention_ms=DEAD_LETTER_RETENTION_MS),
        TopicSpec(topics.schemas, 1, "compact"),
    ]


def prepare_topics(log: Log, topics: Topics, partitions: int | None, new: int) -> int:
    """Creates the topics that are missing and checks the others; the partition count.

    ``partitions`` is what was asked for, None: whatever there is; ``new``: for a new processor.
    Raises `TopicError` for topics that do not fit, in words that name the cure.
    """
    specs = topic_specs(topics, 1)
    there = log.topics([spec.name for spec in specs])
    known = there.get(topics.commands)
    count = known.partitions if known is not None else (partitions or new)
    if partitions is not None and partitions != count:
        raise TopicError(
            f"{topics.commands} has {count} partitions, not {partitions}: the count is fixed for "
            "the life of a processor; leave it out, or export the journal and import it elsewhere"
        )
    wanted = topic_specs(topics, count)
    log.create_topics(spec for spec in wanted if spec.name not in there)
    there = log.topics([spec.name for spec in wanted])
    for spec in wanted:
        _check(spec, there.get(spec.name), topics)
    return count


def _check(spec: TopicSpec, info: TopicInfo | None, topics: Topics) -> None:
    if info is None:
        raise TopicError(f"the topic {spec.name} could not be created")
    if info.cleanup != spec.cleanup:
        raise TopicError(
            f"the topic {spec.name} has cleanup {info.cleanup}, it needs {spec.cleanup}: "
            "change its cleanup policy"
        )
    if spec.name != topics.replies and info.partitions != spec.partitions:
        raise TopicError(
            f"the topic {spec.name} has {info.partitions} partitions, "
            f"{topics.commands} suggests {spec.partitions}: they must be the same"
        )


def prepare_schemas(log: Log, topics: Topics, schemas: SchemaTopic, count: int, now: int) -> int:
    """Reads the schemas topic, checks what it says of the topics, publishes what is missing.

    How many schemas were published.  Raises `TopicError` for topics created anew behind our back.
    """
    schemas.refresh()
    kept = (topics.commands, topics.journal, topics.snapshots)
    there = log.topics(kept)
    today = {"format": FORMAT, "partitions": count, "topics": {n: there[n].identity for n in kept}}
    if schemas.meta is None:
        return schemas.publish(today, now)
    _compare(topics, schemas.meta, today)
    return schemas.publish(None, now)


def _compare(topics: Topics, meta: Mapping[str, Any], today: Mapping[str, Any]) -> None:
    if meta.get("partitions") != today["partitions"]:
        raise TopicError(
            f"{topics.commands} has {today['partitions']} partitions, but the processor began with "
            f"{meta.get('partitions')}: the count is fixed for its life; export the journal and "
            "import it elsewhere"
        )
    before = meta.get("topics", {})
    anew = [name for name, identity in today["topics"].items() if before.get(name) != identity]
    if anew:
        raise TopicError(
            f"{' and '.join(anew)} was deleted and created anew since the processor began: "
            "restore it, or give the processor a new prefix"
        )


def look_around(
    log: Log, topics: Topics, count: int, sends: Iterable[str], prefix: str, extra: Iterable[str]
) -> Surroundings:
    """What the worker has to know of other topics; raises `TopicError` for missing ones."""
    targets = {name: Topics.of(name, prefix).commands for name in sends}
    there = log.topics([*targets.values(), topics.replies, topics.snapshots, *extra])
    for name, topic in targets.items():
        if topic not in there:
            raise TopicError(
                f"{topic} does not exist, but {topics.group} sends to {name}: "
                f"start a worker of {name} first, or in the same run"
            )
    missing = [topic for topic in extra if topic not in there]
    if missing:
        raise TopicError(f"the reply topic {missing[0]} does not exist: create it first")
    return Surroundings(
        partitions=count,
        targets=targets,
        reply_topics={name: there[name].partitions for name in (topics.replies, *extra)},
        snapshots_identity=there[topics.snapshots].identity,
        tombstone_age_ms=TOMBSTONE_AGE_MS,
    )
