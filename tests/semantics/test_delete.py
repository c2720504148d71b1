"""ctx.delete(): the last event; the state starts anew, the snapshot shrinks, seqs go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from counter import Add, Added, Count, Counter, Reset, Save
from world import World, header

from kstate import Command, CommandFailed, Context, EventAdapter, command, tagged


@dataclass(frozen=True)
class AddAndDelete(Command[tuple[int, ...]]):
    """Persists, deletes, and may go on persisting; the reply is seq and total behind it."""

    more: bool = False


class Mortal(Counter):
    name = "mortal"

    @command
    def add_and_delete(self, ctx: Context[Count], cmd: AddAndDelete) -> tuple[int, ...]:
        ctx.persist(Added(7))
        ctx.delete()
        if cmd.more:
            ctx.persist(Added(1))
        return ctx.seq, ctx.state.total


def test_the_state_starts_anew_and_the_seqs_go_on(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=2))
    world.call(Counter, "a", Reset())
    assert world.state(Counter, "a") == Count()
    assert world.call(Counter, "a", Add(3)) == 3
    assert [header(r, "type") for r in world.journal(Counter)] == [
        "Added",
        "Added",
        "kstate.Deleted",
        "Added",
    ]
    assert [r.key for r in world.journal(Counter)] == [b"a@1", b"a@2", b"a@3", b"a@4"]


def test_the_snapshot_shrinks_to_seq_and_deleted(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Save())
    world.call(Counter, "a", Reset())
    snapshot = world.snapshot(Counter, "a")
    assert (snapshot.seq, snapshot.deleted, snapshot.state) == (2, True, None)


def test_the_command_itself_sees_the_state_anew(world: World) -> None:
    world.run(Mortal)
    assert world.call(Mortal, "a", AddAndDelete()) == (2, 0)


def test_nothing_can_be_persisted_behind_it_in_the_same_command(world: World) -> None:
    world.run(Mortal)
    with pytest.raises(CommandFailed, match=r"nothing can be persisted after delete\(\)"):
        world.call(Mortal, "a", AddAndDelete(more=True))
    assert world.journal(Mortal) == []


@pytest.mark.parametrize("without_store", [False, True])
def test_a_deleted_entity_stays_deleted_after_a_restart(world: World, without_store: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Reset())
    world.restart(without_store=without_store)
    assert world.state(Counter, "a") == Count()
    assert world.call(Counter, "a", Add(1)) == 1
    assert world.journal(Counter)[-1].key == b"a@3"


@pytest.mark.parametrize("without_store", [False, True])
def test_an_entity_that_was_born_again_is_recovered(world: World, without_store: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Reset())
    world.call(Counter, "a", Add(2))
    world.restart(without_store=without_store)
    assert world.state(Counter, "a") == Count(2, 1)


def test_a_deleted_id_is_no_id_any_more_until_it_is_born_again(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "b", Add(5))
    world.call(Counter, "a", Reset())
    assert world.client.ids(Counter) == ["b"]
    world.call(Counter, "a", Add(1))
    assert world.client.ids(Counter) == ["a", "b"]


def test_a_repeated_deletion_does_not_delete_what_was_born_since(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Reset(), command_id="once")
    world.call(Counter, "a", Add(2))
    world.call(Counter, "a", Reset(), command_id="once")
    assert world.state(Counter, "a") == Count(2, 1)


def test_adapters_are_not_asked_about_it(world: World) -> None:
    """They know the user's events, as an adapter that looks at a field of theirs shows."""

    class Tagger(EventAdapter):
        def to_journal(self, event: Any) -> Any:
            return tagged(event, "large") if event.amount > 5 else event

    class Adapted(Counter):
        name = "adapted"
        adapters = (Tagger(),)

    world.run(Adapted)
    world.call(Adapted, "a", Add(6))
    world.call(Adapted, "a", Reset())
    assert [e.seq for e in world.client.events.by_tag(Adapted, "large")] == [1]
    assert len(world.journal(Adapted)) == 2


def test_deleting_what_never_was_is_an_event_like_any_other(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Reset())
    world.call(Counter, "a", Reset())
    assert [r.key for r in world.journal(Counter)] == [b"a@1", b"a@2"]
    assert world.client.ids(Counter) == []


def test_a_snapshot_asked_for_right_after_the_deletion_is_one_of_the_deletion(
    world: World,
) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Reset())
    world.call(Counter, "a", Save())
    assert world.snapshot(Counter, "a").deleted
    world.restart(without_store=True)
    assert world.state(Counter, "a") == Count()


@pytest.mark.parametrize("without_store", [False, True])
def test_a_snapshot_of_a_deleted_entity_is_one_of_its_deletion_after_a_restart_too(
    world: World, without_store: bool
) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Reset())
    world.restart(without_store=without_store)
    world.call(Counter, "a", Save())
    assert len(world.snapshots(Counter)) == 2
    assert world.snapshot(Counter, "a").deleted
