"""keep = after_snapshot(n): older events go once a snapshot covers them, and nothing is missed."""

from __future__ import annotations

from itertools import groupby

import pytest
from counter import Add, Count, Counter, Look, Save
from keeping import Hoarder, Keeper, clean, left, tombstones
from world import World

from kstate import DefinitionError, after_snapshot
from kstate.errors import JournalError

without_store = pytest.mark.parametrize("without_store", [False, True])


def grow(world: World, times: int, persist_id: str = "a") -> None:
    for _ in range(times):
        world.call(Keeper, persist_id, Add(1))


def test_events_go_with_the_snapshot_that_covers_them(world: World) -> None:
    world.run(Keeper)
    grow(world, 4)
    assert tombstones(world.journal(Keeper)) == []
    grow(world, 1)
    assert tombstones(world.journal(Keeper)) == [b"a@1", b"a@2", b"a@3"]
    assert world.snapshot(Keeper, "a").seq == 5


def test_the_snapshot_tells_which_events_are_gone(world: World) -> None:
    world.run(Keeper)
    grow(world, 5)
    assert (world.snapshot(Keeper, "a").removed, world.snapshot(Keeper, "a").erased) == (3, 0)


def test_no_event_gets_a_second_tombstone(world: World) -> None:
    world.run(Keeper)
    grow(world, 10)
    world.restart(without_store=True)
    grow(world, 5)
    assert tombstones(world.journal(Keeper)) == [b"a@%d" % seq for seq in range(1, 14)]


def test_all_events_stay_by_default(world: World) -> None:
    world.run(Counter)
    for _ in range(3):
        world.call(Counter, "a", Add(1))
        world.call(Counter, "a", Save())
    assert left(world.journal(Counter)) == [b"a@1", b"a@2", b"a@3"]


def test_an_entity_that_has_fewer_events_keeps_them(world: World) -> None:
    world.run(Keeper)
    grow(world, 2)
    world.call(Keeper, "a", Save())
    assert left(world.journal(Keeper)) == [b"a@1", b"a@2"]


def test_a_snapshot_within_a_command_takes_its_events_along(world: World) -> None:
    world.run(Keeper)
    world.call(Keeper, "a", Add(1, times=4))
    world.call(Keeper, "a", Save())
    assert left(world.journal(Keeper)) == [b"a@3", b"a@4"]


def test_other_entities_keep_their_events(world: World) -> None:
    world.run(Keeper, partitions=1)
    grow(world, 3, "b")
    grow(world, 5, "a")
    assert left(world.journal(Keeper)) == [b"b@1", b"b@2", b"b@3", b"a@4", b"a@5"]


@without_store
def test_a_recovery_misses_nothing(world: World, without_store: bool) -> None:
    world.run(Keeper)
    grow(world, 8)
    clean(world, Keeper)
    world.restart(without_store=without_store)
    assert world.state(Keeper, "a") == Count(8, 8)
    assert world.call(Keeper, "a", Add(1)) == 9
    assert left(world.journal(Keeper)) == [b"a@%d" % seq for seq in range(4, 10)]


@without_store
def test_neither_does_one_before_the_cleaner_has_passed(world: World, without_store: bool) -> None:
    world.run(Keeper)
    grow(world, 8)
    world.restart(without_store=without_store)
    assert world.state(Keeper, "a") == Count(8, 8)


def test_an_aborted_batch_removes_nothing(world: World) -> None:
    world.run(Keeper)
    grow(world, 4)
    world.faults.abort()
    grow(world, 1)
    assert tombstones(world.journal(Keeper)) == [b"a@1", b"a@2", b"a@3"]
    assert [record.key for record in world.snapshots(Keeper)] == [b"a"]


def test_a_worker_that_is_killed_leaves_both_or_neither(world: World) -> None:
    for fault in (world.faults.kill_before_commit, world.faults.kill_after_commit):
        world.run(Keeper)
        grow(world, 4 - world.state(Keeper, "a").events % 5)
        fault()
        world.cast(Keeper, "a", Add(1))
        world.killed()
        snapshot = world.snapshot(Keeper, "a")
        gone = tombstones(world.journal(Keeper))
        assert len(gone) == (0 if snapshot is None else snapshot.removed)
        world.run(Keeper)
        world.settled(Keeper)
        world.stop()


def test_entities_that_leave_memory_let_events_go(world: World) -> None:
    world.run(Keeper, partitions=1, max_entities=1)
    for number in range(3):
        world.call(Keeper, f"id-{number}", Add(1, times=4))
    world.settled(Keeper)
    assert tombstones(world.journal(Keeper))[:2] == [b"id-0@1", b"id-0@2"]


# -- switched on for a long journal --------------------------------------------------------------


def test_a_batch_removes_no_more_than_it_may(world: World) -> None:
    world.run(Hoarder, partitions=1)
    world.call(Hoarder, "a", Add(1, times=50))
    world.restart(Keeper, max_tombstones=7)
    for _ in range(12):
        world.call(Keeper, "b", Look())
        world.call(Keeper, "a", Look())
    runs = groupby(world.journal(Keeper), lambda record: record.value is None)
    assert left(world.journal(Keeper)) == [b"a@49", b"a@50"]
    assert sum(1 for removed, _ in runs if removed) == 1
    steps = [each.removed for each in decoded_snapshots(world, b"a")]
    assert steps == [0, 7, 14, 21, 28, 35, 42, 48]


def decoded_snapshots(world: World, key: bytes) -> list[object]:
    codec = world.client.messages(Keeper)
    found = [r.value for r in world.snapshots(Keeper) if r.key == key]
    return [codec.decode_snapshot(value) for value in found]  # type: ignore[attr-defined]


def test_what_is_left_to_remove_survives_a_restart(world: World) -> None:
    world.run(Hoarder, partitions=1)
    world.call(Hoarder, "a", Add(1, times=20))
    for _ in range(9):
        world.restart(Keeper, max_tombstones=5, without_store=True)
        world.call(Keeper, "a", Look())
    assert tombstones(world.journal(Keeper)) == [b"a@%d" % seq for seq in range(1, 19)]


# -- no way back ---------------------------------------------------------------------------------


class Changed(Keeper):
    name = "keeper"
    snapshot_version = 2


def test_folds_that_changed_stop_the_worker_with_the_reason(world: World) -> None:
    world.run(Keeper, partitions=1)
    grow(world, 5)
    clean(world, Keeper)
    world.stop()
    world.run(Changed, partitions=1)
    failure = world.failure()
    assert isinstance(failure, JournalError)
    assert "its snapshot is of another snapshot_version" in str(failure)
    assert "the journal goes back to seq 4 only" in str(failure)


class ChangedHoarder(Hoarder):
    name = "keeper"
    snapshot_version = 2


def test_a_state_rebuilt_from_events_that_are_to_go_does_not_forget_that_they_go(
    world: World,
) -> None:
    world.run(Keeper, partitions=1)
    grow(world, 5)
    assert tombstones(world.journal(Keeper)) == [b"a@1", b"a@2", b"a@3"]
    world.stop()
    world.run(ChangedHoarder, partitions=1)  # reads all five: the cleaner has not passed yet
    world.call(ChangedHoarder, "a", Save())
    snapshot = world.snapshot(ChangedHoarder, "a")
    assert (snapshot.seq, snapshot.version, snapshot.removed) == (5, 2, 3)


# -- the definition ------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [0, -1, True, "2", None])
def test_at_least_one_event_is_kept(given: object) -> None:
    with pytest.raises(DefinitionError, match=r"keep is after_snapshot.*from 1 on"):

        class Wrong(Counter):
            name = "wrong"
            keep = after_snapshot(given)  # type: ignore[arg-type]


def test_another_word_than_all_is_told_the_choice() -> None:
    with pytest.raises(DefinitionError, match=r"keep is 'none': write .all. or after_snapshot"):

        class Wrong(Counter):
            name = "wrong"
            keep = "none"  # type: ignore[assignment]
