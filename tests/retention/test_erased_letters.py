"""An erasure takes the entity's dead letters, too, and nobody else's."""

from __future__ import annotations

import pytest
from counter import Add, AddAndFail, Count, Counter
from world import PATIENCE_S, World, header

from kstate import CommandFailed
from kstate.core.letters import failed_key, living
from kstate.core.messages import Erase
from kstate.core.partition import partition_for


def fail(world: World, *persist_ids: str) -> None:
    for persist_id in persist_ids:
        with pytest.raises(CommandFailed):
            world.call(Counter, persist_id, AddAndFail(1))


def erase(world: World, persist_id: str = "a") -> int:
    return world.client.erase(Counter, persist_id, timeout=PATIENCE_S)


def whose(world: World) -> list[bytes]:
    """The persist ids of the dead letters that have no tombstone."""
    left = living(world.dead_letters(Counter))
    return sorted(failed_key(each.key, each.headers) or b"" for each in left)


def test_its_dead_letters_go_and_those_of_others_stay(world: World) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "a", Add(5))
    fail(world, "a", "b", "a")
    assert erase(world) == 1
    assert whose(world) == [b"b"]
    world.clean(world.topics(Counter).dead_letters)
    (letter,) = [each for each in world.dead_letters(Counter) if each.value is not None]
    assert header(letter, "persist-id") == "b"


def test_they_go_when_there_are_no_events(world: World) -> None:
    world.run(Counter)
    fail(world, "a")
    assert erase(world) == 0
    assert whose(world) == []


def test_what_fails_after_it_stays(world: World) -> None:
    world.run(Counter)
    fail(world, "a")
    erase(world)
    fail(world, "a")
    assert whose(world) == [b"a"]


def test_a_second_erasure_writes_no_tombstone_twice(world: World) -> None:
    world.run(Counter, partitions=1)
    fail(world, "a", "a")
    for _ in range(2):
        erase(world)
    assert len([each for each in world.dead_letters(Counter) if each.value is None]) == 2


def test_of_one_batch_what_failed_before_it_goes(world: World) -> None:
    world.run(Counter, partitions=1)
    world.stop()
    for command in (AddAndFail(1), Erase(), AddAndFail(2)):
        world.cast(Counter, "a", command)
    world.run(Counter, partitions=1)
    world.settled(Counter)
    (letter,) = living(world.dead_letters(Counter))
    assert header(letter, "source") == "0:2"


def test_one_that_was_written_ahead_of_its_commit_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.worker.AHEAD", 1)
    test_of_one_batch_what_failed_before_it_goes(world)


def test_letters_of_commands_without_a_persist_id_stay(world: World) -> None:
    world.run(Counter, partitions=1)
    for key in (None, b"", b"\xff"):
        world.produce(Counter, b"x", key=key)
    world.settled(Counter)
    erase(world)
    world.clean(world.topics(Counter).dead_letters)
    assert whose(world) == [b"", b"", b"\xff"]


def test_one_that_was_refused_on_another_partition_goes(world: World) -> None:
    world.run(Counter, partitions=2)
    other = 1 - partition_for(b"a", 2)
    world.produce(Counter, b"x", headers=[("command-id", b"x" * 300)], partition=other)
    world.settled(Counter)
    assert whose(world) == [b"a"]
    erase(world)
    assert whose(world) == []


@pytest.mark.parametrize("fault", ["kill_before_commit", "kill_after_commit", "abort"])
def test_they_go_with_the_commit_of_the_erasure(world: World, fault: str) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "a", Add(5))
    fail(world, "a")
    world.stop()
    command_id = world.cast(Counter, "a", Erase())
    getattr(world.faults, fault)()
    world.run(Counter, partitions=1)
    if fault != "abort":
        world.killed()
        assert whose(world) == ([] if fault == "kill_after_commit" else [b"a"])
        world.run(Counter, partitions=1)
    assert world.client.erase(Counter, "a", timeout=PATIENCE_S, command_id=command_id) == 1
    assert whose(world) == []
    assert world.state(Counter, "a") == Count()
