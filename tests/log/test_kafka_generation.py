"""A consumer outside its group has no generation, and commits nothing as its member."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from kstate.errors import Fenced, TopicError
from kstate.log.kafka import KafkaLog
from kstate.log.kafka_member import KafkaMember, generation_of
from kstate.log.port import Committed
from kstate.testing.log_world import World, write

PATIENCE_S = 30.0


@pytest.mark.parametrize(
    ("metadata", "generation"),
    [
        # of the classic protocol with an instance id, and of KIP-848 without one
        (b"CGMDv2:\x01\x00\x00\x00group\x00i-0-2642b2a7\x00\x00i-0\x00", 1),
        (b"CGMDv2:\x02\x01\x00\x00group\x00FRE05zJvQtiYzKZzzoAu7A\x00\x01", 258),
        (b"CGMDv2:\xff\xff\xff\xffgroup\x00\x00\x01", -1),
        (b"CGMDv2:\xfe\xff\xff\xffgroup\x00\x00\x01", -2),
        (b"CGMDv2:\x3a\x00\x00\x00a:b\x00\x00\x01", 58),  # a colon, as the head has one
        (bytearray(b"CGMDv2:\x07\x00\x00\x00"), 7),
    ],
)
def test_the_generation_is_read_from_the_metadata_of_the_group(
    metadata: bytes, generation: int
) -> None:
    assert generation_of(metadata) == generation


@pytest.mark.parametrize(
    "metadata",
    [b"", b"CGMDv2", b"CGMDv2:\x01\x00\x00", b"CGMDv1:group\x00", b"CGMDv3:\x01\x00\x00\x00"],
)
def test_metadata_of_an_unknown_form_is_refused(metadata: bytes) -> None:
    with pytest.raises(TopicError, match="unknown form"):
        generation_of(metadata)


@pytest.fixture(params=["classic", "consumer"])
def world(bootstrap: str, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(lambda: KafkaLog(bootstrap, {"group.protocol": request.param}), PATIENCE_S)
    yield made
    made.close()


def test_a_member_without_a_generation_is_fenced_and_writes_nothing(
    world: World, bootstrap: str
) -> None:
    topic, journal, group = world.topic(), world.topic(), world.group()
    member = world.owner(group, topic, f"i-{uuid.uuid4().hex}").member
    assert isinstance(member, KafkaMember)
    member.commit([write(journal, 0, b"before")], {0: Committed(1, "")})
    joined = member._consumer
    outside = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    assert generation_of(joined.consumer_group_metadata()) > 0
    assert generation_of(outside.consumer_group_metadata()) == -1
    member._consumer = outside
    try:
        with pytest.raises(Fenced, match="is not in its group"):
            member.commit([write(journal, 0, b"lost")], {0: Committed(9, "")})
    finally:
        member._consumer = joined
        outside.close()
    member.close()
    assert world.values(journal) == [b"before"]
    assert world.log.progress(group, topic) == {0: Committed(1, "")}


def test_a_member_that_has_not_joined_yet_is_fenced_and_writes_nothing(world: World) -> None:
    topic, journal, group = world.topic(), world.topic(), world.group()
    seat = world.join(group, topic, f"i-{uuid.uuid4().hex}")
    with pytest.raises(Fenced, match="is not in its group"):
        seat.member.commit([write(journal, 0, b"lost")], {0: Committed(9, "")})
    assert world.log.progress(group, topic) == {}
    seat.member.close()
    assert world.values(journal) == []
