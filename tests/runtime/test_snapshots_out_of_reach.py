"""A snapshot that is passed over, and events that are gone: the worker refuses, never guesses."""

from __future__ import annotations

import pytest
from purses import NEW, OLD, RAISED, Add, AnyProcessor, Drop, Save, garble, in_debt, lose_events
from world import World

from kstate.errors import JournalError


def refusal(world: World, processor: AnyProcessor = NEW) -> str:
    """What the worker of this code stops with when a command comes."""
    before = world.journal(OLD)
    world.cast(processor, "a", Add(1))
    world.run(processor, partitions=1)
    failure = world.failure()
    assert isinstance(failure, JournalError)
    assert world.journal(OLD) == before
    return str(failure)


@pytest.mark.parametrize("without_store", [False, True])
def test_an_entity_without_its_first_event_is_refused_with_the_cure(
    world: World, without_store: bool
) -> None:
    in_debt(world, "a", "b")
    lose_events(world, b"a@1")
    if without_store:
        world.forget_stores()
    words = refusal(world)
    assert "'a' cannot be rebuilt" in words
    assert "a purse holds at least 0" in words
    assert "the journal goes back to seq 2 only" in words
    assert "run code that can read the snapshot, or give the entity up with a tombstone" in words


def test_an_entity_without_any_event_is_refused_with_the_cure(world: World) -> None:
    in_debt(world, "a", "b")
    lose_events(world, b"a@1", b"a@2")
    assert "the journal has none of its events any more" in refusal(world)


def test_the_code_that_can_read_it_goes_on_after_a_refusal(world: World) -> None:
    in_debt(world, "a")
    lose_events(world, b"a@1")
    refusal(world)
    world.run(OLD, partitions=1)
    assert world.call(OLD, "a", Add(1)) == -198


def test_a_tombstone_gives_the_entity_up(world: World) -> None:
    in_debt(world, "a", "b")
    lose_events(world, b"a@1", b"a@2")
    refusal(world)
    world.produce(OLD, None, key=b"a", partition=0, topic=world.topics(OLD).snapshots)
    world.run(NEW, partitions=1)
    assert world.state(NEW, "b").total == 1_000
    world.settled(NEW)
    assert [seq for seq, _ in world.events(NEW, "a")] == [1]


def test_an_older_snapshot_that_can_be_read_is_a_base(world: World) -> None:
    world.run(OLD, partitions=1)
    for command_ in (Add(1), Save(), Add(2)):
        world.call(OLD, "a", command_)
    world.stop()
    garble(world)
    lose_events(world, b"a@1")
    world.forget_stores()
    world.run(OLD, partitions=1)
    assert world.call(OLD, "a", Add(4)) == 1_007


def test_an_older_snapshot_whose_events_after_it_are_gone_is_none(world: World) -> None:
    world.run(OLD, partitions=1)
    for command_ in (Add(1), Save(), Add(2)):
        world.call(OLD, "a", command_)
    world.stop()
    garble(world)
    lose_events(world, b"a@1", b"a@2")
    world.forget_stores()
    assert "none of its events" in refusal(world, OLD)


# -- snapshot_version, which passes snapshots over as well ---------------------------------------


def test_another_snapshot_version_needs_the_events_too(world: World) -> None:
    in_debt(world, "a")
    lose_events(world, b"a@1", b"a@2")
    assert "'a' cannot be rebuilt: its snapshot is of another snapshot_version" in refusal(
        world, RAISED
    )


def test_a_deleted_entity_needs_no_events(world: World) -> None:
    world.run(OLD, partitions=1)
    world.call(OLD, "a", Add(1))
    world.call(OLD, "a", Drop())
    world.stop()
    lose_events(world, b"a@1", b"a@2")
    world.run(RAISED, partitions=1)
    assert world.call(RAISED, "a", Add(5)) == 1_005
    assert [seq for seq, _ in world.events(RAISED, "a")] == [3]


def test_a_rebuild_for_it_that_ended_in_the_middle_begins_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(OLD, partitions=1)
    for command_ in (Add(1), Add(2), Add(3), Save()):
        for persist_id in "ab":
            world.call(OLD, persist_id, command_)
    world.stop()
    monkeypatch.setattr("kstate.runtime.recovery.CHUNK", 1)
    # each of both entities is snapshotted half rebuilt, and the worker ends
    world.faults.lose_answer()
    world.faults.kill_after_commit()
    world.run(RAISED, partitions=1, max_entities=1)
    world.killed()
    world.run(RAISED, partitions=1)
    assert [world.state(RAISED, persist_id).total for persist_id in "ab"] == [1_006] * 2
