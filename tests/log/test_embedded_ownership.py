"""Who owns the partitions of the embedded log, seen from inside one process."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kstate.errors import Fenced, LogError, TopicError
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Committed
from kstate.testing.log_world import World, write


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(lambda: EmbeddedLog(tmp_path / "log.db", lease_s=1.5), 20.0)
    yield world
    world.close()


def test_an_owner_that_hangs_is_replaced_and_fenced_in_poll_too(world: World) -> None:
    topic, group = world.topic(), world.group()
    hung = world.owner(group, topic, "a")
    world.settle([world.join(group, topic, "b")], topic)
    with pytest.raises(Fenced):
        hung.poll()
    with pytest.raises(Fenced):
        hung.member.start(0, 0)


def test_an_owner_that_only_polls_keeps_its_lease(world: World) -> None:
    topic, group = world.topic(), world.group()
    owner = world.owner(group, topic, "a")
    standby = world.join(group, topic, "b")
    for _ in range(40):  # more than the lease, in all
        standby.poll(timeout_s=0.03)
        owner.poll(timeout_s=0.03)
    assert not standby.assigned
    owner.member.commit([], {0: Committed(1, "")})


def test_a_free_lock_is_no_death_of_an_owner_that_took_over_without_it(world: World) -> None:
    topic, group = world.topic(), world.group()
    hung = world.owner(group, topic, "a")
    usurper = world.join(group, topic, "b")
    world.settle([usurper], topic)
    hung.member.close()  # lets go of the lock, which the usurper never had
    third = world.join(group, topic, "c")
    for _ in range(5):
        third.poll()
    assert not third.assigned
    usurper.member.commit([], {0: Committed(1, "")})
    for _ in range(40):
        usurper.poll(timeout_s=0.02)  # renews, and takes the lock at that
        third.poll(timeout_s=0.02)
    assert not third.assigned
    usurper.member.close()
    world.settle([third], topic)


def test_a_member_of_the_owners_instance_stands_by(world: World) -> None:
    topic, group = world.topic(), world.group()
    owner = world.owner(group, topic, "same")
    twin = world.join(group, topic, "same")
    for _ in range(5):
        twin.poll()
        owner.poll()
    assert not twin.assigned
    owner.member.commit([], {0: Committed(1, "")})


def test_groups_do_not_exclude_each_other(world: World) -> None:
    topic = world.topic()
    one, other = world.owner("one", topic), world.owner("other", topic)
    for seat in (one, other):
        seat.member.commit([], {0: Committed(1, "")})


def test_a_member_of_a_deleted_topic_is_fenced(world: World) -> None:
    topic = world.topic()
    seat = world.owner(world.group(), topic)
    assert isinstance(world.log, EmbeddedLog)
    world.log.delete_topic(topic)
    with pytest.raises(Fenced):
        seat.member.commit([], {0: Committed(1, "")})


def test_joining_a_topic_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(TopicError):
        world.log.join("g", "never-created", "a")


def test_a_start_outside_of_what_there_is_is_refused(world: World) -> None:
    topic = world.topic()
    world.produce([write(topic, 0, b"v")])
    seat = world.owner(world.group(), topic)
    seat.member.start(0, 1)
    for offset in (-1, 2):
        with pytest.raises(LogError, match="without losing or inventing"):
            seat.member.start(0, offset)


def test_no_partition_starves_behind_a_full_one(world: World) -> None:
    topic = world.topic(3)
    world.produce([write(topic, 0, b"%d" % n) for n in range(500)])
    world.produce([write(topic, 1, b"1"), write(topic, 2, b"2")])
    seat = world.owner(world.group(), topic)
    for partition in range(3):
        seat.member.start(partition, 0)
    for _ in range(3):
        seat.poll(max_records=10)
    assert {record.partition for record in seat.records} == {0, 1, 2}


def test_a_member_receives_what_it_wrote_to_its_own_topic(world: World) -> None:
    topic = world.topic()
    seat = world.owner(world.group(), topic)
    seat.member.start(0, 0)
    seat.poll()
    seat.member.commit([write(topic, 0, b"to myself")], {0: Committed(0, "")})
    assert world.receive(seat, 1)[0].value == b"to myself"


def test_a_member_tells_its_state(world: World) -> None:
    topic, group = world.topic(), world.group()
    seat = world.join(group, topic, "a")
    assert re.search(r"a of .*: standby", repr(seat.member))
    world.settle([seat], topic)
    assert repr(seat.member).endswith("owner>")
    seat.member.close()
    assert repr(seat.member).endswith("closed>")
