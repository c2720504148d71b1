"""What `kstate.log.port` promises of a group's members and their transactions."""

from __future__ import annotations

import threading

import pytest

from kstate.core.partition import partition_for
from kstate.errors import Fenced, LogError, OutcomeUnknown, RecordTooLarge, TopicError
from kstate.log.port import Committed
from kstate.testing.log_hooks import LogHooks
from kstate.testing.log_world import Seat, World, write


class MemberPromises(LogHooks):
    """Assignment, delivery, progress, transactions, fencing."""

    # -- membership --------------------------------------------------------------------------

    def test_a_lone_member_is_assigned_every_partition(self, world: World) -> None:
        topic = world.topic(3)
        seat = world.owner(world.group(), topic)
        assert seat.assigned.keys() == {0, 1, 2}
        assert seat.member.instance == world.instance()

    def test_an_assigned_partition_delivers_nothing_before_its_start(self, world: World) -> None:
        topic = world.topic(2)
        world.produce([write(topic, 0, b"0"), write(topic, 1, b"1")])
        seat = world.owner(world.group(), topic)
        seat.member.start(1, 0)
        world.receive(seat, 1)
        seat.poll(timeout_s=0.2)
        assert {record.partition for record in seat.records} == {1}

    def test_records_are_delivered_from_the_start_on_in_order(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"%d" % n) for n in range(300)])
        seat = world.owner(world.group(), topic)
        seat.member.start(0, world.read(topic)[100].offset)
        world.receive(seat, 200)
        assert seat.values() == [b"%d" % n for n in range(100, 300)]

    def test_a_partition_started_again_is_delivered_again(self, world: World) -> None:
        topic = world.topic()
        world.produce([write(topic, 0, b"1"), write(topic, 0, b"2")])
        seat = world.owner(world.group(), topic)
        seat.member.start(0, 0)
        world.receive(seat, 2)
        seat.member.start(0, seat.records[1].offset)
        world.receive(seat, 3)
        assert seat.values() == [b"1", b"2", b"2"]

    def test_a_poll_delivers_no_more_than_it_was_asked_for(self, world: World) -> None:
        topic = world.topic(2)
        world.produce([write(topic, n % 2, b"%d" % n) for n in range(20)])
        seat = world.owner(world.group(), topic)
        for partition in (0, 1):
            seat.member.start(partition, 0)

        def some() -> bool:
            assert len(seat.poll(max_records=3).records) <= 3
            return len(seat.records) == 20

        world.until(some, "twenty records were delivered")

    def test_records_that_come_later_are_delivered(self, world: World) -> None:
        topic = world.topic()
        seat = world.owner(world.group(), topic)
        seat.member.start(0, 0)
        for n in range(3):
            world.produce([write(topic, 0, b"%d" % n)])
            world.receive(seat, n + 1)
        assert seat.values() == [b"0", b"1", b"2"]

    def test_the_owner_is_told_to_onlookers_until_it_leaves(self, world: World) -> None:
        topic, group = world.topic(2), world.group()
        name = world.instance("i-7")
        seat = world.owner(group, topic, name)
        onlooker = world.another_log()
        assert onlooker.owners(group, topic) == {0: name, 1: name}
        seat.member.close()
        world.until(lambda: onlooker.owners(group, topic) == {}, "the owner was gone")

    def test_when_the_owner_closes_the_next_member_takes_over(self, world: World) -> None:
        topic, group = world.topic(2), world.group()
        first = world.owner(group, topic)
        second = world.join(group, topic, world.instance("i-1"), world.another_log())
        first.member.commit([], {0: Committed(3, "m")})
        first.member.close()
        first.member.close()
        world.settle([second], topic)
        assert second.member.committed(0) == Committed(3, "m")

    def test_a_second_member_stands_by_or_shares(self, world: World) -> None:
        topic, group = world.topic(4), world.group()
        first = world.owner(group, topic)
        second = world.join(group, topic, world.instance("i-1"), world.another_log())
        if world.log.multiple_owners:

            def shared() -> bool:
                world.settle([first, second], topic)
                return bool(first.assigned and second.assigned)

            world.until(shared, "both members own partitions")
            expected = {p: seat.member.instance for seat in (first, second) for p in seat.assigned}
            assert world.log.owners(group, topic) == expected
        else:
            for _ in range(5):
                second.poll()
                first.poll()
            assert second.assigned == {}
            with pytest.raises(Fenced):
                second.member.commit([], {0: Committed(1, "")})

    def test_a_member_that_lost_its_partitions_is_told_so_when_it_polls(self, world: World) -> None:
        topic, group = world.topic(2), world.group()
        hung = world.owner(group, topic)
        lost = set(hung.history)
        usurper = world.join(group, topic, world.instance("i-1"), world.another_log())
        world.settle([usurper], topic)

        def told() -> bool:
            try:
                lost.difference_update(hung.poll().revoked)
            except Fenced:
                lost.clear()
            return not lost

        world.until(told, "it was told")

    def test_an_assignment_number_is_never_used_again(self, world: World) -> None:
        topic, group = world.topic(2), world.group()
        first = world.owner(group, topic)
        if world.log.multiple_owners:
            second = world.join(group, topic, world.instance("i-1"), world.another_log())
            world.settle([first, second], topic)
            second.member.close()
            world.settle([first], topic)
        numbers = [assignment.number for assignment in first.history]
        assert len(numbers) == len(set(numbers)) >= 2

    # -- transactions ------------------------------------------------------------------------

    def test_a_group_that_never_committed_has_no_progress(self, world: World) -> None:
        topic, group = world.topic(), world.group()
        seat = world.owner(group, topic)
        assert seat.member.committed(0) is None
        assert world.log.progress(group, topic) == {}

    def test_progress_comes_back_with_its_metadata(self, world: World) -> None:
        topic, group = world.topic(2), world.group()
        seat = world.owner(group, topic)
        progress = {0: Committed(7, "1;42;-1;3;host-ä;0"), 1: Committed(0, "")}
        seat.member.commit([], progress)
        assert {p: seat.member.committed(p) for p in (0, 1)} == progress
        assert world.another_log().progress(group, topic) == progress

    def test_the_groups_of_a_topic_progress_apart(self, world: World) -> None:
        topic, group = world.topic(), world.group()
        world.owner(group, topic).member.commit([], {0: Committed(7, "m")})
        assert world.owner(world.group(), topic).member.committed(0) is None

    def test_what_a_transaction_wrote_is_there_after_it(self, world: World) -> None:
        commands, journal, replies = world.topic(2), world.topic(2, "compact"), world.topic(3)
        seat = world.owner(world.group(), commands)
        writes = [
            write(journal, 1, b"e1", b"k@1"),
            write(replies, None, b"r", b"id"),
            write(journal, 1, b"e2", b"k@2"),
        ]
        seat.member.commit(writes, {1: Committed(1, "m")})
        other = world.another_log()
        assert [(r.partition, r.value) for r in world.read(journal, other)] == [
            (1, b"e1"),
            (1, b"e2"),
        ]
        assert [r.partition for r in world.read(replies, other)] == [partition_for(b"id", 3)]

    def test_what_was_written_ahead_comes_before_the_rest_and_with_the_commit_alone(
        self, world: World
    ) -> None:
        group, topic, journal = world.group(), world.topic(), world.topic(2)
        seat = world.owner(group, topic)
        seat.member.write_ahead([write(journal, 0, b"first"), write(journal, 1, b"aside")])
        seat.member.write_ahead([write(journal, 0, b"second")])
        onlooker = world.reader()
        onlooker.assign(journal, {0: 0, 1: 0})
        assert not onlooker.poll(10, 0.1).records
        bounds = seat.member.commit([write(journal, 0, b"third")], {0: Committed(1, "m")})
        records = world.read(journal)
        values = [record.value for record in records if record.partition == 0]
        assert values == [b"first", b"second", b"third"]
        newest = {record.partition: record.offset for record in records}
        ends = world.log.ends(journal)
        assert all(newest[p] < bounds[journal, p] <= ends[p].end for p in (0, 1))

    def test_a_member_is_told_the_end_behind_what_is_no_record(self, world: World) -> None:
        group, topic = world.group(), world.topic()
        elsewhere = world.owner(world.group(), world.topic(), world.instance("i-1"))
        elsewhere.member.commit([write(topic, 0, b"only")], {0: Committed(1, "")})
        seat = world.owner(group, topic)
        seat.member.start(0, 0)
        world.receive(seat, 1)
        end = world.log.ends(topic)[0].end

        reached = [seat.records[-1].offset + 1]

        def at_the_end() -> bool:
            reached.append(seat.poll().ends.get(0, 0))
            return max(reached) == end

        world.until(at_the_end, "the end was told")

    def test_what_was_written_ahead_and_dropped_is_never_seen(self, world: World) -> None:
        group, topic, journal = world.group(), world.topic(), world.topic()
        seat = world.owner(group, topic)
        seat.member.write_ahead([write(journal, 0, b"dropped")])
        seat.member.abort()
        seat.member.abort()  # there is nothing to drop any more
        seat.member.commit([write(journal, 0, b"kept")], {0: Committed(1, "")})
        assert world.values(journal) == [b"kept"]

    def test_a_record_that_is_refused_drops_what_was_written_ahead(self, world: World) -> None:
        group, topic, journal = world.group(), world.topic(), world.topic()
        seat = world.owner(group, topic)
        seat.member.write_ahead([write(journal, 0, b"dropped")])
        with pytest.raises(TopicError):
            seat.member.commit([write(journal, 7, b"no such partition")], {0: Committed(1, "")})
        assert seat.member.committed(0) is None
        seat.member.commit([write(journal, 0, b"kept")], {0: Committed(2, "")})
        assert world.values(journal) == [b"kept"]

    def test_what_is_refused_ahead_drops_all_that_was_written_ahead(self, world: World) -> None:
        group, topic, journal = world.group(), world.topic(), world.topic()
        seat = world.owner(group, topic)
        seat.member.write_ahead([write(journal, 0, b"dropped")])
        ahead = [write(journal, 0, b"dropped, too"), write(journal, 7, b"no such partition")]

        def write_ahead_and_commit() -> None:
            seat.member.write_ahead(ahead)
            seat.member.commit([], {0: Committed(1, "")})

        with pytest.raises(TopicError):
            write_ahead_and_commit()
        assert seat.member.committed(0) is None
        seat.member.commit([write(journal, 0, b"kept")], {0: Committed(2, "")})
        assert world.values(journal) == [b"kept"]

    def test_what_a_member_wrote_ahead_before_it_lost_its_partitions_is_never_seen(
        self, world: World
    ) -> None:
        group, topic, journal = world.group(), world.topic(), world.topic()
        hung = world.owner(group, topic)
        hung.member.write_ahead([write(journal, 0, b"lost")])
        heir = world.join(group, topic, world.instance("i-1"), world.another_log())
        world.settle([heir], topic)
        self._assert_fenced(hung, journal)
        assert heir.member.committed(0) is None
        heir.member.commit([write(journal, 0, b"kept")], {0: Committed(1, "")})
        assert world.values(journal) == [b"kept"]

    def test_a_seat_given_up_drops_what_it_wrote_ahead(self, world: World) -> None:
        group, topic, journal = world.group(), world.topic(), world.topic()
        seat = world.owner(group, topic)
        seat.member.write_ahead([write(journal, 0, b"dropped")])
        seat.member.close()
        world.owner(group, topic).member.commit([write(journal, 0, b"kept")], {0: Committed(1, "")})
        assert world.values(journal) == [b"kept"]

    def test_a_commit_returns_a_lower_bound_of_the_next_offset(self, world: World) -> None:
        commands, journal = world.topic(), world.topic(2)
        seat = world.owner(world.group(), commands)
        for n in range(3):
            bounds = seat.member.commit([write(journal, 1, b"%d" % n)], {0: Committed(n, "")})
            written = world.read(journal)[-1].offset
            assert bounds.keys() == {(journal, 1)}
            seat.member.commit([write(journal, 1, b"next")], {0: Committed(n, "")})
            assert written <= bounds[journal, 1] <= world.read(journal)[-1].offset

    def test_a_commit_returns_a_bound_of_each_partition_that_it_wrote_for(
        self, world: World
    ) -> None:
        commands, journal, snapshots = world.topic(), world.topic(3), world.topic(2, "compact")
        seat = world.owner(world.group(), commands)
        places = [(journal, 0), (snapshots, 1), (journal, 2), (journal, 0)]
        for n in range(1, 3):
            writes = [write(topic, partition, b"v") for topic, partition in places]
            bounds = seat.member.commit(writes, {0: Committed(n, "")})
            assert bounds.keys() == set(places)
            for topic, partition in set(places):
                offsets = [r.offset for r in world.read(topic) if r.partition == partition]
                assert (
                    max(offsets) < bounds[topic, partition] <= world.log.ends(topic)[partition].end
                )

    def test_a_transaction_is_seen_whole_and_together_with_its_progress(self, world: World) -> None:
        commands, journal, group = world.topic(), world.topic(), world.group()
        seat = world.owner(group, commands)
        onlooker = world.another_log()
        transactions, size = 30, 7
        failures: list[str] = []

        def look_on() -> None:
            seen = 0
            while seen < transactions and not failures:
                progress = onlooker.progress(group, commands).get(0, Committed(0, "")).offset
                count = len(world.read(journal, onlooker))
                if count % size or count < progress * size:
                    failures.append(f"{count} records seen at progress {progress}")
                seen = count // size

        thread = threading.Thread(target=look_on)
        thread.start()
        try:
            for n in range(1, transactions + 1):
                writes = [write(journal, 0, b"%d" % n) for _ in range(size)]
                seat.member.commit(writes, {0: Committed(n, "")})
        finally:
            thread.join(self.patience_s)
        assert failures == []
        assert not thread.is_alive()

    def test_a_record_beyond_the_limit_spoils_its_transaction_and_not_the_next(
        self, world: World
    ) -> None:
        commands, journal, group = world.topic(), world.topic(), world.group()
        seat = world.owner(group, commands)
        huge = write(journal, 0, bytes(world.log.max_record_bytes + 1))
        with pytest.raises(RecordTooLarge) as refused:
            seat.member.commit([write(journal, 0, b"lost"), huge], {0: Committed(5, "")})
        assert refused.value.size > refused.value.limit == world.log.max_record_bytes
        assert seat.member.committed(0) is None
        seat.member.commit([write(journal, 0, b"kept")], {0: Committed(1, "")})
        assert world.values(journal) == [b"kept"]

    @pytest.mark.parametrize("partition", [None, 0])
    def test_a_transaction_for_a_topic_that_does_not_exist_writes_nothing(
        self, world: World, partition: int | None
    ) -> None:
        commands, journal, group = world.topic(), world.topic(), world.group()
        seat = world.owner(group, commands)
        writes = [write(journal, 0, b"v"), write("never-created", partition, b"v")]
        with pytest.raises(LogError):
            seat.member.commit(writes, {0: Committed(5, "")})
        assert world.values(journal) == []
        assert world.log.progress(group, commands) == {}

    def test_a_transaction_for_a_partition_that_does_not_exist_writes_nothing(
        self, world: World
    ) -> None:
        commands, journal, group = world.topic(), world.topic(2), world.group()
        seat = world.owner(group, commands)
        writes = [write(journal, 0, b"v"), write(journal, 2, b"v")]
        with pytest.raises(LogError):
            seat.member.commit(writes, {0: Committed(5, "")})
        assert world.values(journal) == []
        assert world.log.progress(group, commands) == {}

    def test_a_member_that_lost_its_partitions_writes_nothing_and_is_told(
        self, world: World
    ) -> None:
        commands, journal, group = world.topic(2), world.topic(), world.group()
        hung = world.owner(group, commands)
        hung.member.commit([write(journal, 0, b"before")], {0: Committed(1, "")})
        usurper = world.join(group, commands, world.instance("i-1"), world.another_log())
        world.settle([usurper], commands)
        self._assert_fenced(hung, journal)
        usurper.member.commit([write(journal, 0, b"after")], {0: Committed(2, "")})
        assert world.values(journal) == [b"before", b"after"]
        assert world.log.progress(group, commands)[0] == Committed(2, "")

    def _assert_fenced(self, seat: Seat, journal: str) -> None:
        with pytest.raises((Fenced, OutcomeUnknown)):
            seat.member.commit([write(journal, 0, b"lost")], {0: Committed(9, "")})
