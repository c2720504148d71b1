"""duplicates: a command id that persisted an event is not run again; its reply is sent again."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from counter import Add, Added, Count, Counter, Look, Reset, Save
from world import World, header

from kstate import AlreadyDone, Command, Conflict, Context, Rejected, command


@dataclass(frozen=True)
class Blow(Command[str]):
    """Persists, and replies as many letters as asked for."""

    size: int


class Wide(Counter):
    name = "wide"

    @command
    def blow(self, ctx: Context[Count], cmd: Blow) -> str:
        ctx.persist(Added(cmd.size))
        return "x" * cmd.size


class Alive(Counter):
    """Counts the runs of its handlers."""

    name = "alive"
    runs = 0

    @command
    def look(self, ctx: Context[Count], cmd: Look) -> int:
        Alive.runs += 1
        return Alive.runs

    @command
    def reset(self, ctx: Context[Count], cmd: Reset) -> None:
        Alive.runs += 1
        raise Rejected("not now")


def add_once_again(world: World) -> None:
    """The same command id, after another command has changed the state."""
    assert world.call(Counter, "a", Add(5), command_id="once") == 5
    events = len(world.journal(Counter))
    assert world.counts(Counter).duplicates >= 1
    assert events == 2


def test_the_original_reply_is_sent_again(world: World) -> None:
    world.run(Counter)
    assert world.call(Counter, "a", Add(5), command_id="once") == 5
    assert world.call(Counter, "a", Add(2)) == 7
    add_once_again(world)


@pytest.mark.parametrize("without_store", [False, True])
def test_also_after_a_restart(world: World, without_store: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5), command_id="once")
    world.call(Counter, "a", Add(2))
    world.restart(without_store=without_store)
    add_once_again(world)


@pytest.mark.parametrize("without_store", [False, True])
def test_also_when_a_snapshot_covers_it(world: World, without_store: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5), command_id="once")
    world.call(Counter, "a", Add(2))
    world.call(Counter, "a", Save())
    world.restart(without_store=without_store)
    add_once_again(world)


def test_also_after_eviction(world: World) -> None:
    world.run(Counter, partitions=1, max_entities=1)
    world.call(Counter, "a", Add(5), command_id="once")
    world.call(Counter, "a", Add(2))
    for persist_id in ("b", "c"):
        world.state(Counter, persist_id)
    assert world.snapshot(Counter, "a") is not None
    add_once_again(world)


def test_also_when_the_worker_died_right_after_the_commit(world: World) -> None:
    world.run(Counter)
    world.faults.kill_after_commit()
    world.cast(Counter, "a", Look())
    call = world.client.begin(Counter, "a", Add(5), "once")
    world.killed()
    world.restart(without_store=True)
    assert call.result_of(call.future.result(20)) == 5
    assert world.call(Counter, "a", Add(5), command_id="once") == 5
    assert len(world.journal(Counter)) == 1


def test_also_within_one_batch(world: World) -> None:
    world.run(Counter)
    world.stop()
    for _ in range(3):
        world.cast(Counter, "a", Add(5), command_id="once")
    world.restart()
    assert world.call(Counter, "a", Look()) == 5


def test_the_id_is_what_counts_whatever_the_repeated_command_says(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5), command_id="once")
    assert world.call(Counter, "a", Add(99), command_id="once") == 5
    world.produce(Counter, b"no command at all", headers=[("command-id", b"once")])
    world.settled(Counter)
    assert world.dead_letters(Counter) == []


def test_the_same_id_at_another_persist_id_is_another_command(world: World) -> None:
    world.run(Counter)
    assert world.call(Counter, "a", Add(5), command_id="once") == 5
    assert world.call(Counter, "b", Add(7), command_id="once") == 7


def test_a_reply_too_large_to_keep_becomes_already_done(world: World) -> None:
    world.run(Wide, kept_reply_bytes=100)
    assert world.call(Wide, "a", Blow(50), command_id="small") == "x" * 50
    assert world.call(Wide, "a", Blow(500), command_id="large") == "x" * 500
    assert world.call(Wide, "a", Blow(50), command_id="small") == "x" * 50
    with pytest.raises(AlreadyDone) as done:
        world.call(Wide, "a", Blow(500), command_id="large")
    assert done.value.seq == 2


@pytest.mark.parametrize("without_store", [False, True])
def test_already_done_is_the_answer_after_a_restart_too(world: World, without_store: bool) -> None:
    world.run(Wide)
    world.call(Wide, "a", Blow(5000), command_id="large")
    world.restart(without_store=without_store)
    with pytest.raises(AlreadyDone):
        world.call(Wide, "a", Blow(5000), command_id="large")


def test_the_reply_none_is_an_answer_like_any_other(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5))
    assert world.call(Counter, "a", Reset(), command_id="once") is None
    assert world.call(Counter, "a", Reset(), command_id="once") is None
    world.restart(without_store=True)
    assert world.call(Counter, "a", Reset(), command_id="once") is None
    assert len(world.journal(Counter)) == 2


def test_a_cast_repeated_as_a_call_is_already_done(world: World) -> None:
    world.run(Counter)
    world.cast(Counter, "a", Add(5), command_id="once")
    with pytest.raises(AlreadyDone) as done:
        world.call(Counter, "a", Add(5), command_id="once")
    assert done.value.seq == 1
    assert world.state(Counter, "a") == Count(5, 1)


def test_a_call_repeated_as_a_cast_is_silent(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5), command_id="once")
    world.cast(Counter, "a", Add(5), command_id="once")
    world.settled(Counter)
    assert len(world.replies(Counter)) == 1
    assert len(world.journal(Counter)) == 1


def test_a_command_that_persisted_nothing_runs_again(world: World) -> None:
    world.run(Alive)
    first = world.call(Alive, "a", Look(), command_id="look")
    assert world.call(Alive, "a", Look(), command_id="look") == first + 1
    for _ in range(2):
        with pytest.raises(Rejected):
            world.call(Alive, "a", Reset(), command_id="reset")
    assert Alive.runs == first + 3


def test_the_duplicate_is_recognised_before_the_expected_seq_is_looked_at(world: World) -> None:
    world.run(Counter)
    assert world.call(Counter, "a", Add(5), command_id="once", expected_seq=0) == 5
    assert world.call(Counter, "a", Add(5), command_id="once", expected_seq=0) == 5
    with pytest.raises(Conflict):
        world.call(Counter, "a", Add(5), command_id="other", expected_seq=0)


def test_the_expected_seq_is_looked_at_before_the_handler_and_the_content(world: World) -> None:
    world.run(Counter)
    reply = world.ask(Counter, b"no command at all", headers=[("expected-seq", b"3")])
    assert header(reply, "status") == "conflict"
    assert world.dead_letters(Counter) == []


@pytest.mark.parametrize("restart", [False, True])
def test_the_window_holds_sixty_four_ids(world: World, restart: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(1), command_id="c0")
    for number in range(1, 65):
        world.cast(Counter, "a", Add(1), command_id=f"c{number}")
        if number % 16 == 0:  # not all in one batch
            world.settled(Counter)
    if restart:
        world.restart(without_store=True)
    with pytest.raises(AlreadyDone):
        world.call(Counter, "a", Add(1), command_id="c1")
    assert world.call(Counter, "a", Add(1), command_id="c0") == 66  # it was the 65th


def test_the_window_is_the_same_within_one_batch(world: World) -> None:
    world.run(Counter)
    world.stop()
    ids = [f"c{number}" for number in range(65)]
    for command_id in [*ids, "c1", "c0", "c0"]:
        world.cast(Counter, "a", Add(1), command_id=command_id)
    world.restart()
    world.settled(Counter)
    assert world.counts(Counter).duplicates == 2  # c1, and c0 after it had run again
    assert world.state(Counter, "a") == Count(66, 66)


@pytest.mark.parametrize("restart", [False, True])
def test_the_window_holds_ten_minutes_of_the_workers_clock(world: World, restart: bool) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(1), command_id="once")
    world.clock.advance(590)
    if restart:
        world.restart(without_store=True)
    assert world.call(Counter, "a", Add(1), command_id="once") == 1
    world.clock.advance(20)
    if restart:
        world.restart(without_store=True)
    assert world.call(Counter, "a", Add(1), command_id="once") == 2


def test_an_idle_entity_carries_an_empty_window(world: World) -> None:
    world.run(Counter, partitions=1, max_entities=1)
    world.call(Counter, "a", Add(1), command_id="once")
    world.clock.advance(601)
    for persist_id in ("b", "c"):
        world.call(Counter, persist_id, Add(1))
    assert world.snapshot(Counter, "a").recent == {}


def test_ids_are_kept_as_hashes_of_sixteen_bytes_with_small_replies(world: World) -> None:
    world.run(Wide)
    world.call(Wide, "a", Blow(5), command_id="small")
    world.call(Wide, "a", Blow(5000), command_id="large")
    world.call(Wide, "a", Save())
    recent = world.snapshot(Wide, "a").recent
    assert [len(hashed) for hashed in recent] == [16, 16]
    assert [reply is not None for _, _, reply in recent.values()] == [True, False]


def test_only_a_calls_last_event_carries_the_reply(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "a", Add(5, times=2))
    world.cast(Counter, "b", Add(5))
    world.settled(Counter)
    carrying = [r.key for r in world.journal(Counter) if "reply" in dict(r.headers)]
    assert carrying == [b"a@2"]
