"""Bugs planted on purpose, one rule broken each: the simulation must find every one of them.

    python tests/simulation/planted.py

prints the table of docs/guarantees.md: of each, the checks that caught it, and after how many seeds
of those that may meet it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count, islice
from typing import Any, NamedTuple
from unittest.mock import patch

import planted_removal  # noqa: F401 - its bugs are registered
import planted_standby  # noqa: F401 - likewise
from planting import (
    PLANTS,
    PlantUnfit,
    broken,
    change,
    plant,
    with_an_old_store,
    with_days_gone_by,
)
from sim_plan import plan_of
from simulate import simulate

import kstate.core.runner
from kstate.core.messages import Record, Write
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

BEGIN = {
    "a partition that is followed again is read on from where it was left": 1450,
    "a generation of minus one is sent": 267,
    "a partition that was lost is kept": 52,
    "a standby takes what is not committed yet for read": 704,
    "the ends are taken before the progress is known": 632,
    "what others wrote meanwhile is taken for damage": 3715,
}
"""The seed to begin with, for bugs that few seeds meet: it saves a minute."""

OWN_FAILURE = re.compile(r"ended: (TypeError|AttributeError|NameError|UnboundLocalError):")
"""How a bug that does not fit the code ends a worker: nothing is found by that."""


class _WithoutStart:
    """A member that is not told where to read from."""

    def __init__(self, member: SimulatedMember) -> None:
        self._member = member

    def start(self, partition: int, offset: int) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)


def _taken_anew() -> AbstractContextManager[object]:
    """Lets a partition be assigned that was kept."""
    real = Partitions.take

    def take(self: Partitions, assignment: Any, member: Any, **rest: Any) -> None:
        self.lose(assignment.partition)
        real(self, assignment, member, **rest)

    return broken(Partitions, "take", take)


# -- the loop ------------------------------------------------------------------------------------


@plant("the_journal_is_the_models")
def no_seek_after_an_abort() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, *batch: Any) -> float:
        return real(self, _WithoutStart(member), *batch)

    with broken(Worker, "_commit", commit):
        yield


@plant("workers_never_failed: JournalError")
def an_aborted_batch_is_kept() -> Iterator[None]:
    with broken(Shard, "drop", lambda self: None):
        yield


@plant("each_question_has_its_replies_once_and_in_order")
def a_reply_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Sequence[Any], progress: Any) -> float:
        producer = self._log.producer()
        for write in writes:
            if write[0] == self._topics.replies:
                producer.send(Write(*write))
        rest = [write for write in writes if write[0] != self._topics.replies]
        return real(self, member, rest, progress)

    with broken(Worker, "_commit", commit):
        yield


@plant("seqs_are_contiguous", "local_stores_are_not_behind_what_they_say")
def the_store_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Any, progress: Mapping[int, Any]) -> float:
        for partition in progress:
            owned = self.partitions[partition]
            assert owned.checkpoint is not None
            owned.store.apply(dict(owned.shard.batch.snapshots), owned.checkpoint)
        return real(self, member, writes, progress)

    with broken(Worker, "_commit", commit):
        yield


@plant("subscribers_and_effects_come_after_the_commit")
def subscribers_told_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Any, progress: Mapping[int, Any]) -> float:
        for partition in progress:
            self._subscribers.tell(self.partitions[partition].shard.batch.events)
        return real(self, member, writes, progress)

    with broken(Worker, "_commit", commit):
        yield


@plant("subscribers_and_effects_come_after_the_commit")
def effects_before_the_commit() -> Iterator[None]:
    real = Worker._commit

    def commit(self: Worker, member: Any, writes: Any, progress: Mapping[int, Any]) -> float:
        for partition in progress:
            effects = self.partitions[partition].shard.batch.effects
            self.effects.submit(effects)
            effects.clear()
        return real(self, member, writes, progress)

    with broken(Worker, "_commit", commit):
        yield


@plant("each_question_has_its_replies_once_and_in_order")
def a_record_of_an_assignment_that_is_over_is_kept() -> Iterator[None]:
    """They are run and committed before the partition is let go."""
    real_lose, real_work = Worker._lose, Worker._work
    leaving: dict[Worker, set[int]] = defaultdict(set)

    def waiting(self: Worker) -> set[int]:
        records = list(self._backlog.drain())
        self._backlog.extend(records)
        return {each.partition for each in records}

    def lose(self: Worker, revoked: Sequence[Any]) -> None:
        later = waiting(self)
        leaving[self] |= {each.partition for each in revoked} & later
        real_lose(self, [each for each in revoked if each.partition not in later])

    def work(self: Worker, member: Any, running: Any) -> float:
        pause_s = real_work(self, member, running)
        for partition in leaving[self] - waiting(self):
            self.partitions.lose(partition)
            leaving[self].discard(partition)
        return pause_s

    with broken(Worker, "_lose", lose), broken(Worker, "_work", work), _taken_anew():
        yield


@plant("each_question_has_its_replies_once_and_in_order")
def a_partition_that_was_lost_is_kept() -> Iterator[None]:
    with broken(Worker, "_lose", lambda self, revoked: None), _taken_anew():
        yield


@plant("seqs_are_contiguous")
def a_member_used_again_after_an_unknown_outcome() -> Iterator[None]:
    real = SimulatedMember.commit

    def commit(self: SimulatedMember, writes: Any, progress: Any) -> Any:
        try:
            return real(self, writes, progress)
        except OutcomeUnknown as error:
            raise TransactionAborted("taken for one") from error

    with broken(SimulatedMember, "commit", commit):
        yield


@plant("each_question_has_its_replies_once_and_in_order")
def a_generation_of_minus_one_is_sent() -> Iterator[None]:
    with broken(SimulatedMember, "_refuse_no_generation", lambda self, generation: None):
        yield


# -- recovery ------------------------------------------------------------------------------------


@plant("the_journal_is_the_models")
def a_recovery_reads_to_the_stable_end() -> Iterator[None]:
    real = SimulatedLog.ends

    def ends(self: SimulatedLog, topic: str) -> Mapping[int, Ends]:
        found = real(self, topic)
        if topic.endswith(".commands"):
            return found
        return {
            number: Ends(each.start, each.stable, each.stable) for number, each in found.items()
        }

    with broken(SimulatedLog, "ends", ends):
        yield


@plant("each_question_has_its_replies_once_and_in_order")
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

    with broken(Recovery, "__init__", init):
        yield


@plant(
    "the_journal_is_the_models",
    "workers_never_failed: deleted by retention",
    where=with_days_gone_by,
)
def offsets_that_expired_are_taken_for_zero() -> Iterator[None]:
    real = Recovery._settle

    def settle(self: Recovery, parsed: Any, end: int) -> None:
        if self._committed is None:
            reached = self.snapshots.reached._replace(processed=-1, source=-1)
            change(self.snapshots, reached=reached)
            change(self._replay, newest_source=-1)
            change(self, _committed=Committed(0, ""))
        real(self, parsed, end)

    with broken(Recovery, "_settle", settle):
        yield


@plant("local_stores_are_not_behind_what_they_say", "seqs_are_contiguous", where=with_an_old_store)
def a_store_is_trusted_however_old_it_is() -> Iterator[None]:
    real = Snapshots.__init__

    def init(self: Snapshots, *rest: Any) -> None:
        real(self, *rest)
        change(self, _tombstone_age_ms=10**15)

    with broken(Snapshots, "__init__", init):
        yield


@plant("the_journal_is_the_models")
def a_recovery_forgets_the_command_ids_of_the_journal() -> Iterator[None]:
    real = Replay.event

    def event(self: Replay, record: Record) -> None:
        real(self, record)
        parsed = parse_event_key(record.key)
        entity = self._shard.entities.get(parsed[0]) if parsed else None
        if entity is not None:
            entity.recent.clear()

    with broken(Replay, "event", event):
        yield


# -- the core ------------------------------------------------------------------------------------


@plant("seqs_are_contiguous")
def an_eviction_without_a_snapshot() -> Iterator[None]:
    real = Shard._evict

    def evict(self: Shard) -> None:
        with patch.object(self, "_snapshot", lambda key: True):
            real(self)
        for key in self.batch.evicting:
            self.uncovered.pop(key, None)

    with broken(Shard, "_evict", evict):
        yield


@plant("seqs_are_contiguous")
def a_low_water_mark_that_is_too_high() -> Iterator[None]:
    with broken(Shard, "low_water", lambda self: self.journal_floor):
        yield


@plant("the_journal_is_the_models")
def a_snapshot_without_the_window() -> Iterator[None]:
    real = kstate.core.runner.snapshot_of

    def snapshot_of(*rest: Any) -> Any:
        return replace(real(*rest), recent={})

    with broken(kstate.core.runner, "snapshot_of", snapshot_of):
        yield


@plant("the_journal_is_the_models")
def a_command_of_another_partition_is_executed_in_place() -> Iterator[None]:
    real = Shard._stage

    def stage(self: Shard, record: Record, envelope: Any) -> Any:
        key = record.key or b""
        if key not in self.entities:
            self.enter(key, key.decode())
        return real(self, record, envelope)

    with broken(Shard, "_stage", stage):
        yield


@plant("workers_never_failed: TopicError")
def what_others_wrote_meanwhile_is_taken_for_damage() -> Iterator[None]:
    with broken(Recovery, "_overtaken", lambda self: False):
        yield


# -- finding them --------------------------------------------------------------------------------


class Catch(NamedTuple):
    """How a bug was found."""

    seeds: int  # that were needed
    said: Mapping[str, str]  # by each check that must find it


def catch(name: str, max_seeds: int = MAX_SEEDS) -> Catch | None:
    """Runs seeds with the bug until each of its checks has found it; None when one does not.

    Raises `PlantUnfit` for a bug that fails by itself.
    """
    bug = PLANTS[name]
    said: dict[str, str] = {}
    plans = filter(bug.where, map(plan_of, count(BEGIN.get(name, 1))))
    with bug.planted():
        for number, plan in enumerate(islice(plans, max_seeds), 1):
            for check, text in simulate(plan).violations:
                if check == "workers_never_failed" and OWN_FAILURE.search(text):
                    raise PlantUnfit(f"{name}: {text}")
                for wanted in bug.found_by:
                    its_check, _, says = wanted.partition(": ")
                    if check == its_check and says in text:
                        said.setdefault(wanted, text)
            if said.keys() == set(bug.found_by):
                return Catch(number, said)
    return None


def row(name: str, seeds: str) -> str:
    """What the table in docs/guarantees.md says of a bug."""
    checks = "; ".join(each.replace("_", " ") for each in PLANTS[name].found_by)
    return f"| {name} | {checks} | {seeds} |"


def main() -> int:
    """The exit code: 1 when a bug was not found."""
    logging.disable(logging.CRITICAL)
    missed = 0
    for name in PLANTS:
        caught = catch(name)
        missed += caught is None
        print(row(name, str(caught.seeds) if caught else f"NOT in {MAX_SEEDS}"), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
