"""An entity enters memory as its newest snapshot tells it, or not at all."""

from __future__ import annotations

import pytest
from core_program import Do, Program, Step, Tally
from core_shard import Bench

from kstate.core.messages import Write
from kstate.core.replay import Replay
from kstate.core.shard import UnreadableSnapshot
from kstate.errors import KStateError


def unreadable() -> Bench:
    """One event of a, and a snapshot that is none."""
    bench = Bench()
    bench.run(bench.put(Do((Step("persist", 1), Step("save")))))
    bench.log.append(Write(bench.topics.snapshots, 0, b"a", b"garbled", [], 0))
    taken_over(bench)
    return bench


def taken_over(bench: Bench) -> None:
    """Another shard, which has read no events: all are covered by snapshots."""
    bench.shard = bench.new_shard()
    bench.shard.restored(bench.log.progress.offset, -1, bench.log.ends[bench.topics.journal])


def test_a_command_for_an_unreadable_snapshot_is_not_staged() -> None:
    bench = unreadable()
    with pytest.raises(UnreadableSnapshot, match="the snapshot of 'a': this is no snapshot"):
        bench.shard.step(bench.put(Do((Step("persist", 2),))), 0)
    assert bench.shard.entities == {}
    assert bench.shard.batch.writes == []
    assert bench.shard.progress().offset == bench.log.progress.offset


def test_an_event_after_an_unreadable_snapshot_is_not_folded() -> None:
    bench = unreadable()
    shard = bench.new_shard()
    with pytest.raises(UnreadableSnapshot):
        Replay(shard).event(bench.log.records[bench.topics.journal][0])
    assert shard.entities == {}


class Moody(Program):
    """Today it makes no states any more."""

    fails = False

    def init(self, persist_id: str) -> Tally:
        if Moody.fails:
            raise ValueError("not today")
        return Tally()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_command_for_which_no_first_state_can_be_made_is_dead_lettered(
    monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    bench = Bench(processor=Moody)
    if deleted:
        bench.run(bench.put(Do((Step("persist", 1), Step("delete")))))
        taken_over(bench)
    monkeypatch.setattr(Moody, "fails", True)
    batch = bench.run(bench.put(Do((Step("persist", 2),))))
    assert [str(fault.error) for fault in batch.faults] == ["not today"]
    assert batch.counts.dead_letters == 1


def test_a_recovery_for_which_no_first_state_can_be_made_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(processor=Moody)
    bench.run(bench.put(Do((Step("persist", 1),))))
    monkeypatch.setattr(Moody, "fails", True)
    with pytest.raises(KStateError, match="init raised for 'a': ValueError: not today"):
        bench.rebuilt()


class Formless(Program):
    """Its first state is none."""

    def init(self, persist_id: str) -> Tally:
        return None  # type: ignore[return-value]


def test_an_init_that_makes_no_state_is_named() -> None:
    bench = Bench(processor=Formless)
    batch = bench.run(bench.put(Do((Step("persist", 2),))))
    assert [str(fault.error) for fault in batch.faults] == [
        "init in program returned NoneType, not Tally"
    ]
    assert batch.counts.dead_letters == 1
    assert bench.shard.entities == {}
