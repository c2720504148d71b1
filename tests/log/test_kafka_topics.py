"""A topic on Kafka: how it is created, what is told of it, and a worker on one that takes less."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType
from world import World, header

from kstate import Command, Context, Processor, command, event
from kstate.core.topics import Topics
from kstate.errors import EncodeError, TopicError
from kstate.log.kafka import KafkaLog
from kstate.log.kafka_topics import FRAMING_BYTES, info_of
from kstate.runtime.topic_check import topic_specs
from kstate.testing.broker import administrator
from kstate.testing.log_world import write

NARROW = 20_000
IN_SYNC = "min.insync.replicas"


class Cluster:
    """A cluster, as its administrator has it."""

    def __init__(self, bootstrap: str) -> None:
        self.admin = administrator(bootstrap)
        self.log = KafkaLog(bootstrap)

    def create(self, name: str, partitions: int = 1, **settings: str) -> str:
        """Creates a topic whose settings are ``cleanup_policy=…``."""
        config = {setting.replace("_", "."): value for setting, value in settings.items()}
        new = NewTopic(name, partitions, 1, config=config)
        self.admin.create_topics([new])[name].result(30)
        # created, but a broker may not have heard of it yet
        deadline = time.monotonic() + 30
        while not self._known(name):
            assert time.monotonic() < deadline, f"{name} was created, and is not there"
        return name

    def _known(self, name: str) -> bool:
        if name not in self.log.topics([name]):
            return False
        try:
            return bool(self.settings(name))
        except KafkaException:
            return False

    def settings(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        found = self.admin.describe_configs([resource])[resource].result(30)
        return {name: entry.value for name, entry in found.items()}


@pytest.fixture
def cluster(bootstrap: str) -> Cluster:
    return Cluster(bootstrap)


@pytest.fixture
def on_kafka(bootstrap: str, tmp_path: Path) -> Iterator[World]:
    made = World(f"kafka://{bootstrap}", tmp_path)
    try:
        yield made
    finally:
        made.close()


def fresh() -> str:
    return f"t-{uuid.uuid4().hex}"


# -- what is created -------------------------------------------------------------------------------


def test_a_processors_topics_are_created_with_the_settings_they_need(cluster: Cluster) -> None:
    topics = Topics.of("bank", f"{fresh()}-")
    cluster.log.create_topics(topic_specs(topics, 2))
    journal, commands = cluster.settings(topics.journal), cluster.settings(topics.commands)
    assert journal["cleanup.policy"] == "compact"
    assert journal["delete.retention.ms"] == str(7 * 86_400_000)
    assert float(journal["min.cleanable.dirty.ratio"]) == 0.8
    assert journal["unclean.leader.election.enable"] == "false"
    assert commands["message.timestamp.type"] == "LogAppendTime"
    assert commands["retention.ms"] == str(7 * 86_400_000)
    assert commands["retention.bytes"] == "-1"


# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "told"),
    [("compact", "compact"), ("delete,compact", "compact,delete"), ("delete", "delete")],
)
def test_a_cleanup_policy_is_told_whole(cluster: Cluster, policy: str, told: str) -> None:
    topic = cluster.create(fresh(), cleanup_policy=policy)
    assert cluster.log.topics([topic])[topic].cleanup == told


def test_a_topic_takes_records_as_large_as_is_told_and_none_beyond_its_setting(
    cluster: Cluster,
) -> None:
    topic = cluster.create(fresh(), max_message_bytes=str(NARROW))
    told = cluster.log.topics([topic])[topic].max_record_bytes
    producer = cluster.log.producer()
    producer.send(write(topic, 0, bytes(told - 5), key=b"k", headers=[("name", b"")]))
    producer.flush(20)
    producer.send(write(topic, 0, bytes(NARROW), key=b"k"))
    with pytest.raises(EncodeError):
        producer.flush(20)
    producer.close()


def test_a_size_that_retention_keeps_to_is_weak(cluster: Cluster) -> None:
    topic = cluster.create(fresh(), retention_bytes="1000000")
    (*_, weak) = cluster.log.topics([topic])[topic].weak
    assert weak.startswith("retention.bytes is 1000000: ")


@pytest.mark.parametrize(
    ("copies", "in_sync", "unclean", "told"),
    [
        (1, 1, "false", ["replication factor 1: "]),
        (1, 2, "false", ["replication factor 1: ", f"{IN_SYNC} is 2, more than the rep"]),
        (2, 1, "false", ["replication factor 2: ", f"{IN_SYNC} is 1: "]),
        (2, 2, "false", ["replication factor 2: 3 are meant", f"{IN_SYNC} is 2, as much as the"]),
        (2, 3, "false", ["replication factor 2: ", f"{IN_SYNC} is 3, more than the"]),
        (3, 3, "false", [f"{IN_SYNC} is 3, as much as the"]),
        (3, 4, "false", [f"{IN_SYNC} is 4, more than the"]),
        (4, 3, "false", []),
        (3, 1, "false", [f"{IN_SYNC} is 1: "]),
        (3, 2, "true", ["unclean.leader.election.enable is true: "]),
        (1, 1, "true", ["replication factor 1: ", "unclean.leader.election.enable is true: "]),
        (3, 2, "false", []),
    ],
)
def test_replication_that_leaves_something_to_chance_is_weak(
    cluster: Cluster, copies: int, in_sync: int, unclean: str, told: list[str]
) -> None:
    given = cluster.settings(cluster.create(fresh())) | {
        "min.insync.replicas": str(in_sync),
        "unclean.leader.election.enable": unclean,
    }
    entries = {name: SimpleNamespace(value=value) for name, value in given.items()}
    partition = SimpleNamespace(replicas=range(copies))
    description = SimpleNamespace(partitions=[partition] * 3, topic_id="x")
    weak = info_of("t", description, entries).weak
    assert [text[: len(start)] for text, start in zip(weak, told, strict=True)] == told


@pytest.mark.parametrize(
    ("copies", "in_sync", "cure"),
    [
        (1, 2, "brokers before Kafka 3.7 take no record at all; give it 3 replicas, and set it to"),
        (2, 1, "what is acknowledged may be on one broker alone; give it 3 replicas, and set it"),
        (2, 2, "nothing can be written while one broker is away; give it 3 replicas, and set it"),
        (3, 1, "what is acknowledged may be on one broker alone; set it to 2"),
        (3, 3, "nothing can be written while one broker is away; set it to 2"),
        (3, 4, "brokers before Kafka 3.7 take no record at all; set it to 2"),
    ],
)
def test_the_number_of_replicas_in_sync_is_weak_with_what_follows_and_the_cure(
    cluster: Cluster, copies: int, in_sync: int, cure: str
) -> None:
    given = cluster.settings(cluster.create(fresh())) | {"min.insync.replicas": str(in_sync)}
    entries = {name: SimpleNamespace(value=value) for name, value in given.items()}
    description = SimpleNamespace(
        partitions=[SimpleNamespace(replicas=range(copies))], topic_id="x"
    )
    *_, told = info_of("t", description, entries).weak
    assert cure in told


def test_a_topic_that_wants_more_replicas_in_sync_than_it_has_takes_records_today(
    cluster: Cluster,
) -> None:
    topic = cluster.create(fresh(), min_insync_replicas="2")
    producer = cluster.log.producer()
    producer.send(write(topic, 0, b"v"))
    producer.flush(20)
    producer.close()
    assert cluster.log.ends(topic)[0].end == 1


# -- a worker on a topic that takes less -----------------------------------------------------------


@dataclass(frozen=True)
class Note(Command[int]):
    """Persists a text of this size; the reply is how many there are."""

    size: int


@dataclass(frozen=True)
class Noted:
    text: str


@dataclass(frozen=True)
class Notes:
    count: int = 0


class Book(Processor[Notes]):
    name = "book"

    def init(self, persist_id: str) -> Notes:
        return Notes()

    @command
    def note(self, ctx: Context[Notes], cmd: Note) -> int:
        ctx.persist(Noted("x" * cmd.size))
        return ctx.state.count

    @event
    def noted(self, state: Notes, event: Noted) -> Notes:
        return replace(state, count=state.count + 1)


def narrow_journal(cluster: Cluster, world: World, limit: int = NARROW) -> None:
    """The processor's journal as somebody else created it, for small records."""
    journal = world.topics(Book).journal
    cluster.create(journal, cleanup_policy="compact", max_message_bytes=str(limit))


def texts(world: World) -> list[int]:
    return [len(each.event.text) for each in world.client.events.by_id(Book, "a")]


def test_an_event_beyond_the_journals_limit_fails_its_command_and_no_other(
    on_kafka: World, cluster: Cluster
) -> None:
    world = on_kafka
    narrow_journal(cluster, world)
    cluster.log.create_topics(
        spec for spec in topic_specs(world.topics(Book), 1) if ".journal" not in spec.name
    )
    for size in (10, NARROW, 20):
        world.cast(Book, "a", Note(size))
    world.run(Book, partitions=1)
    world.settled(Book)
    assert texts(world) == [10, 20]
    (letter,) = world.dead_letters(Book)
    assert header(letter, "error-type") == "RecordTooLarge"


def test_small_events_of_one_batch_that_are_too_large_together_commit(
    on_kafka: World, cluster: Cluster
) -> None:
    world = on_kafka
    narrow_journal(cluster, world)
    cluster.log.create_topics(
        spec for spec in topic_specs(world.topics(Book), 1) if ".journal" not in spec.name
    )
    for _ in range(50):
        world.cast(Book, "a", Note(NARROW // 10))
    world.run(Book, partitions=1)
    world.settled(Book)
    assert texts(world) == [NARROW // 10] * 50
    assert world.dead_letters(Book) == []


def test_a_journal_too_narrow_to_work_with_is_refused(on_kafka: World, cluster: Cluster) -> None:
    narrow_journal(cluster, on_kafka, 10_000)
    with pytest.raises(TopicError, match=rf"journal takes records up to {10_000 - FRAMING_BYTES} "):
        on_kafka.run(Book, partitions=1)


def test_a_topic_that_is_refused_leaves_the_others_uncreated(
    on_kafka: World, cluster: Cluster
) -> None:
    topics = on_kafka.topics(Book)
    cluster.create(topics.journal, cleanup_policy="delete")
    with pytest.raises(TopicError, match=f"{topics.journal} has cleanup delete, it needs compact"):
        on_kafka.run(Book, partitions=1)
    assert set(cluster.log.topics(topics[:6])) == {topics.journal}


def test_dead_letters_that_take_less_than_the_commands_are_refused(
    on_kafka: World, cluster: Cluster
) -> None:
    topics = on_kafka.topics(Book)
    cluster.create(
        topics.dead_letters, cleanup_policy="compact,delete", max_message_bytes=str(NARROW)
    )
    with pytest.raises(TopicError, match=f"{topics.dead_letters} takes records up to"):
        on_kafka.run(Book, partitions=1)


# -- what a worker says of weak topics -------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture, about: str) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    return [each for each in found if about in each]


def test_a_worker_warns_once_of_each_weakness_in_a_line_with_its_topics(
    on_kafka: World, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    topics = on_kafka.topics(Book)
    settings: Mapping[str, Any] = {"cleanup_policy": "compact", "delete_retention_ms": "86400000"}
    for topic in (topics.journal, topics.snapshots):
        cluster.create(topic, **settings)
    on_kafka.run(Book, partitions=1)
    (told,) = warnings(caplog, "delete.retention.ms")
    start = f"{topics.journal}, {topics.snapshots}: delete.retention.ms is 1 day, not 7 days: "
    assert told.startswith(start)


def test_topics_as_they_are_created_are_not_weak_for_their_settings(
    on_kafka: World, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    on_kafka.run(Book, partitions=1)
    told = warnings(caplog, on_kafka.prefix)
    assert [each for each in told if ": replication factor " not in each] == []
