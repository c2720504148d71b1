"""client.erase(): the state at once, the past by tombstones; the seqs go on."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from counter import Add, Added, Count, Counter, Look, Reset, Save
from keeping import Keeper, clean, left, tombstones
from world import PATIENCE_S, World, header

import kstate.aio
from kstate import AlreadyDone, Command, Context, command, event
from kstate.core.messages import Erase
from kstate.query.index import Index
from kstate.wiring import open_log

without_store = pytest.mark.parametrize("without_store", [False, True])


def erase(world: World, persist_id: str = "a", command_id: str | None = None) -> int:
    return world.client.erase(Counter, persist_id, timeout=PATIENCE_S, command_id=command_id)


def test_the_state_begins_anew_and_the_seqs_go_on(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    assert erase(world) == 3
    assert world.state(Counter, "a") == Count()
    assert world.call(Counter, "a", Add(2)) == 2
    assert world.journal(Counter)[-1].key == b"a@4"


def test_each_event_gets_a_tombstone(world: World) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "b", Add(1))
    world.call(Counter, "a", Add(5, times=3))
    erase(world)
    assert tombstones(world.journal(Counter)) == [b"a@1", b"a@2", b"a@3"]
    assert left(world.journal(Counter)) == [b"b@1"]


def test_the_snapshot_shrinks_to_the_seq_and_what_is_gone(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    world.call(Counter, "a", Save())
    erase(world)
    found = world.snapshot(Counter, "a")
    assert (found.seq, found.state, found.deleted) == (3, None, True)
    assert (found.removed, found.erased) == (3, 3)
    assert [seq for seq, _, _ in found.recent.values()] == [3]  # that of the erasure itself


def test_what_never_was_needs_no_erasure(world: World) -> None:
    world.run(Counter)
    assert erase(world) == 0
    assert world.journal(Counter) == world.snapshots(Counter) == []


def test_the_events_of_one_batch_are_erased_with_it(world: World) -> None:
    world.run(Counter)
    world.stop()
    world.cast(Counter, "a", Add(1, times=2))
    world.cast(Counter, "a", Erase())
    world.cast(Counter, "a", Add(7))
    world.run(Counter)
    assert world.state(Counter, "a") == Count(7, 1)
    assert left(world.journal(Counter)) == [b"a@3"]


@without_store
def test_a_takeover_knows_that_it_is_erased(world: World, without_store: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    erase(world)
    world.restart(without_store=without_store)
    assert world.state(Counter, "a") == Count()
    assert world.call(Counter, "a", Add(1)) == 1
    assert world.journal(Counter)[-1].key == b"a@4"


@without_store
def test_so_does_one_when_the_cleaner_has_passed(world: World, without_store: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    erase(world)
    world.call(Counter, "a", Add(1))
    clean(world, Counter)
    assert b"a@1" not in [r.key for r in world.journal(Counter) if r.value is not None]
    world.restart(without_store=without_store)
    assert world.state(Counter, "a") == Count(1, 1)


def test_the_window_of_command_ids_goes_too(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5), command_id="once")
    erase(world)
    assert world.call(Counter, "a", Add(5), command_id="once") == 5
    assert world.state(Counter, "a") == Count(5, 1)


def test_a_repeated_erasure_does_not_erase_what_came_since(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    erase(world, command_id="once")
    world.call(Counter, "a", Add(2))
    assert erase(world, command_id="once") == 3
    assert world.state(Counter, "a") == Count(2, 1)


def test_a_second_erasure_takes_the_new_life_alone(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=3))
    erase(world)
    world.call(Counter, "a", Add(2))
    assert erase(world) == 4
    assert tombstones(world.journal(Counter)) == [b"a@%d" % seq for seq in (1, 2, 3, 4)]


def test_a_deleted_entity_can_be_erased(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    world.call(Counter, "a", Reset())
    assert erase(world) == 2
    assert left(world.journal(Counter)) == []


def test_what_retention_removed_gets_no_second_tombstone(world: World) -> None:
    world.run(Keeper)
    world.call(Keeper, "a", Add(1, times=5))
    world.client.erase(Keeper, "a", timeout=PATIENCE_S)
    assert tombstones(world.journal(Keeper)) == [b"a@%d" % seq for seq in range(1, 6)]


def test_retention_goes_on_in_the_new_life(world: World) -> None:
    world.run(Keeper)
    world.call(Keeper, "a", Add(1, times=4))
    world.client.erase(Keeper, "a", timeout=PATIENCE_S)
    world.call(Keeper, "a", Add(1, times=5))
    assert left(world.journal(Keeper)) == [b"a@8", b"a@9"]
    assert world.snapshot(Keeper, "a").erased == 4
    world.restart(without_store=True)
    assert world.state(Keeper, "a") == Count(5, 5)


def test_the_name_of_the_processor_is_enough(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    assert world.client.erase("counter", "a", timeout=PATIENCE_S) == 1
    assert world.state(Counter, "a") == Count()


@pytest.mark.parametrize("fields", ['{"upto": -1}', '{"upto": 5, "asked": "%s"}' % ("x" * 300)])
def test_an_erasure_that_could_not_be_answered_is_refused(world: World, fields: str) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    headers = [("content-type", b"application/json"), ("type", b"Erase")]
    reply = world.ask(Counter, fields.encode(), headers=headers)
    assert (header(reply, "status"), header(reply, "code")) == ("error", "invalid-value")
    assert world.state(Counter, "a") == Count(5, 1)


def test_it_may_be_awaited(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))

    async def erased() -> int:
        async with kstate.aio.connect(world.url, prefix=world.prefix) as k:
            return await k.erase(Counter, "a", timeout=PATIENCE_S)

    assert asyncio.run(erased()) == 1


@dataclass(frozen=True, slots=True)
class MyErase(Command[str]):
    """A command of the user's own."""


MyErase.__name__ = MyErase.__qualname__ = "Erase"


class Namesake(Counter):
    name = "namesake"

    @command
    def wipe(self, ctx: Context[Count], cmd: MyErase) -> str:
        return "wiped the board"


def test_a_command_of_the_same_name_stays_the_users(world: World) -> None:
    world.run(Namesake)
    world.call(Namesake, "a", Add(5))
    assert world.call(Namesake, "a", MyErase()) == "wiped the board"
    assert world.state(Namesake, "a") == Count(5, 1)
    assert world.client.erase(Namesake, "a", timeout=PATIENCE_S) == 1


# -- more than one batch may do ------------------------------------------------------------------


def erased_in_steps(world: World) -> None:
    """Ten events, of which a batch may remove three."""
    world.run(Counter, partitions=1, max_tombstones=3)
    world.call(Counter, "a", Add(1, times=10))


def test_many_events_take_several_transactions(world: World) -> None:
    erased_in_steps(world)
    assert erase(world) == 10
    assert tombstones(world.journal(Counter)) == [b"a@%d" % seq for seq in range(1, 11)]
    codec = world.client.messages(Counter)
    kept = [codec.decode_snapshot(r.value) for r in world.snapshots(Counter)]  # type: ignore[attr-defined]
    assert [(each.removed, each.erased, each.seq) for each in kept] == [
        (3, 10, 10),
        (6, 10, 10),
        (9, 10, 10),
        (10, 10, 10),
    ]


def test_the_reply_comes_when_the_last_tombstone_is_committed(world: World) -> None:
    erased_in_steps(world)
    command_id = world.client.begin(Counter, "a", Erase()).command_id
    reply = world.reply_to(Counter, command_id.encode())
    assert len(tombstones(world.journal(Counter))) == 10
    assert header(reply, "seq") == "10"


def test_what_comes_in_between_stays(world: World) -> None:
    erased_in_steps(world)
    world.stop()
    world.cast(Counter, "a", Erase())
    for _ in range(5):
        world.cast(Counter, "a", Add(100))
    world.run(Counter, partitions=1, max_tombstones=3, batch_records=1)
    world.settled(Counter)
    assert world.state(Counter, "a") == Count(500, 5)
    assert left(world.journal(Counter)) == [b"a@%d" % seq for seq in range(11, 16)]
    world.restart(without_store=True)
    assert world.state(Counter, "a") == Count(500, 5)


@pytest.mark.parametrize("fault", ["kill_before_commit", "kill_after_commit"])
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_crash_in_the_middle_is_gone_on_from(world: World, fault: str, steps: int) -> None:
    erased_in_steps(world)
    world.stop()
    command_id = world.cast(Counter, "a", Erase())
    for _ in range(steps):
        world.faults._next.append("")  # these commits succeed
    getattr(world.faults, fault)()
    world.run(Counter, partitions=1, max_tombstones=3)
    world.killed()
    gone = len(tombstones(world.journal(Counter)))
    assert gone == min(10, 3 * (steps + (fault == "kill_after_commit")))
    state = world.snapshot(Counter, "a")
    assert (0 if state is None else state.removed) == gone
    world.run(Counter, partitions=1, max_tombstones=3)
    world.settled(Counter)
    world.until(lambda: len(tombstones(world.journal(Counter))) == 10, "all events were removed")
    assert world.state(Counter, "a") == Count()
    assert erase(world, command_id=command_id) == 10
    assert len(tombstones(world.journal(Counter))) == 10


def test_an_id_that_is_repeated_in_the_middle_waits_for_the_end(world: World) -> None:
    erased_in_steps(world)
    world.stop()
    world.cast(Counter, "a", Erase(), command_id="once")
    world.faults._next.append("")
    world.faults.kill_after_commit()
    world.run(Counter, partitions=1, max_tombstones=3)
    world.killed()
    world.run(Counter, partitions=1, max_tombstones=3)
    with pytest.raises(AlreadyDone):
        world.call(Counter, "a", Erase(), command_id="once")
    assert erase(world, command_id="once") == 10
    assert len(tombstones(world.journal(Counter))) == 10


# -- what cannot be read or written --------------------------------------------------------------


class Raised(Counter):
    name = "counter"
    snapshot_version = 2

    @event
    def added(self, state: Count, event: Added) -> Count:
        return replace(state, total=state.total + 2 * event.amount, events=state.events + 1)


@without_store
def test_new_folds_begin_after_what_was_erased(world: World, without_store: bool) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "a", Add(5, times=3))
    erase(world)
    world.call(Counter, "a", Add(1))
    world.call(Counter, "a", Save())
    clean(world, Counter)
    world.restart(Raised, without_store=without_store)
    assert world.state(Raised, "a") == Count(2, 1)
    assert world.call(Raised, "a", Add(1)) == 4


@without_store
def test_they_do_before_the_cleaner_has_passed_too(world: World, without_store: bool) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "a", Add(5, times=3))
    world.call(Counter, "a", Save())
    erase(world)
    world.call(Counter, "a", Add(1))
    world.call(Counter, "a", Save())
    world.restart(Raised, without_store=without_store)
    assert world.state(Raised, "a") == Count(2, 1)


@dataclass(frozen=True)
class Grow(Command[None]):
    """Makes a total that no snapshot can hold."""


class Giant(Counter):
    name = "giant"
    snapshot_every = 1

    @command
    def grow(self, ctx: Context[Count], cmd: Grow) -> None:
        for _ in range(3):
            ctx.persist(Added(2**62))


def test_an_entity_that_cannot_be_snapshotted_can_be_erased(world: World) -> None:
    world.run(Giant, partitions=1)
    world.call(Giant, "a", Grow())
    assert world.snapshots(Giant) == []
    assert world.client.erase(Giant, "a", timeout=PATIENCE_S) == 3
    assert world.call(Giant, "a", Look()) == 0
    world.restart(without_store=True)
    assert world.call(Giant, "a", Add(1)) == 1


def test_a_giant_that_grows_again_in_the_middle_is_no_hindrance(world: World) -> None:
    world.run(Giant, partitions=1)
    world.call(Giant, "a", Add(1, times=10))
    world.stop()
    world.cast(Giant, "a", Erase())
    world.cast(Giant, "a", Grow())
    world.run(Giant, partitions=1, max_tombstones=3, batch_records=1)
    world.settled(Giant)
    world.until(lambda: len(left(world.journal(Giant))) == 3, "the past is gone")
    world.call(Giant, "a", Reset())
    world.restart(without_store=True, max_tombstones=3)
    assert world.state(Giant, "a") == Count()


@without_store
def test_new_folds_know_the_id_that_erased(world: World, without_store: bool) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "a", Add(5))
    erase(world, command_id="once")
    world.call(Counter, "a", Add(1))
    world.call(Counter, "a", Save())
    world.restart(Raised, without_store=without_store)
    assert world.client.erase(Raised, "a", timeout=PATIENCE_S, command_id="once") == 1
    assert world.state(Raised, "a") == Count(2, 1)


@pytest.mark.parametrize("cleaned", [False, True])
def test_a_local_index_has_nothing_of_the_entity_once_it_has_caught_up(
    world: World, tmp_path: Path, cleaned: bool
) -> None:
    world.run(Counter, partitions=1)
    world.call(Counter, "anna-of-berlin", Add(5, times=3))
    world.call(Counter, "b", Add(1))
    directory, topic = tmp_path / "index", world.topics(Counter).journal

    def content() -> bytes:
        return b"".join(path.read_bytes() for path in directory.iterdir())

    with closing(open_log(world.url)) as log, closing(Index(directory, log, topic)) as index:
        index.catch_up()
        assert index.held()[0].events == 4
        assert b"anna" in content()
        erase(world, "anna-of-berlin")
        if cleaned:
            clean(world, Counter)
        index.catch_up()
        assert index.held()[0].events == 1
        assert b"anna" not in content()
