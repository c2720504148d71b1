"""What `kstate.log.port` promises of topics, records, producers and readers."""

from __future__ import annotations

import threading
import uuid

import pytest

from kstate.core.messages import Headers, Record
from kstate.core.partition import partition_for
from kstate.errors import LogError, RecordTooLarge, TopicError
from kstate.log.port import Cleanup, TopicSpec
from kstate.testing.log_hooks import LogHooks
from kstate.testing.log_world import NOW_MS, World, write

EVERY_BYTE = bytes(range(256))
COMPACTED: tuple[Cleanup, ...] = ("compact", "compact,delete")


class RecordPromises(LogHooks):
    """Topics, records, producers, readers."""

    # -- topics ------------------------------------------------------------------------------

    def test_a_created_topic_is_told_as_it_was_specified(self, world: World) -> None:
        topic = world.topic(3, "compact", delete_retention_ms=3_600_000)
        found = world.log.topics([topic])[topic]
        assert found[:3] == (topic, 3, "compact")
        assert found.delete_retention_ms == 3_600_000
        assert not found.log_append_time
        assert topic in world.log.topics()

    @pytest.mark.parametrize("cleanup", ["delete", "compact,delete"])
    @pytest.mark.parametrize("retention_ms", [3_600_000, -1])
    def test_a_topic_that_deletes_tells_when(
        self, world: World, retention_ms: int, cleanup: Cleanup
    ) -> None:
        topic = f"t-{uuid.uuid4().hex}"
        spec = TopicSpec(topic, 1, cleanup, retention_ms=retention_ms, log_append_time=True)
        world.log.create_topics([spec])
        found = world.log.topics([topic])[topic]
        assert (found.cleanup, found.retention_ms) == (cleanup, retention_ms)
        assert found.log_append_time

    @pytest.mark.parametrize("cleanup", COMPACTED)
    @pytest.mark.parametrize("short", [False, True])
    def test_a_short_topic_is_compacted_sooner_than_a_long_one(
        self, world: World, short: bool, cleanup: Cleanup
    ) -> None:
        topic = f"t-{uuid.uuid4().hex}"
        world.log.create_topics([TopicSpec(topic, 1, cleanup, short=short)])
        assert (world.log.topics([topic])[topic].dirty_ratio <= 0.5) is short

    def test_a_fresh_topic_takes_what_the_log_takes(self, world: World) -> None:
        topic = world.topic()
        assert world.log.topics([topic])[topic].max_record_bytes >= world.log.max_record_bytes
        record = write(topic, 0, bytes(world.log.max_record_bytes - 1))
        world.produce([record])
        assert len(world.read(topic)) == 1

    def test_creating_a_topic_again_leaves_it_as_it_is(self, world: World) -> None:
        topic = world.topic(2, "delete")
        before = world.log.topics([topic])
        world.log.create_topics([TopicSpec(topic, 5, "compact")])
        assert world.log.topics([topic]) == before

    def test_a_topic_that_does_not_exist_is_absent(self, world: World) -> None:
        assert world.log.topics(["never-created"]) == {}
        with pytest.raises(TopicError):
            world.log.ends("never-created")

    def test_a_topic_created_anew_has_another_identity_and_no_records(self, world: World) -> None:
        topic = world.topic()
        before = world.log.topics([topic])[topic].identity
        world.produce([write(topic, 0, b"v")])
        self.delete_topic(world.log, topic)
        world.until(lambda: not world.log.topics([topic]), "the topic was deleted")
        world.log.create_topics([TopicSpec(topic, 1, "delete")])
        assert world.log.topics([topic])[topic].identity != before
        assert world.read(topic) == []

    def test_a_fresh_topic_is_empty_from_start_to_end(self, world: World) -> None:
        ends = world.log.ends(world.topic(2))
        assert {partition: tuple(bounds) for partition, bounds in ends.items()} == {
            0: (0, 0, 0),
            1: (0, 0, 0),
        }

    # -- records -----------------------------------------------------------------------------

    @pytest.mark.parametrize("key", [None, b"", b"k", EVERY_BYTE])
    @pytest.mark.parametrize("value", [None, b"", b"v", EVERY_BYTE])
    def test_keys_and_values_come_back_as_they_were(
        self, world: World, key: bytes | None, value: bytes | None
    ) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, value, key)])
        (record,) = world.read(topic)
        assert (record.key, record.value, record.timestamp) == (key, value, NOW_MS)

    def test_headers_come_back_in_order_with_repeated_names(self, world: World) -> None:
        topic = world.topic()
        headers: Headers = [("tag", b"b"), ("type", EVERY_BYTE), ("tag", b"a"), ("ünïcode", b"")]
        world.produce([write(topic, 0, b"v", headers=headers)])
        assert world.read(topic)[0].headers == headers

    def test_a_record_without_headers_has_none(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"v")])
        assert world.read(topic)[0].headers == []

    def test_a_record_without_a_partition_goes_where_its_key_hashes(self, world: World) -> None:
        topic = world.topic(4)
        keys = [b"", *(b"key-%d" % number for number in range(20))]
        world.produce([write(topic, None, b"v", key) for key in keys])
        found = {record.key: record.partition for record in world.read(topic)}
        assert found == {key: partition_for(key, 4) for key in keys}

    def test_an_explicit_partition_wins_over_the_hash(self, world: World) -> None:
        topic = world.topic(4)
        world.produce([write(topic, partition, b"v", b"same") for partition in range(4)])
        assert {record.partition for record in world.read(topic)} == {0, 1, 2, 3}

    def test_a_record_without_key_and_partition_goes_somewhere(self, world: World) -> None:
        topic = world.topic(2)
        world.produce([write(topic, None, b"v", None)])
        assert world.values(topic) == [b"v"]

    def test_the_order_of_a_partition_is_the_order_of_writing(self, world: World) -> None:
        topic = world.topic(2)
        world.produce([write(topic, n % 2, b"%d" % n) for n in range(250)])
        records = world.read(topic)
        for partition in (0, 1):
            mine = [record for record in records if record.partition == partition]
            assert [record.value for record in mine] == [
                b"%d" % n for n in range(partition, 250, 2)
            ]
            offsets = [record.offset for record in mine]
            assert offsets == sorted(set(offsets))

    def test_a_log_with_append_time_replaces_the_producers_time(self, world: World) -> None:
        topic = world.topic(log_append_time=True)
        world.produce([write(topic, 0, b"v", timestamp=1_000)])
        assert world.read(topic)[0].timestamp > 1_000

    def test_offsets_at_a_time_are_those_of_the_first_record_as_late(self, world: World) -> None:
        topic = world.topic(2)
        world.produce([write(topic, 0, b"v", timestamp=NOW_MS + n) for n in (0, 10, 20)])
        offsets = [record.offset for record in world.read(topic)]
        assert world.log.offsets_at(topic, NOW_MS + 10) == {0: offsets[1], 1: 0}
        assert world.log.offsets_at(topic, NOW_MS - 5)[0] == offsets[0]
        assert world.log.offsets_at(topic, NOW_MS + 21)[0] == world.log.ends(topic)[0].end

    @pytest.mark.parametrize("cleanup", COMPACTED)
    def test_compaction_keeps_the_newest_record_of_each_key(
        self, world: World, cleanup: Cleanup
    ) -> None:
        topic = world.topic(1, cleanup)
        world.produce([write(topic, 0, b"%d" % n, b"key-%d" % (n % 3)) for n in range(9)])
        before = world.read(topic)
        end = world.log.ends(topic)[0].end
        self.compact(world.log, topic)
        assert world.read(topic) == before[-3:]
        assert world.log.ends(topic)[0].end >= end

    @pytest.mark.parametrize("cleanup", COMPACTED)
    def test_compaction_leaves_a_tombstone_for_as_long_as_the_topic_says(
        self, world: World, cleanup: Cleanup
    ) -> None:
        topic = world.topic(1, cleanup)
        world.produce([write(topic, 0, b"1", b"a"), write(topic, 0, b"2", b"b")])
        world.produce([write(topic, 0, None, b"a")])
        self.compact(world.log, topic)
        assert [(r.key, r.value) for r in world.read(topic)] == [(b"b", b"2"), (b"a", None)]

    # -- producers ---------------------------------------------------------------------------

    def test_a_record_beyond_the_limit_is_refused_and_its_neighbours_are_stored(
        self, world: World
    ) -> None:
        topic = world.topic()
        producer = world.producer()
        producer.send(write(topic, 0, b"before"))
        with pytest.raises(RecordTooLarge):
            producer.send(write(topic, 0, bytes(world.log.max_record_bytes + 1)))
        producer.send(write(topic, 0, b"after"))
        producer.flush(self.patience_s)
        assert world.values(topic) == [b"before", b"after"]

    def test_a_record_for_a_topic_that_does_not_exist_is_told_by_flush_at_the_latest(
        self, world: World
    ) -> None:
        topic = world.topic()
        producer = world.producer()
        producer.send(write(topic, 0, b"v"))

        def send_and_flush() -> None:
            producer.send(write("never-created", 0, b"v"))
            producer.flush(self.patience_s)

        with pytest.raises(LogError):
            send_and_flush()
        producer.flush(self.patience_s)
        assert world.values(topic) == [b"v"]

    def test_many_threads_may_use_one_producer(self, world: World) -> None:
        topic = world.topic()
        producer = world.producer()

        def send(name: bytes) -> None:
            for n in range(100):
                producer.send(write(topic, 0, b"%s-%d" % (name, n)))

        threads = [threading.Thread(target=send, args=(name,)) for name in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        producer.flush(self.patience_s)
        values = world.values(topic)
        assert len(values) == 300
        for name in (b"a", b"b", b"c"):
            assert [v for v in values if v and v.startswith(name)] == [
                b"%s-%d" % (name, n) for n in range(100)
            ]

    def test_closing_a_producer_stores_what_was_sent(self, world: World) -> None:
        topic = world.topic()
        producer = world.log.producer()
        producer.send(write(topic, 0, b"v"))
        producer.close()
        producer.close()
        assert world.values(topic) == [b"v"]

    # -- readers -----------------------------------------------------------------------------

    def test_a_reader_begins_at_the_offset_it_was_given(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"%d" % n) for n in range(5)])
        third = world.read(topic)[2].offset
        reader = world.reader()
        reader.assign(topic, {0: third})
        records, _ = world.drain(reader, {0: world.log.ends(topic)[0].stable})
        assert [record.value for record in records] == [b"2", b"3", b"4"]

    def test_a_reader_delivers_only_the_records_whose_headers_are_wanted(
        self, world: World
    ) -> None:
        topic = world.topic(2)
        odd = [("odd", b"1")]
        places = [number % 2 if number < 10 else 0 for number in range(20)]
        world.produce(
            [
                write(topic, place, b"%d" % number, headers=odd * (number % 3))
                for number, place in enumerate(places)
            ]
        )
        reader = world.reader()
        reader.assign(topic, {0: 0, 1: 0}, lambda headers: len(headers) == 1)
        found: list[Record] = []
        passed: dict[int, int] = {}
        ends: dict[int, int] = {}
        while len(ends) < 2:
            chunk = reader.poll(3, 0.1)
            found += chunk.records
            passed.update(chunk.passed)
            ends.update(chunk.ends)
        assert sorted(int(each.value or b"") for each in found) == list(range(1, 20, 3))
        # an end may be told in place of the last records before it
        assert {**passed, **ends} == {p: each.stable for p, each in world.log.ends(topic).items()}

    def test_an_offset_below_the_start_means_the_start(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"v")])
        reader = world.reader()
        reader.assign(topic, {0: -7})
        records, _ = world.drain(reader, {0: 1})
        assert [record.value for record in records] == [b"v"]

    def test_a_reader_takes_no_topic_or_partition_that_does_not_exist(self, world: World) -> None:
        topic = world.topic(2)
        reader = world.reader()
        with pytest.raises(TopicError):
            reader.assign("never-created", {0: 0})
        with pytest.raises(TopicError):
            reader.assign(topic, {2: 0})

    def test_a_reader_reads_only_what_was_assigned_last(self, world: World) -> None:
        topic, other = world.topic(2), world.topic()
        world.produce([write(topic, 0, b"0"), write(topic, 1, b"1"), write(other, 0, b"2")])
        reader = world.reader()
        reader.assign(topic, {1: 0})
        assert [r.value for r in world.drain(reader, {1: 1})[0]] == [b"1"]
        reader.assign(other, {0: 0})
        assert [r.value for r in world.drain(reader, {0: 1})[0]] == [b"2"]

    def test_what_a_reader_has_left_of_what_was_assigned_before_does_not_come(
        self, world: World
    ) -> None:
        topic = world.topic(2)
        world.produce([write(topic, n % 2, b"%d" % n) for n in range(400)])
        reader = world.reader()
        for number in range(6):
            partition, begin = number % 2, 10 * number
            reader.assign(topic, {partition: begin})
            some = world.some(reader)
            assert [(r.partition, r.offset) for r in some] == [
                (partition, begin + n) for n in range(len(some))
            ]

    def test_a_reader_hands_out_no_more_than_it_was_asked_for(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"%d" % n) for n in range(10)])
        reader = world.reader()
        reader.assign(topic, {0: 0})
        values: list[bytes | None] = []

        def read_some() -> bool:
            chunk = reader.poll(3, 0.05)
            assert len(chunk.records) <= 3
            values.extend(record.value for record in chunk.records)
            return len(values) >= 10

        world.until(read_some, "ten records were read")
        assert values == [b"%d" % n for n in range(10)]

    def test_the_end_of_an_empty_partition_is_told(self, world: World) -> None:
        topic = world.topic(2)
        reader = world.reader()
        reader.assign(topic, {0: 0, 1: 0})
        assert world.drain(reader, {0: 0, 1: 0})[0] == []

    def test_an_end_is_told_again_when_it_is_reached_anew(self, world: World) -> None:
        topic = world.topic()
        reader = world.reader()
        reader.assign(topic, {0: 0})
        world.drain(reader, {0: 0})
        for value in (b"1", b"2"):
            world.produce([write(topic, 0, value)])
            records, last = world.drain(reader, {0: world.log.ends(topic)[0].stable})
            assert [record.value for record in records] == [value]
            assert last.ends[0] > records[-1].offset

    def test_a_told_end_does_not_lie_before_records_that_were_told_with_it(
        self, world: World
    ) -> None:
        topic = world.topic()
        slow, quick = world.reader(), world.reader()
        for reader in (slow, quick):
            reader.assign(topic, {0: 0})
        for number in range(20):
            # while nobody asks the slow one it meets an end, and then what came behind that
            world.produce([write(topic, 0, b"%d" % number)])
            world.drain(quick, {0: world.log.ends(topic)[0].stable})
            if number % 4 == 3:
                chunk = slow.poll(100, 1.0)
                ends = [chunk.ends.get(r.partition, r.offset + 1) for r in chunk.records]
                assert all(end > r.offset for r, end in zip(chunk.records, ends, strict=True))

    def test_a_told_end_is_where_reading_goes_on(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"1")])
        reader = world.reader()
        reader.assign(topic, {0: 0})
        _, last = world.drain(reader, {0: 1})
        world.produce([write(topic, 0, b"2")])
        reader.assign(topic, dict(last.ends))
        records, _ = world.drain(reader, {0: world.log.ends(topic)[0].stable})
        assert [record.value for record in records] == [b"2"]

    def test_another_handle_sees_what_this_one_wrote(self, world: World) -> None:
        topic = world.topic()
        other = world.another_log()
        world.produce([write(topic, 0, b"v")])
        assert [record.value for record in world.read(topic, other)] == [b"v"]
