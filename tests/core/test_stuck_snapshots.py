"""A state that does not encode: its snapshot is tried again when it changed, and told once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from core_shard import Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from kstate import Command, Context, Processor, command, event
from kstate.core.batch import Batch
from kstate.core.policy import Policy
from kstate.core.shard import MAX_RETRY_DISTANCE
from kstate.core.topics import parse_event_key


@dataclass(frozen=True)
class Level:
    """A number of 64 bits, or beyond: then it does not encode."""

    height: int = 0


@dataclass(frozen=True)
class Go(Command[str]):
    """Goes to a height, by as many events; saves there if so wished."""

    height: int
    times: int = 1
    save: bool = False


@dataclass(frozen=True)
class Look(Command[str]):
    pass


@dataclass(frozen=True)
class Went:
    height: int


BEYOND = 65
"""Two to the power of this is no long."""


class Lift(Processor[Level]):
    name = "lift"
    snapshot_every = 2

    def init(self, persist_id: str) -> Level:
        return Level()

    @command
    def go(self, ctx: Context[Level], cmd: Go) -> str:
        for _ in range(cmd.times):
            ctx.persist(Went(cmd.height))
        if cmd.save:
            ctx.save_snapshot()
        return "there"

    @command
    def look(self, ctx: Context[Level], cmd: Look) -> str:
        return "seen"

    @event
    def went(self, state: Level, event: Went) -> Level:
        return Level(2**event.height)


def lift(**policy: int) -> Bench:
    return Bench(Policy(**policy), processor=Lift)


def go(bench: Bench, height: int = BEYOND, *, key: bytes = b"a", **options: Any) -> Batch:
    batch: Batch = bench.run(bench.put(Go(height, **options), key=key))
    return batch


def look(bench: Bench, key: bytes) -> None:
    bench.run(bench.put(Look(), key=key))


def tries(bench: Bench) -> int:
    """How many snapshots did not encode."""
    return bench.shard.counts.snapshots_failed


def seqs_tried(bench: Bench, events: int) -> list[int]:
    """The seqs of these next events of a at which its snapshot was tried in vain."""
    return [
        bench.shard.entities[b"a"].seq for _ in range(events) if go(bench).counts.snapshots_failed
    ]


def test_a_snapshot_that_failed_is_not_tried_again_while_nothing_changed() -> None:
    bench = lift(max_tail=1, max_entities=1)
    go(bench, times=2)
    for number in range(20):
        go(bench, 1, key=b"other-%d" % (number % 3))
        look(bench, b"a")
    assert tries(bench) == 1


def test_it_is_tried_again_at_distances_that_double() -> None:
    assert seqs_tried(lift(), 20) == [2, 3, 5, 9, 17]


def test_the_distance_has_a_limit() -> None:
    found = seqs_tried(lift(), 5 * MAX_RETRY_DISTANCE)
    assert found[-1] - found[-2] == found[-2] - found[-3] == MAX_RETRY_DISTANCE


def test_it_is_told_once_however_often_it_is_tried() -> None:
    bench = lift()
    told = [fault.key for _ in range(20) for fault in go(bench).faults]
    assert told == [b"a"]
    assert tries(bench) > 1


def test_after_a_snapshot_that_succeeded_it_is_told_anew() -> None:
    bench = lift()
    go(bench, times=2)
    go(bench, 1)
    assert bench.log.snapshot(b"a") is not None
    assert [fault.what for fault in go(bench, times=2).faults] == ["snapshot"]


def test_a_try_in_a_batch_that_was_dropped_counts_for_nothing() -> None:
    bench = lift()
    record = bench.put(Go(BEYOND, times=2), key=b"a")
    bench.shard.step(record, 0)
    bench.shard.close(0)
    bench.shard.drop()
    batch = bench.run(record)
    assert [fault.key for fault in batch.faults] == [b"a"]
    assert tries(bench) == 1


def test_the_low_water_mark_stays_at_its_first_event_until_it_encodes() -> None:
    bench = lift()
    go(bench, 1, key=b"before", save=True)
    first = bench.shard.journal_floor
    go(bench, times=2)
    for number in range(5):
        go(bench, 1, key=b"other-%d" % number, save=True)
        assert bench.log.progress.low_water == first
    go(bench, 1, save=True)
    assert bench.log.progress.low_water > first


@pytest.mark.parametrize("saves", [True, False])
def test_it_is_as_any_other_once_it_encodes(saves: bool) -> None:
    bench = lift(max_entities=1)
    go(bench, times=2)
    go(bench, 1, save=saves)
    assert bench.shard.stuck == {}
    go(bench, 1, key=b"b")
    assert list(bench.shard.entities) == [b"b"]
    assert bench.shard._bytes == bench.shard.entities[b"b"].size


def test_the_low_water_mark_is_that_of_the_oldest_of_several() -> None:
    bench = lift(max_tail=1)
    go(bench, key=b"old")  # too short for a snapshot of its own, until the tail is too long
    between = bench.shard.journal_floor
    go(bench, key=b"new", times=2)
    for _ in range(3):
        go(bench, 1, key=b"other", save=True)
    assert list(bench.shard.stuck) == [b"old", b"new"]
    assert bench.log.progress.low_water == 0
    go(bench, 1, key=b"old", save=True)
    assert bench.log.progress.low_water == between


def test_it_never_leaves_memory() -> None:
    bench = lift(max_entities=1, max_entity_bytes=1)
    go(bench, times=2)
    for number in range(5):
        go(bench, 1, key=b"other-%d" % number)
    assert list(bench.shard.entities) == [b"a", b"other-4"]


def test_it_drives_nobody_else_out_of_memory() -> None:
    bench = lift(max_entities=2)
    for key in (b"a", b"b", b"c"):
        go(bench, key=key, times=2)
    for key in (b"d", b"e"):
        go(bench, 1, key=key)
    look(bench, b"d")
    assert bench.shard.counts.evicted == 0


def test_its_bytes_drive_nobody_out_of_memory() -> None:
    bench = lift(max_entity_bytes=500)
    go(bench, times=100)
    for _ in range(3):
        go(bench, 1, key=b"b")
        go(bench, 1, key=b"c")
    assert bench.shard.counts.evicted == 0
    own = {key: entity.size for key, entity in bench.shard.entities.items() if key != b"a"}
    assert bench.shard._bytes == sum(own.values())


def test_a_worker_that_takes_over_rebuilds_it_from_its_events() -> None:
    bench = lift()
    go(bench, times=2)
    for number in range(5):
        go(bench, 1, key=b"other-%d" % number, save=True)
    entity = bench.entity(bench.rebuilt(), b"a")
    assert (entity.seq, entity.state) == (2, Level(2**BEYOND))


def test_events_folded_after_it_was_set_aside_leave_its_bound() -> None:
    bench = lift()
    go(bench, times=2)
    bench.shard.folded(b"a", 1_000, 10)
    assert bench.shard.uncovered == {}
    assert bench.shard.stuck[b"a"].bound == 0


# -- whatever comes ------------------------------------------------------------------------------

GOES = st.builds(
    Go,
    st.sampled_from([1, 2, BEYOND, BEYOND + 1]),
    times=st.integers(1, 4),
    save=st.sampled_from([False, False, False, True]),
)
BATCHES = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.one_of(GOES, st.just(Look()))),
            min_size=1,
            max_size=4,
        ),
        st.sampled_from(["committed", "committed", "dropped", "and restarted"]),
    ),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(BATCHES, st.integers(1, 4), st.sampled_from([1, 5, 1_000]))
def test_nothing_is_lost_and_no_account_is_wrong(
    batches: list[Any], max_entities: int, max_tail: int
) -> None:
    bench = lift(max_entities=max_entities, max_tail=max_tail)
    for commands, ends in batches:
        records = [bench.put(command, key=key) for key, command in commands]
        if ends == "dropped":
            for record in records:
                bench.shard.step(record, 0)
            bench.shard.close(0)
            bench.shard.drop()
        bench.run(*records)
        if ends == "and restarted":
            bench.shard = bench.rebuilt()
        consistent(bench)


def consistent(bench: Bench) -> None:
    shard = bench.shard
    assert not shard.stuck.keys() & shard.uncovered.keys()
    bounds = [stuck.bound for stuck in shard.stuck.values()]
    assert bounds == sorted(bounds)
    assert shard._bytes == sum(
        entity.size for key, entity in shard.entities.items() if key not in shard.stuck
    )
    rebuilt = bench.rebuilt()
    heights: dict[bytes, list[int]] = {}
    for record in bench.log.records[bench.topics.journal]:
        parsed = parse_event_key(record.key)
        assert parsed is not None
        heights.setdefault(parsed[0], []).append(bench.codec.decode_event(record.value).height)
    for key, all_heights in heights.items():
        for each in (shard, rebuilt):
            entity = bench.entity(each, key)
            assert (entity.seq, entity.state) == (len(all_heights), Level(2 ** all_heights[-1]))
