"""What `kstate.log.port` promises of a log's answers, of its handles, and of their end."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from kstate.errors import TopicError
from kstate.log.port import Committed, TopicSpec
from kstate.testing.log_hooks import LogHooks
from kstate.testing.log_world import NOW_MS, World, write

YEAR_MS = 365 * 86_400_000


class AnswerPromises(LogHooks):
    """Topics, bounds, groups, the log itself, and closing."""

    # -- the log itself ----------------------------------------------------------------------

    def test_two_handles_tell_the_same_url_and_identity(self, world: World) -> None:
        other = world.another_log()
        assert other.url == world.log.url != ""
        world.log.topics([])
        assert other.identity() == world.log.identity()

    def test_weaknesses_are_sentences(self, world: World) -> None:
        told = world.log.weaknesses()
        assert not isinstance(told, str)
        assert all(isinstance(each, str) and each.strip() for each in told)

    def test_one_handle_serves_many_threads(self, world: World) -> None:
        topic, group = world.topic(3), world.group()
        world.produce([write(topic, n % 3, b"%d" % n) for n in range(30)])
        ends = world.log.ends(topic)

        def ask(_: int) -> None:
            assert world.log.ends(topic) == ends
            assert world.log.topics([topic]).keys() == {topic}
            assert world.log.progress(group, topic) == {}
            assert len(world.read(topic)) == 30

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(ask, range(8))) == [None] * 8

    # -- topics ------------------------------------------------------------------------------

    def test_of_no_names_there_are_no_topics(self, world: World) -> None:
        world.topic()
        assert world.log.topics([]) == {}

    def test_of_several_names_those_that_exist_are_told(self, world: World) -> None:
        one, other = world.topic(1), world.topic(2)
        found = world.log.topics([one, "never-created", other])
        assert {name: info.partitions for name, info in found.items()} == {one: 1, other: 2}

    def test_what_is_missing_is_created_beside_what_exists(self, world: World) -> None:
        there, missing = world.topic(1), f"t-{uuid.uuid4().hex}"
        world.log.create_topics([])
        world.log.create_topics([TopicSpec(name, 2, "delete") for name in (there, missing)])
        found = world.log.topics([there, missing])
        assert {name: info.partitions for name, info in found.items()} == {there: 1, missing: 2}

    def test_what_is_weak_of_a_topic_is_told_in_clauses(self, world: World) -> None:
        topic = world.topic()
        weak = world.log.topics([topic])[topic].weak
        assert not isinstance(weak, str)
        assert all(isinstance(each, str) and each.strip() for each in weak)

    # -- bounds ------------------------------------------------------------------------------

    def _expired(self, world: World) -> tuple[str, int]:
        """A topic whose first three records are gone, and the offset of the one that is left."""
        topic = f"t-{uuid.uuid4().hex}"
        world.log.create_topics([TopicSpec(topic, 1, "delete", retention_ms=10 * YEAR_MS)])
        world.produce([write(topic, 0, b"%d" % n) for n in range(3)])
        self.expire(world.log, topic)
        end = world.log.ends(topic)[0].end
        world.produce([write(topic, 0, b"kept", timestamp=NOW_MS + 10)])
        return topic, end

    def test_a_partition_starts_with_the_oldest_record_that_is_kept(self, world: World) -> None:
        topic, kept = self._expired(world)
        ends = world.log.ends(topic)[0]
        assert 3 <= ends.start == kept < ends.stable == ends.end
        assert [(record.offset, record.value) for record in world.read(topic)] == [(kept, b"kept")]

    def test_a_reader_that_asks_for_what_is_gone_begins_with_what_is_kept(
        self, world: World
    ) -> None:
        topic, kept = self._expired(world)
        reader = world.reader()
        reader.assign(topic, {0: 1})
        records, last = world.drain(reader, {0: kept + 1})
        assert [record.value for record in records] == [b"kept"]
        assert last.ends == {0: world.log.ends(topic)[0].stable}

    def test_an_offset_at_a_time_is_that_of_a_record_that_is_kept(self, world: World) -> None:
        topic, kept = self._expired(world)
        assert world.log.offsets_at(topic, NOW_MS) == {0: kept}

    def test_times_need_not_be_in_order(self, world: World) -> None:
        topic = world.topic()
        times = (NOW_MS, NOW_MS + 30, NOW_MS + 10, NOW_MS + 20)
        world.produce([write(topic, 0, b"v", timestamp=each) for each in times])
        offsets = [record.offset for record in world.read(topic)]
        assert world.log.offsets_at(topic, NOW_MS + 5) == {0: offsets[1]}
        assert world.log.offsets_at(topic, NOW_MS + 30) == {0: offsets[1]}
        assert world.log.offsets_at(topic, 0) == {0: offsets[0]}

    def test_there_are_no_offsets_at_a_time_of_a_topic_that_does_not_exist(
        self, world: World
    ) -> None:
        with pytest.raises(TopicError):
            world.log.offsets_at("never-created", NOW_MS)

    # -- groups ------------------------------------------------------------------------------

    def test_a_group_that_was_never_seen_has_no_progress_and_no_owners(self, world: World) -> None:
        topic = world.topic(2)
        assert world.log.progress(world.group(), topic) == {}
        assert world.log.owners(world.group(), topic) == {}

    def test_progress_is_told_of_the_partitions_that_have_some(self, world: World) -> None:
        group, topic = world.group(), world.topic(3)
        world.owner(group, topic).member.commit([], {1: Committed(0, "m")})
        assert world.another_log().progress(group, topic) == {1: Committed(0, "m")}

    def test_progress_outlives_its_group_s_members(self, world: World) -> None:
        group, topic = world.group(), world.topic()
        seat = world.owner(group, topic)
        seat.member.commit([], {0: Committed(4, "m")})
        seat.member.close()
        world.until(lambda: world.log.owners(group, topic) == {}, "the group was empty")
        assert world.log.progress(group, topic) == {0: Committed(4, "m")}

    # -- waiting -----------------------------------------------------------------------------

    def test_who_polls_does_not_wait_for_more_than_there_is(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"v")])
        seat, reader = world.owner(world.group(), topic), world.reader()
        began = time.monotonic()
        seat.member.start(0, 0)
        while not seat.records:
            seat.poll(100, self.patience_s)
        reader.assign(topic, {0: 0})
        while not reader.poll(100, self.patience_s).records:
            pass
        assert time.monotonic() - began < self.patience_s / 2

    # -- closing -----------------------------------------------------------------------------

    def test_all_that_a_log_makes_is_closed_twice_without_harm(self, world: World) -> None:
        topic = world.topic()
        log = world.another_log()
        reader, producer = log.reader(), log.producer()
        reader.assign(topic, {0: 0})
        producer.send(write(topic, 0, b"v"))
        member = log.join(world.group(), topic, world.instance())
        member.poll(1, 0.05)
        for each in (member, reader, producer, log):
            each.close()
            each.close()
        assert world.values(topic) == [b"v"]

    def test_what_was_never_used_is_closed_twice_without_harm(self, world: World) -> None:
        topic = world.topic()
        log = world.another_log()
        for each in (
            log.join(world.group(), topic, world.instance()),
            log.reader(),
            log.producer(),
            log,
        ):
            each.close()
            each.close()

    def test_closing_one_handle_leaves_the_others(self, world: World) -> None:
        topic = world.topic()
        world.another_log().close()
        world.produce([write(topic, 0, b"v")])
        assert world.values(topic) == [b"v"]
