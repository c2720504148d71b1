"""A takeover that waits: what it says, whose transaction it ends, and that no other waits with it.

The embedded log has no transaction that stays open; what Kafka tells of one is told here instead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from counter import Add, Counter
from runtime_tools import add, progress, total
from world import World

from kstate.core.messages import Progress
from kstate.errors import LogError, LogUnavailable, TopicError, TransactionAborted
from kstate.log.embedded import EmbeddedLog
from kstate.log.embedded_member import EmbeddedMember
from kstate.log.embedded_reader import EmbeddedReader
from kstate.log.port import Chunk, Committed, Ends
from kstate.wiring import open_log

SLICE_S = 0.06
"""Longer than a worker gives to its recoveries in one turn of its loop."""


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, "kstate")
    monkeypatch.setattr("kstate.runtime.recovery.ORPHAN_S", 0.05)


class Held:
    """Progress that an open transaction holds back while ``holds`` says so of the partition."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ended: list[str] = []
        self.holds: Callable[[int], bool] = lambda partition: True
        self.away = False
        real, real_progress = EmbeddedMember.committed, EmbeddedLog.progress

        def committed(member: EmbeddedMember, partition: int) -> Committed | None:
            if self.holds(partition):
                time.sleep(SLICE_S)
                raise LogUnavailable("held back on demand")
            return real(member, partition)

        def end_orphan(log: EmbeddedLog, group: str, instance: str) -> bool:
            self.ended.append(instance)
            return True

        def progress(log: EmbeddedLog, *rest: str) -> Mapping[int, Committed]:
            if self.away:
                raise LogUnavailable("away on demand")
            return real_progress(log, *rest)

        monkeypatch.setattr(EmbeddedMember, "committed", committed)
        monkeypatch.setattr(EmbeddedLog, "end_orphan", end_orphan)
        monkeypatch.setattr(EmbeddedLog, "progress", progress)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


IDS = 20
"""Enough for some in each partition."""


def before(world: World, partitions: int, count: int = 40) -> None:
    """A past of so many events on each partition, whose worker has left."""
    world.run(Counter, partitions=partitions)
    add(world, count, ids=IDS)
    world.stop()


def instance(world: World, partition: int = 0) -> str:
    """The name that stands in a partition's progress."""
    topics = world.topics(Counter)
    log = open_log(world.url)
    try:
        parsed = Progress.parse(*log.progress(topics.group, topics.commands)[partition])
    finally:
        log.close()
    assert parsed is not None
    return parsed[1]


def sign(world: World, partition: int, name: str) -> None:
    """Lets a partition's progress be what somebody of that name wrote."""
    topics = world.topics(Counter)
    log = open_log(world.url)
    try:
        done = log.progress(topics.group, topics.commands)[partition]
        member: Any = log.join(topics.group, topics.commands, name)
        world.until(lambda: bool(member.poll(1, 0.0).assigned), "the partitions came")
        parsed = Progress.parse(*done)
        assert parsed is not None
        member.commit([], {partition: Committed(done.offset, parsed[0].metadata(name))})
        member.close()
    finally:
        log.close()


def move(world: World) -> None:
    """The next worker runs elsewhere, and so under another name."""
    world.data = world.data.parent / "elsewhere"


# -- a takeover that comes to no end -------------------------------------------------------------


def test_a_log_that_ends_below_what_was_to_be_read_was_truncated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.recovery.STALL_S", 0.3)
    before(world, 1)
    journal = world.topics(Counter).journal
    real, asked = EmbeddedLog.ends, []

    def ends(log: EmbeddedLog, topic: str) -> Mapping[int, Ends]:
        found = real(log, topic)
        if topic != journal or asked:
            return found
        asked.append(topic)
        return {0: found[0]._replace(stable=100, end=100)}

    monkeypatch.setattr(EmbeddedLog, "ends", ends)
    world.run(Counter, partitions=1)
    failure = world.failure()
    assert isinstance(failure, TopicError)
    assert f"{journal}:0" in str(failure)
    assert "it ends at 40, and 100 was expected: it was truncated" in str(failure)


def test_what_others_wrote_after_a_worker_looked_is_not_taken_for_damage(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still in the middle of a takeover, and does not know yet that its seat is lost."""
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 40, ids=IDS)
    world.stop()
    journal = world.topics(Counter).journal
    real, real_committed = EmbeddedLog.ends, EmbeddedMember.committed
    looked: set[str] = set()

    def committed(member: EmbeddedMember, partition: int) -> Committed | None:
        found = real_committed(member, partition)
        if "progress" in looked or found is None:
            return found
        looked.add("progress")
        return found._replace(offset=found.offset - 1)

    def ends(log: EmbeddedLog, topic: str) -> Mapping[int, Ends]:
        if topic != journal or "journal" in looked:
            return real(log, topic)
        looked.add("journal")
        return {0: Ends(0, 1, 1)}

    monkeypatch.setattr(EmbeddedMember, "committed", committed)
    monkeypatch.setattr(EmbeddedLog, "ends", ends)
    world.restart()
    total(world, 40, ids=IDS)
    assert looked == {"progress", "journal"}
    (told,) = [each for each in caplog.messages if "seat lost" in each]
    assert "went on without this worker" in told
    assert "below the low-water mark" in told


def test_records_that_are_there_and_do_not_come_are_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.recovery.STALL_S", 0.3)
    before(world, 1)
    journal = world.topics(Counter).journal
    on_it: set[EmbeddedReader] = set()
    real_assign, real_poll = EmbeddedReader.assign, EmbeddedReader.poll

    def assign(reader: EmbeddedReader, topic: str, *rest: Any) -> None:
        if topic == journal:
            on_it.add(reader)
        real_assign(reader, topic, *rest)

    def poll(reader: EmbeddedReader, *rest: Any) -> Chunk:
        return Chunk((), {}) if reader in on_it else real_poll(reader, *rest)

    monkeypatch.setattr(EmbeddedReader, "assign", assign)
    monkeypatch.setattr(EmbeddedReader, "poll", poll)
    world.run(Counter, partitions=1)
    failure = world.failure()
    assert isinstance(failure, LogError)
    assert f"taking over {journal}:0 made no progress" in str(failure)
    assert "though nothing keeps that back" in str(failure)


def test_progress_that_is_held_back_is_told_of_once_and_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, held: Held
) -> None:
    monkeypatch.setattr("kstate.runtime.recovery.STALL_S", 1.0)
    monkeypatch.setattr("kstate.runtime.recovery.TOLD_S", 0.3)
    held.holds = lambda partition: False
    before(world, 1)
    held.holds = lambda partition: True
    world.run(Counter, partitions=1)
    failure = world.failure()
    topics = world.topics(Counter)
    assert isinstance(failure, LogError)
    assert not isinstance(failure, LogUnavailable)
    for text in (f"{topics.commands}:0", topics.group, "a transaction is open"):
        assert text in str(failure)
    assert sum("is waited for" in message for message in caplog.messages) == 1


def test_a_log_that_is_away_while_progress_is_held_back_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, held: Held
) -> None:
    monkeypatch.setattr("kstate.runtime.recovery.STALL_S", 0.3)
    held.holds = lambda partition: False
    before(world, 1)
    held.holds = lambda partition: True
    held.away = True
    world.run(Counter, partitions=1)
    world.until(
        lambda: sum("away on demand" in message for message in caplog.messages) > 0, "it was told"
    )
    began = time.monotonic()
    world.until(lambda: time.monotonic() - began > 1.0, "the deadline would have struck")
    held.away = False
    held.holds = lambda partition: False
    total(world, 40, ids=IDS)


# -- whose transaction is ended ------------------------------------------------------------------


def test_the_names_in_the_progress_of_all_partitions_are_looked_for_once_each(
    world: World, held: Held
) -> None:
    held.holds = lambda partition: False
    before(world, 3)
    for partition, name in enumerate(("here", "there", "elsewhere")):
        sign(world, partition, name)
    held.holds = lambda partition: partition == 0 and len(set(held.ended)) < 3
    world.run(Counter, partitions=3)
    total(world, 40, ids=IDS)
    assert held.ended[0] == "here"
    assert sorted(held.ended) == ["elsewhere", "here", "there"]


def test_the_names_of_members_and_its_own_are_not_looked_for(
    world: World, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.holds = lambda partition: False
    before(world, 3)
    own = instance(world)
    sign(world, 0, "here")
    sign(world, 2, "alive")
    assert instance(world, 1) == own
    real = EmbeddedLog.owners
    monkeypatch.setattr(EmbeddedLog, "owners", lambda *rest: {**real(*rest), 2: "alive"})
    tries: list[int] = []
    held.holds = lambda partition: partition == 0 and (tries.append(0) or len(tries) < 10)  # type: ignore[func-returns-value]
    world.run(Counter, partitions=3)
    total(world, 40, ids=IDS)
    assert held.ended == ["here"]


# -- whose name is committed ---------------------------------------------------------------------


def commits(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, Committed]]:
    """The progress of each commit without records, from now on."""
    made: list[dict[int, Committed]] = []
    real = EmbeddedMember.commit

    def commit(member: EmbeddedMember, writes: Any, done: Any) -> Any:
        if not writes:
            made.append(dict(done))
        return real(member, writes, done)

    monkeypatch.setattr(EmbeddedMember, "commit", commit)
    return made


@pytest.mark.parametrize(
    ("slice_s", "together"), [(10.0, [[0, 1, 2]]), (0.0, [[0], [1, 2]])], ids=["fast", "slow"]
)
def test_who_took_over_has_its_name_in_the_progress_before_its_first_command(
    world: World, monkeypatch: pytest.MonkeyPatch, slice_s: float, together: list[list[int]]
) -> None:
    monkeypatch.setattr("kstate.runtime.worker.RECOVERY_SLICE_S", slice_s)
    before(world, 3)
    first, was = instance(world), progress(world)
    move(world)
    made = commits(monkeypatch)
    world.run(Counter, partitions=3)
    assert world.worker(Counter).ready.wait(20)
    second = world.worker(Counter)._slot.instance
    assert second != first
    assert [instance(world, partition) for partition in range(3)] == [second] * 3
    assert [sorted(done) for done in made] == together
    assert progress(world) == was


def test_a_takeover_that_writes_snapshots_has_its_name_in_the_progress_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(world, 1)
    move(world)
    names: list[str] = []
    real = EmbeddedMember.commit

    def commit(member: EmbeddedMember, writes: Any, done: Any) -> Any:
        if writes:
            names.append(instance(world))
        return real(member, writes, done)

    monkeypatch.setattr(EmbeddedMember, "commit", commit)
    world.run(Counter, partitions=1, max_entities=3)
    assert world.worker(Counter).ready.wait(20)
    assert names
    assert set(names) == {world.worker(Counter)._slot.instance}


def test_who_comes_back_under_its_name_has_nothing_to_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(world, 3)
    made = commits(monkeypatch)
    world.run(Counter, partitions=3)
    assert world.worker(Counter).ready.wait(20)
    assert made == []


def test_a_takeover_whose_name_is_not_committed_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before(world, 1)
    move(world)
    real, aborted = EmbeddedMember.commit, []

    def commit(member: EmbeddedMember, writes: Any, done: Any) -> Any:
        if not writes and not aborted:
            aborted.append(done)
            raise TransactionAborted("aborted on demand")
        return real(member, writes, done)

    monkeypatch.setattr(EmbeddedMember, "commit", commit)
    world.run(Counter, partitions=1)
    total(world, 40, ids=IDS)
    assert len(aborted) == 1
    assert sum("seat lost" in message for message in caplog.messages) == 0
    assert world.call(Counter, "id-0", Add(1)) == 3
    assert instance(world) == world.worker(Counter)._slot.instance


# -- who goes first ------------------------------------------------------------------------------


@pytest.mark.parametrize("stuck", [0, 1])
def test_a_partition_that_waits_lets_the_others_be_taken_over_and_work(
    world: World, held: Held, stuck: int
) -> None:
    held.holds = lambda partition: False
    before(world, 2)
    held.holds = lambda partition: partition == stuck
    world.run(Counter, partitions=2)
    done = progress_of(world, 1 - stuck)
    for number in range(IDS):
        world.cast(Counter, f"id-{number}", Add(1))
    world.until(lambda: progress_of(world, 1 - stuck) > done, "the other partition works")
    held.holds = lambda partition: False
    total(world, 60, ids=IDS)


def test_a_partition_whose_journal_does_not_come_lets_the_others_be_taken_over_and_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(world, 2)
    journal = world.topics(Counter).journal
    held_back = [True]
    held: set[EmbeddedReader] = set()
    real, real_poll = EmbeddedReader.assign, EmbeddedReader.poll

    def assign(reader: EmbeddedReader, topic: str, positions: Any, only: Any = None) -> None:
        if topic == journal and 0 in positions:
            held.add(reader)
        else:
            held.discard(reader)
        real(reader, topic, positions, only)

    def poll(reader: EmbeddedReader, max_records: int, timeout_s: float) -> Chunk:
        if held_back[0] and reader in held:
            time.sleep(timeout_s)
            return Chunk((), {})
        return real_poll(reader, max_records, timeout_s)

    monkeypatch.setattr(EmbeddedReader, "assign", assign)
    monkeypatch.setattr(EmbeddedReader, "poll", poll)
    done = progress_of(world, 1)
    world.run(Counter, partitions=2)
    for number in range(IDS):
        world.cast(Counter, f"id-{number}", Add(1))
    world.until(lambda: progress_of(world, 1) > done, "the other partition works")
    held_back[0] = False
    total(world, 60, ids=IDS)


def progress_of(world: World, partition: int) -> int:
    topics = world.topics(Counter)
    log = open_log(world.url)
    try:
        return log.progress(topics.group, topics.commands)[partition].offset
    finally:
        log.close()


def test_partitions_are_read_one_after_another_by_one_reader(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # to connect takes time, and all readers at once would be as many connections
    before(world, 3, count=40)
    monkeypatch.setattr("kstate.runtime.recovery.CHUNK", 1)
    monkeypatch.setattr("kstate.runtime.worker.RECOVERY_SLICE_S", 0.0)
    world.forget_stores()
    read: list[tuple[EmbeddedReader, str, int]] = []  # reader, topic, partition
    real = EmbeddedReader.assign

    def assign(reader: EmbeddedReader, topic: str, positions: Any, only: Any = None) -> None:
        read.extend((reader, topic, partition) for partition in positions)
        real(reader, topic, positions, only)

    monkeypatch.setattr(EmbeddedReader, "assign", assign)
    world.run(Counter, partitions=3)
    assert world.worker(Counter).ready.wait(20)
    topics = world.topics(Counter)
    taken_over = [each for each in read if each[1] in (topics.snapshots, topics.journal)]
    assert [each[1:] for each in taken_over] == [
        (topic, partition) for partition in range(3) for topic in (topics.snapshots, topics.journal)
    ]
    assert len({reader for reader, _, _ in taken_over}) == 1
