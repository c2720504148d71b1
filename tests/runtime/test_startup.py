"""What must be true before a worker takes a seat."""

from __future__ import annotations

import json
from typing import Any

import pytest
from counter import Add, Counter
from runtime_tools import recreate
from world import World

from kstate.core.topics import Topics
from kstate.errors import SchemaError, TopicError
from kstate.runtime.schema_topic import FORMAT, META_KEY


def test_topics_that_are_missing_are_created_as_they_should_be(world: World) -> None:
    world.run(Counter, partitions=3)
    topics = world.topics(Counter)
    there = world._logs.log.topics(topics[:6])
    assert {name.rpartition(".")[2]: (t.partitions, t.cleanup) for name, t in there.items()} == {
        "commands": (3, "delete"),
        "journal": (3, "compact"),
        "snapshots": (3, "compact"),
        "replies": (4, "delete"),
        "dead-letters": (3, "compact,delete"),
        "schemas": (1, "compact"),
    }


def test_without_a_count_there_are_as_many_partitions_as_there_were(world: World) -> None:
    world.run(Counter, partitions=3)
    world.restart(partitions=0)
    assert world.call(Counter, "a", Add(1)) == 1


def test_another_partition_count_is_refused_with_the_cure(world: World) -> None:
    world.run(Counter, partitions=3)
    world.stop()
    with pytest.raises(TopicError, match=r"has 3 partitions, not 4: .* fixed for the life"):
        world.run(Counter, partitions=4)


@pytest.mark.parametrize("which", ["journal", "snapshots", "dead_letters"])
def test_a_topic_with_another_count_than_the_commands_is_refused(world: World, which: str) -> None:
    world.run(Counter, partitions=2)
    world.stop()
    topic = getattr(world.topics(Counter), which)
    recreate(world, topic, 3, "compact,delete" if which == "dead_letters" else "compact")
    with pytest.raises(TopicError, match=f"{topic} has 3 partitions"):
        world.run(Counter, partitions=2)


@pytest.mark.parametrize(
    ("which", "cleanup", "needed"),
    [
        ("journal", "delete", "compact"),
        ("snapshots", "delete", "compact"),
        ("schemas", "delete", "compact"),
        ("commands", "compact", "delete"),
        ("replies", "compact", "delete"),
        ("dead_letters", "delete", "compact,delete"),
    ],
)
def test_a_topic_with_the_wrong_cleanup_is_refused_with_the_cure(
    world: World, which: str, cleanup: str, needed: str
) -> None:
    world.run(Counter, partitions=1)
    world.stop()
    topic = getattr(world.topics(Counter), which)
    recreate(world, topic, 1, cleanup)
    with pytest.raises(TopicError, match=f"{topic} has cleanup {cleanup}, it needs {needed}"):
        world.run(Counter, partitions=1)


def write_meta(world: World, value: bytes | None) -> None:
    topic = world.topics(Counter).schemas
    world.produce(Counter, value, key=META_KEY, partition=0, topic=topic)


def meta(world: World) -> dict[str, Any]:
    records = world.read(world.topics(Counter).schemas)
    found: dict[str, Any] = json.loads([r.value for r in records if r.key == META_KEY][-1] or b"")
    return found


def test_the_meta_record_tells_format_partitions_and_topics(world: World) -> None:
    world.run(Counter, partitions=2)
    topics = world.topics(Counter)
    found = meta(world)
    assert (found["format"], found["partitions"]) == (FORMAT, 2)
    assert set(found["topics"]) == {topics.commands, topics.journal, topics.snapshots}


def test_a_second_start_writes_no_schema_and_no_meta_again(world: World) -> None:
    world.run(Counter)
    before = len(world.read(world.topics(Counter).schemas))
    world.restart()
    assert len(world.read(world.topics(Counter).schemas)) == before


def test_topics_of_a_newer_format_are_refused_with_the_cure(world: World) -> None:
    world.run(Counter)
    world.stop()
    write_meta(world, json.dumps({**meta(world), "format": FORMAT + 1}).encode())
    with pytest.raises(TopicError, match=r"newer kstate \(format 2, this one knows 1\): update"):
        world.run(Counter)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"[" * 9_999, b"[]", b"{}", b'{"format": "1"}'],
    ids=range(7),
)
def test_a_meta_record_that_makes_no_sense_is_refused(world: World, value: bytes | None) -> None:
    world.run(Counter)
    world.stop()
    write_meta(world, value)
    with pytest.raises(TopicError, match="meta record"):
        world.run(Counter)


def test_a_meta_record_of_another_partition_count_is_refused(world: World) -> None:
    world.run(Counter, partitions=2)
    world.stop()
    write_meta(world, json.dumps({**meta(world), "partitions": 5}).encode())
    with pytest.raises(TopicError, match="has 2 partitions, but the processor began with 5"):
        world.run(Counter, partitions=2)


def test_a_record_among_the_schemas_that_is_none_is_refused(world: World) -> None:
    world.run(Counter)
    world.stop()
    topic = world.topics(Counter).schemas
    world.produce(Counter, b'"int"', key=b"0" * 16, partition=0, topic=topic)
    with pytest.raises(SchemaError):
        world.run(Counter)


class Sender(Counter):
    name = "sender"
    sends = (Counter,)


def test_a_target_without_topics_is_refused_with_the_cure(world: World) -> None:
    commands = Topics.of("counter", world.prefix).commands
    with pytest.raises(TopicError, match=f"{commands} does not exist.*sends to counter: start"):
        world.run(Sender)


def test_a_target_in_the_same_run_has_its_topics_made_first(world: World) -> None:
    world.run(Sender, Counter)
    assert world.call(Sender, "a", Add(1)) == 1


def test_a_reply_topic_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(TopicError, match="the reply topic elsewhere does not exist"):
        world.run(Counter, reply_topics=("elsewhere",))
