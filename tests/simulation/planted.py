"""Bugs planted on purpose, one rule broken each: the simulation must find every one of them.

    python tests/simulation/planted.py

prints, for each, the check that caught it and after how many seeds.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

import planted_removal  # noqa: F401 - its bugs are registered
from planting import PLANTS, plant
from sim_plan import plan_of
from simulate import simulate

import kstate.core.runner
from kstate.core.messages import Record
from kstate.core.replay import Replay
from kstate.core.shard import Shard
from kstate.core.topics import parse_event_key
from kstate.errors import OutcomeUnknown, TransactionAborted
from kstate.log.port import Committed, Ends
from kstate.runtime.partitions import Partitions
from kstate.runtime.recovery import Recovery
from kstate.runtime.snapshots import Snapshots
from kstate.runtime.worker import Worker
from kstate.testing.simulated_log import SimulatedLog
from kstate.testing.simulated_member import SimulatedMember

MAX_SEEDS = 1_000
"""Within which each must be found."""

BEGIN = {"a generation of minus one is sent": 250, "a recovery reads to the stable end": 130}
"""The seed to begin with, for bugs that few seeds meet: it saves a minute."""


class _WithoutStart:
    """A member that is not told where to read from."""

    def __init__(self, member: SimulatedMember) -> None:
        self._member = member

    def start(self, partition: int, offset: int) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)


# -- the loop ------------------------------------------------------------------------------------


@plant
def no_seek_after_an_abort() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, *batch: Any) -> float:
        return real(self, _WithoutStart(member), *batch)

    with patch.object(Worker, "_commit", commit):
        yield


@plant
def an_aborted_batch_is_kept() -> Iterator[None]:
    with patch.object(Shard, "drop", lambda self: None):
        yield


@plant
def a_reply_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Sequence[Any], progress: Any) -> float:
        producer = self._log.producer()
        for write in writes:
            if write.topic == self._topics.replies:
                producer.send(write)
        rest = [write for write in writes if write.topic != self._topics.replies]
        return real(self, member, rest, progress)

    with patch.object(Worker, "_commit", commit):
        yield


@plant
def the_store_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Any, progress: Mapping[int, Any]) -> float:
        for partition in progress:
            owned = self.partitions[partition]
            assert owned.checkpoint is not None
            owned.store.apply(dict(owned.shard.batch.snapshots), owned.checkpoint)
        return real(self, member, writes, progress)

    with patch.object(Worker, "_commit", commit):
        yield


@plant
def subscribers_told_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Any, progress: Mapping[int, Any]) -> float:
        for partition in progress:
            for event in self.partitions[partition].shard.batch.events:
                for subscriber in self._subscribers:
                    subscriber(event)
        return real(self, member, writes, progress)

    with patch.object(Worker, "_commit", commit):
        yield


@plant
def effects_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Any, progress: Mapping[int, Any]) -> float:
        for partition in progress:
            effects = self.partitions[partition].shard.batch.effects
            self.effects.submit(effects)
            effects.clear()
        return real(self, member, writes, progress)

    with patch.object(Worker, "_commit", commit):
        yield


@plant
def a_record_of_an_assignment_that_is_over_is_kept() -> Iterator[None]:
    def lose(self: Worker, revoked: Sequence[Any]) -> None:
        for assignment in revoked:
            self.partitions.lose(assignment.partition)

    with patch.object(Worker, "_lose", lose):
        yield


@plant
def a_partition_that_was_lost_is_kept() -> Iterator[None]:
    real = Partitions.take

    def take(self: Partitions, assignment: Any, member: Any, **rest: Any) -> None:
        self.lose(assignment.partition)
        real(self, assignment, member, **rest)

    with (
        patch.object(Worker, "_lose", lambda self, revoked: None),
        patch.object(Partitions, "take", take),
    ):
        yield


@plant
def a_member_used_again_after_an_unknown_outcome() -> Iterator[None]:
    real = SimulatedMember.commit

    def commit(self: SimulatedMember, writes: Any, progress: Any) -> Any:
        try:
            return real(self, writes, progress)
        except OutcomeUnknown as error:
            raise TransactionAborted("taken for one") from error

    with patch.object(SimulatedMember, "commit", commit):
        yield


@plant
def a_generation_of_minus_one_is_sent() -> Iterator[None]:
    with patch.object(SimulatedMember, "_refuse_no_generation", lambda self, generation: None):
        yield


# -- recovery ------------------------------------------------------------------------------------


@plant
def a_recovery_reads_to_the_stable_end() -> Iterator[None]:
    real = SimulatedLog.ends

    def ends(self: SimulatedLog, topic: str) -> Mapping[int, Ends]:
        found = real(self, topic)
        if topic.endswith(".commands"):
            return found
        return {
            number: Ends(each.start, each.stable, each.stable) for number, each in found.items()
        }

    with patch.object(SimulatedLog, "ends", ends):
        yield


@plant
def the_ends_are_taken_before_the_progress_is_known() -> Iterator[None]:
    real = Recovery.__init__

    class Early:
        """A log that tells the ends as they were."""

        def __init__(self, log: Any, topics: Any) -> None:
            self._log = log
            self._ends = {
                name: {each.number: each.ends() for each in log.cluster.topic(name).partitions}
                for name in (topics.journal, topics.snapshots)
            }

        def ends(self, topic: str) -> Any:
            return self._ends.get(topic) or self._log.ends(topic)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._log, name)

    def init(self: Recovery, log: Any, member: Any, topics: Any, *rest: Any) -> None:
        real(self, Early(log, topics), member, topics, *rest)

    with patch.object(Recovery, "__init__", init):
        yield


@plant
def offsets_that_expired_are_taken_for_zero() -> Iterator[None]:
    real = Recovery._settle

    def settle(self: Recovery, parsed: Any, checkpoint: Any, end: int) -> None:
        if self._committed is None:
            self._committed = Committed(0, "")
            self._replay.newest_source = -1
            checkpoint = None
        real(self, parsed, checkpoint, end)

    with patch.object(Recovery, "_settle", settle):
        yield


@plant
def a_store_is_trusted_however_old_it_is() -> Iterator[None]:
    real = Snapshots.__init__

    def init(self: Snapshots, *rest: Any) -> None:
        real(self, *rest)
        self._tombstone_age_ms = 10**15

    with patch.object(Snapshots, "__init__", init):
        yield


@plant
def a_recovery_forgets_the_command_ids_of_the_journal() -> Iterator[None]:
    real = Replay.event

    def event(self: Replay, record: Record) -> None:
        real(self, record)
        parsed = parse_event_key(record.key)
        entity = self._shard.entities.get(parsed[0]) if parsed else None
        if entity is not None:
            entity.recent.clear()

    with patch.object(Replay, "event", event):
        yield


# -- the core ------------------------------------------------------------------------------------


@plant
def an_eviction_without_a_snapshot() -> Iterator[None]:
    real = Shard._evict

    def evict(self: Shard) -> None:
        with patch.object(self, "_snapshot", lambda key: True):
            real(self)
        for key in self.batch.evicting:
            self.uncovered.pop(key, None)

    with patch.object(Shard, "_evict", evict):
        yield


@plant
def a_low_water_mark_that_is_too_high() -> Iterator[None]:
    with patch.object(Shard, "low_water", lambda self: self.journal_floor):
        yield


@plant
def a_snapshot_without_the_window() -> Iterator[None]:
    real = kstate.core.runner.snapshot_of

    def snapshot_of(*rest: Any) -> Any:
        return replace(real(*rest), recent={})

    with patch.object(kstate.core.runner, "snapshot_of", snapshot_of):
        yield


@plant
def a_command_of_another_partition_is_executed_in_place() -> Iterator[None]:
    real = Shard._stage

    def stage(self: Shard, record: Record, envelope: Any) -> Any:
        key = record.key or b""
        if key not in self.entities:
            self.enter(key, key.decode())
        return real(self, record, envelope)

    with patch.object(Shard, "_stage", stage):
        yield


# -- finding them --------------------------------------------------------------------------------


class Catch(NamedTuple):
    """How a bug was found."""

    check: str
    seeds: int  # that were needed
    text: str


def catch(name: str, max_seeds: int = MAX_SEEDS) -> Catch | None:
    """Runs seeds with the bug until a check fails; None when none does."""
    first_seed = BEGIN.get(name, 1)
    with PLANTS[name]():
        for number in range(max_seeds):
            found = simulate(plan_of(first_seed + number)).violations
            if found:
                return Catch(found[0][0], number + 1, found[0][1])
    return None


def main() -> int:
    """The exit code: 1 when a bug was not found."""
    logging.disable(logging.CRITICAL)
    missed = 0
    for name in PLANTS:
        caught = catch(name)
        if caught is None:
            missed += 1
            print(f"{name}: NOT caught in {MAX_SEEDS} seeds")
        else:
            print(f"{name}: seed {caught.seeds}, {caught.check}: {caught.text[:110]}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
