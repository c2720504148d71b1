"""Compaction and retention of the embedded log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Committed, TopicSpec
from kstate.testing.log_world import World, write

YEAR_9999_MS = 253_402_300_799_000


class Clock:
    """The log's clock, set by the test."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> Iterator[World]:
    def open_log() -> EmbeddedLog:
        return EmbeddedLog(
            tmp_path / "log.db", clock=clock, clean_every_s=0.01, clean_min_records=100
        )

    world = World(open_log, 20.0)
    yield world
    world.close()


def compact(world: World, topic: str) -> None:
    assert isinstance(world.log, EmbeddedLog)
    world.log.compact(topic)


def pairs(world: World, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in world.read(topic)]


def test_partitions_and_topics_are_compacted_apart(world: World) -> None:
    topic, other = world.topic(2, "compact"), world.topic(1, "compact")
    for partition in (0, 1):
        world.produce([write(topic, partition, b"old"), write(topic, partition, b"new")])
    world.produce([write(other, 0, b"old"), write(other, 0, b"new")])
    compact(world, topic)
    assert world.values(topic) == [b"new", b"new"]
    assert world.values(other) == [b"old", b"new"]


def test_records_without_a_key_are_kept(world: World) -> None:
    topic = world.topic(1, "compact")
    world.produce([write(topic, 0, b"%d" % n, None) for n in range(3)])
    compact(world, topic)
    assert world.values(topic) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("lie_ms", [-1, 0, YEAR_9999_MS])
def test_a_tombstone_goes_by_the_time_it_was_written_whatever_its_timestamp_says(
    world: World, clock: Clock, lie_ms: int
) -> None:
    topic = world.topic(1, "compact", delete_retention_ms=5_000)
    world.produce([write(topic, 0, b"v", b"a"), write(topic, 0, None, b"a", timestamp=lie_ms)])
    clock.now_ms += 5_000
    compact(world, topic)
    assert pairs(world, topic) == [(b"a", None)]
    clock.now_ms += 1
    compact(world, topic)
    assert pairs(world, topic) == []


def test_the_end_stays_when_the_newest_record_goes(world: World, clock: Clock) -> None:
    topic = world.topic(1, "compact", delete_retention_ms=0)
    world.produce([write(topic, 0, b"v"), write(topic, 0, None)])
    clock.now_ms += 1
    compact(world, topic)
    assert world.log.ends(topic)[0].end == 2
    world.produce([write(topic, 0, b"next")])
    assert [record.offset for record in world.read(topic)] == [2]


def test_a_reader_passes_the_holes_that_compaction_left(world: World) -> None:
    topic = world.topic(1, "compact")
    world.produce([write(topic, 0, b"%d" % n, b"%d" % (n % 50)) for n in range(5_000)])
    reader = world.reader()
    reader.assign(topic, {0: 0})
    first = reader.poll(10, 1.0)
    compact(world, topic)
    rest, last = world.drain(reader, {0: 5_000})
    assert [record.offset for record in first.records] == list(range(10))
    assert [record.offset for record in rest] == list(range(4_950, 5_000))
    assert last.ends == {0: 5_000}


def test_an_owner_compacts_a_short_topic_that_it_writes_to(world: World) -> None:
    commands = world.topic()
    world.log.create_topics([TopicSpec("snapshots", 1, "compact", short=True)])
    seat = world.owner(world.group(), commands)
    for n in range(100):
        seat.member.commit([write("snapshots", 0, b"%d" % n, b"%d" % (n % 3))], {})

    def compacted() -> bool:
        seat.poll()
        return len(world.read("snapshots")) == 3

    world.until(compacted, "the snapshots were compacted")


def test_a_journal_is_swept_when_its_tombstones_have_waited(world: World, clock: Clock) -> None:
    commands, journal = world.topic(), world.topic(1, "compact", delete_retention_ms=200_000)
    seat = world.owner(world.group(), commands)
    events = [write(journal, 0, b"v", b"a@%d" % n) for n in range(1_000)]
    seat.member.commit(events, {})
    seat.member.commit([write(journal, 0, None, b"a@7")], {})
    seat.poll()
    assert len(world.read(journal)) == 1_001
    clock.now_ms += 60_000

    def swept(left: int) -> bool:
        seat.poll()
        return len(world.read(journal)) == left

    world.until(lambda: swept(1_000), "the event was removed")
    assert (b"a@7", None) in pairs(world, journal)
    clock.now_ms += 200_000
    world.until(lambda: swept(999), "the tombstone was removed")
    assert {key for key, _ in pairs(world, journal)} == {
        b"a@%d" % n for n in range(1_000) if n != 7
    }


def test_an_erased_value_leaves_no_trace_in_the_file(world: World, tmp_path: Path) -> None:
    topic = world.topic(1, "compact")
    world.produce([write(topic, 0, b"secret-of-ada" * 500, b"ada"), write(topic, 0, None, b"ada")])
    compact(world, topic)
    world.close()
    assert b"secret-of-ada" not in (tmp_path / "log.db").read_bytes()


# -- retention ---------------------------------------------------------------------------------


def retained(world: World, retention_ms: int = 5_000) -> str:
    world.log.create_topics([TopicSpec("aging", 1, "delete", retention_ms)])
    return "aging"


@pytest.mark.parametrize("lie_ms", [-1, 0, YEAR_9999_MS])
def test_old_records_go_by_the_time_they_were_written(
    world: World, clock: Clock, lie_ms: int
) -> None:
    topic = retained(world)
    world.produce([write(topic, 0, b"old", timestamp=lie_ms)])
    clock.now_ms += 5_001
    world.produce([write(topic, 0, b"new", timestamp=lie_ms)])
    compact(world, topic)
    assert world.values(topic) == [b"new"]
    assert tuple(world.log.ends(topic)[0]) == (1, 2, 2)


def test_a_reader_below_the_start_begins_at_the_oldest_record_left(
    world: World, clock: Clock
) -> None:
    topic = retained(world)
    world.produce([write(topic, 0, b"%d" % n) for n in range(3)])
    clock.now_ms += 5_001
    compact(world, topic)
    assert tuple(world.log.ends(topic)[0]) == (3, 3, 3)
    world.produce([write(topic, 0, b"new")])
    assert world.values(topic) == [b"new"]


def test_what_a_group_has_not_processed_stays_however_old(world: World, clock: Clock) -> None:
    topic = retained(world)
    world.produce([write(topic, 0, b"%d" % n) for n in range(5)])
    world.owner("fast", topic).member.commit([], {0: Committed(4, "")})
    world.owner("slow", topic).member.commit([], {0: Committed(2, "")})
    clock.now_ms += 5_001
    compact(world, topic)
    assert world.values(topic) == [b"2", b"3", b"4"]


def test_a_group_that_has_not_committed_yet_keeps_everything(world: World, clock: Clock) -> None:
    topic = retained(world)
    world.produce([write(topic, 0, b"v")])
    world.owner(world.group(), topic)
    clock.now_ms += 5_001
    compact(world, topic)
    assert world.values(topic) == [b"v"]


def test_an_owner_retires_old_records_while_it_polls(world: World, clock: Clock) -> None:
    topic = retained(world)
    world.produce([write(topic, 0, b"%d" % n) for n in range(3)])
    seat = world.owner(world.group(), topic)
    seat.member.commit([], {0: Committed(3, "")})
    clock.now_ms += 5_001

    def retired() -> bool:
        seat.poll()
        return world.log.ends(topic)[0].start == 3

    world.until(retired, "the processed commands were deleted")


def test_records_without_retention_stay(world: World, clock: Clock) -> None:
    topic = world.topic()
    world.produce([write(topic, 0, b"v")])
    clock.now_ms += 10**12
    compact(world, topic)
    assert world.values(topic) == [b"v"]


# -- both ----------------------------------------------------------------------------------------


def both(world: World) -> str:
    spec = TopicSpec("letters", 1, "compact,delete", 5_000, delete_retention_ms=2_000, short=True)
    world.log.create_topics([spec])
    return "letters"


def test_what_is_compacted_and_deleted_goes_by_a_tombstone_and_by_age(
    world: World, clock: Clock
) -> None:
    topic = both(world)
    world.produce([write(topic, 0, b"1", b"a"), write(topic, 0, b"2", b"b")])
    clock.now_ms += 3_000
    world.produce([write(topic, 0, b"3", b"c"), write(topic, 0, None, b"a")])
    compact(world, topic)
    assert pairs(world, topic) == [(b"b", b"2"), (b"c", b"3"), (b"a", None)]
    clock.now_ms += 2_001
    compact(world, topic)
    assert pairs(world, topic) == [(b"c", b"3")]
    assert tuple(world.log.ends(topic)[0]) == (2, 4, 4)
    clock.now_ms += 3_000
    compact(world, topic)
    assert pairs(world, topic) == []


def test_an_owner_does_both_while_it_polls(world: World, clock: Clock) -> None:
    commands, topic = world.topic(), both(world)
    seat = world.owner(world.group(), commands)
    seat.member.commit([write(topic, 0, b"%d" % n, b"%d" % n) for n in range(50)], {})
    seat.member.commit([write(topic, 0, None, b"7")], {})

    def polled(left: int) -> bool:
        seat.poll()
        return len(world.read(topic)) == left

    world.until(lambda: polled(50), "the record was removed by its tombstone")
    clock.now_ms += 5_001
    world.until(lambda: polled(0), "all went by age")


def test_a_short_topic_is_compacted_when_a_tombstone_has_waited(world: World, clock: Clock) -> None:
    commands, topic = world.topic(), "snapshots"
    world.log.create_topics([TopicSpec(topic, 1, "compact", short=True)])
    seat = world.owner(world.group(), commands)
    seat.member.commit([write(topic, 0, b"%d" % n, b"%d" % (n % 30)) for n in range(60)], {})
    seat.member.commit([write(topic, 0, None, b"7")], {})
    clock.now_ms += 60_000

    def compacted() -> bool:
        seat.poll()
        return len(world.read(topic)) == 30

    world.until(compacted, "replaced records and the tombstone's went")
