"""Taking a partition over: no more is read than must be, and what cannot be trusted is not."""

from __future__ import annotations

import logging
import time

import pytest
from counter import Add, AddAndRefuse, Added, Counter, Save
from runtime_tools import (
    Takeover,
    add,
    caught_up,
    execute,
    expire_commands,
    forget_progress,
    progress,
    recreate,
    store_files,
    store_of,
    tail,
    total,
)
from world import World

from kstate import event
from kstate.core.messages import Record
from kstate.core.topics import CHECKPOINT_KEY
from kstate.errors import JournalError, LogError, TopicError

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kstate")


def restart(world: World, *, without_store: bool = False, **settings: int | bool) -> None:
    """Restarts, and waits until a command was answered."""
    world.restart(without_store=without_store, **settings)
    world.state(Counter, "id-0")


def lacking(world: World) -> int:
    """How many records of the snapshots topic the store lacks; the worker has stopped."""
    with store_of(world) as store:
        checkpoint = store.checkpoint()
        assert checkpoint is not None
        kept = world.snapshots(Counter) + world.checkpoints(Counter)
        return sum(1 for record in kept if record.offset >= checkpoint.snapshots_offset)


# -- what is read --------------------------------------------------------------------------------


def test_without_a_store_snapshots_and_the_tail_of_the_journal_are_read(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 200)
    world.stop()
    expected = tail(world) + len(world.snapshots(Counter) + world.checkpoints(Counter))
    restart(world, without_store=True)
    assert Takeover(caplog).records_read == expected < 100
    total(world, 200)


def test_with_a_store_only_the_tail_of_the_journal_is_read(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 200)
    assert world.snapshots(Counter)
    world.stop()
    expected = tail(world) + lacking(world)
    restart(world)
    assert Takeover(caplog).records_read == expected < 40
    total(world, 200)


def test_a_store_that_lags_reads_only_what_it_lacks(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 200)
    world.stop()
    with store_of(world) as store:
        checkpoint = store.checkpoint()
        assert checkpoint is not None
        newest = world.snapshots(Counter)[-2:]
        lagging = checkpoint._replace(snapshots_offset=newest[0].offset)
        store.apply({record.key or b"": None for record in newest}, lagging)
    expected = tail(world) + lacking(world)
    world.run(Counter, partitions=1)
    total(world, 200)
    assert Takeover(caplog).records_read == expected


def test_a_store_is_as_good_after_a_recovery_as_before(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 200)
    restart(world, without_store=True)
    world.stop()
    assert lacking(world) <= 1  # the note of its leave
    expected = tail(world) + lacking(world)
    restart(world)
    assert Takeover(caplog).records_read == expected
    total(world, 200)


# -- stores that cannot be trusted ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("topic", "another", "it belongs to another snapshots topic"),
        ("snapshot_version", 7, "the processor's snapshot_version has changed"),
        ("snapshots_offset", 1_000_000, "it is ahead of the snapshots topic"),
        ("at", -8 * DAY_MS, "it is older than the snapshots topic keeps tombstones"),
        ("at", HOUR_MS + MINUTE_MS, "it is dated more than an hour ahead of now"),
    ],
)
def test_a_store_that_does_not_fit_is_rebuilt_and_it_is_said_why(
    world: World, caplog: pytest.LogCaptureFixture, field: str, value: int | str, why: str
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    world.stop()
    with store_of(world) as store:
        checkpoint = store.checkpoint()
        assert checkpoint is not None
        if field == "at":
            value = int(value) + int(time.time() * 1000)
        ghost = {b"ghost": next(snapshot for _, snapshot in store.items())}
        store.apply(ghost, checkpoint._replace(**{field: value}))
    world.run(Counter, partitions=1)
    total(world, 100)
    assert world.state(Counter, "ghost").events == 0
    assert sum(why in message for message in caplog.messages) == 1


def test_a_store_that_is_dated_a_little_ahead_is_trusted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    world.stop()
    with store_of(world) as store:
        checkpoint = store.checkpoint()
        assert checkpoint is not None
        ahead = int(time.time() * 1000) + HOUR_MS - MINUTE_MS
        store.apply({}, checkpoint._replace(at=ahead))
    expected = tail(world) + lacking(world)
    world.run(Counter, partitions=1)
    total(world, 100)
    assert Takeover(caplog).records_read == expected


def test_a_damaged_store_is_rebuilt_and_it_is_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    world.stop()
    for path in store_files(world):
        path.write_bytes(b"\xff" * path.stat().st_size)
    world.run(Counter, partitions=1)
    total(world, 100)
    assert sum("is rebuilt" in message for message in caplog.messages) == 1


def test_stale_snapshots_are_passed_over_and_the_journal_read_from_its_start(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Doubling(Counter):
        snapshot_version = 2

        @event
        def added(self, state, event: Added):  # type: ignore[no-untyped-def]
            return type(state)(state.total + 2 * event.amount, state.events + 1)

    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 60)
    assert world.snapshots(Counter)
    world.stop()
    snapshots = len(world.snapshots(Counter) + world.checkpoints(Counter))
    world.restart(Doubling)
    assert world.state(Doubling, "id-0").total == 40
    assert Takeover(caplog).records_read == 60 + snapshots
    assert any("another snapshot_version" in message for message in caplog.messages)


# -- journals that break the rules ---------------------------------------------------------------


def put_into_journal(world: World, key: bytes | None, value: bytes | None = None) -> None:
    event = world.journal(Counter)[-1].value if value is None else value
    world.produce(Counter, event, key=key, partition=0, topic=world.topics(Counter).journal)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"id-0@9", "seq 9 follows 2, expected 3"),
        (b"id-0@2", "seq 2 is repeated, expected 3"),
        (b"id-0", "foreign record"),
        (None, "foreign record"),
        (b"\x00@1", "foreign record"),
    ],
)
def test_a_broken_journal_stops_the_worker_before_it_serves(
    world: World, key: bytes | None, words: str
) -> None:
    world.run(Counter, partitions=1)
    add(world, 4, ids=2)
    world.stop()
    put_into_journal(world, key)
    before = progress(world)
    world.cast(Counter, "id-1", Add(1))
    world.run(Counter, partitions=1)
    failure = world.failure()
    assert isinstance(failure, JournalError)
    assert words in str(failure)
    assert progress(world) == before
    assert len(world.journal(Counter)) == 5


def test_a_snapshot_without_a_key_stops_the_worker(world: World) -> None:
    world.run(Counter, partitions=1)
    add(world, 1)
    world.stop()
    world.produce(Counter, b"x", key=None, partition=0, topic=world.topics(Counter).snapshots)
    world.run(Counter, partitions=1)
    assert "without a key" in str(world.failure())


# -- where to go on ------------------------------------------------------------------------------


@pytest.mark.parametrize("without_store", [False, True])
def test_when_the_offsets_are_gone_nothing_happens_again(world: World, without_store: bool) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 60)
    before = world.journal(Counter)
    world.stop()
    forget_progress(world)
    if without_store:
        world.forget_stores()
    world.run(Counter, partitions=1)
    assert world.client.call(Counter, "id-0", Add(1), timeout=20) == 21
    assert world.journal(Counter)[:-1] == before


def test_when_the_offsets_are_gone_the_store_tells_of_commands_that_left_no_event(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    for command in (AddAndRefuse(1), AddAndRefuse(1), Save()):
        world.cast(Counter, "id-0", command)
    world.until(lambda: caught_up(world), "all was processed")
    assert world.snapshots(Counter)
    world.stop()
    forget_progress(world)
    caplog.clear()
    world.run(Counter, partitions=1)
    total(world, 3)
    assert "next command 6" in Takeover(caplog).line


def test_a_journal_that_tells_no_source_and_no_offsets_are_refused_with_the_cure(
    world: World,
) -> None:
    world.run(Counter, partitions=1)
    add(world, 1)
    world.stop()
    forget_progress(world)
    world.forget_stores()
    slot = "(SELECT slot FROM topics WHERE name=?)"
    topic = world.topics(Counter).snapshots
    delete = f"DELETE FROM records WHERE id>>40={slot} AND key=?"
    assert execute(world, delete, topic, CHECKPOINT_KEY)
    event = world.journal(Counter)[0]
    _without_source(world, event)
    world.run(Counter, partitions=1)
    failure = world.failure()
    assert isinstance(failure, JournalError)
    assert world.topics(Counter).group in str(failure)
    assert "commit the offset" in str(failure)


def _without_source(world: World, event: Record) -> None:
    """Replaces the journal's only event by one that tells less."""
    slot = "(SELECT slot FROM topics WHERE name=?)"
    topic = world.topics(Counter).journal
    changed = execute(
        world, f"UPDATE records SET headers=x'' WHERE id>>40={slot} AND key=?", topic, event.key
    )
    assert changed == 1


def test_commands_that_expired_before_they_were_processed_are_refused_with_the_cure(
    world: World,
) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    world.stop()
    for _ in range(4):
        world.cast(Counter, "id-0", Add(1))
    expire_commands(world, 5)
    world.run(Counter, partitions=1)
    failure = world.failure()
    assert isinstance(failure, LogError)
    assert "commands 3 to 4" in str(failure)
    assert "--skip-lost" in str(failure)


def test_with_skip_lost_the_worker_goes_on_with_what_is_left(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    world.stop()
    for _ in range(4):
        world.cast(Counter, "id-0", Add(1))
    expire_commands(world, 5)
    world.run(Counter, partitions=1, skip_lost=True)
    world.until(lambda: caught_up(world), "the rest was processed")
    assert len(world.journal(Counter)) == 5
    assert any("commands 3 to 4" in message for message in caplog.messages)


def test_commands_that_expired_after_they_were_processed_are_missed_by_nobody(
    world: World,
) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    world.stop()
    expire_commands(world, 3)
    world.run(Counter, partitions=1)
    total(world, 3)


@pytest.mark.parametrize("which", ["commands", "journal", "snapshots"])
def test_a_topic_that_was_created_anew_stops_the_start(world: World, which: str) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    world.stop()
    topic = getattr(world.topics(Counter), which)
    recreate(world, topic, 1, "delete" if which == "commands" else "compact")
    with pytest.raises(TopicError, match=f"{topic} was deleted and created anew"):
        world.run(Counter, partitions=1)


# -- more entities than memory takes -------------------------------------------------------------


@pytest.mark.parametrize("chunk", [2_000, 7])
def test_a_recovery_of_more_entities_than_memory_takes_evicts_them_behind_snapshots(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    world.run(Counter, partitions=1)
    add(world, 60, ids=20)
    monkeypatch.setattr("kstate.runtime.recovery.CHUNK", chunk)
    restart(world, without_store=True, max_entities=5)
    assert Takeover(caplog).in_memory <= 5
    assert len({record.key for record in world.snapshots(Counter)}) >= 15
    total(world, 60, ids=20)
    restart(world, max_entities=5)
    total(world, 60, ids=20)


def test_a_recovery_whose_snapshots_are_aborted_begins_again(world: World) -> None:
    world.run(Counter, partitions=1)
    add(world, 60, ids=20)
    world.faults.abort(2)
    restart(world, without_store=True, max_entities=5)
    assert world.faults.fired == ["abort", "abort"]
    total(world, 60, ids=20)


def test_a_recovery_whose_snapshots_have_an_unknown_outcome_begins_again(world: World) -> None:
    world.run(Counter, partitions=1)
    add(world, 60, ids=20)
    world.faults.lose_answer()
    world.faults.lose_commit()
    restart(world, without_store=True, max_entities=5)
    assert world.faults.fired == ["answer lost", "commit lost"]
    total(world, 60, ids=20)
