"""The worker's loop, recovery and core on a simulated log, with everything that may go wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sim_model import HOMES
from sim_plan import plan_of
from simulate import Outcome, simulate

SEEDS = range(1, 201)
SEEDS_ON_DISK = range(1001, 1021)
FAULTS = (
    "aborted in a commit",
    "away",
    "away in a commit",
    "away in a standby",
    "commands deleted",
    "compacted",
    "dead letters removed",
    "end delayed in a commit",
    "erased",
    "events removed",
    "killed",
    "killed in a commit",
    "killed in a standby",
    "offsets expired",
    "old store restored",
    "preempted",
    "preempted in a commit",
    "preempted in a standby",
    "rebalanced",
    "rebuilds",
    "sessions ended",
    "stalled",
    "stalled in a commit",
    "stalled in a standby",
    "standby stores left",
    "standby stores taken over",
    "stopped",
    "store lost",
    "transactions timed out",
    "unknown",
    "unknown in a commit",
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("CRITICAL", "kstate"):
        yield


@pytest.fixture(scope="module")
def outcomes() -> dict[int, Outcome]:
    return {}


def outcome_of(seed: int, outcomes: dict[int, Outcome]) -> Outcome:
    if seed not in outcomes:
        outcomes[seed] = simulate(plan_of(seed))
    return outcomes[seed]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_that_went_wrong_shows_in_what_was_written(
    seed: int, outcomes: dict[int, Outcome]
) -> None:
    assert outcome_of(seed, outcomes).violations == []


@pytest.mark.parametrize("seed", SEEDS_ON_DISK)
def test_nor_does_it_with_a_store_on_disk(seed: int) -> None:
    assert simulate(plan_of(seed), "sqlitedict").violations == []


def test_every_kind_of_fault_fired(outcomes: dict[int, Outcome]) -> None:
    counts = sum((outcome_of(seed, outcomes).counts for seed in SEEDS), Counter())
    assert [name for name in FAULTS if not counts[name]] == []
    fired = sum(len(outcome_of(seed, outcomes).fired) for seed in SEEDS)
    assert fired >= 100 * len(SEEDS)


def test_most_commands_were_processed_while_faults_fired(outcomes: dict[int, Outcome]) -> None:
    counts = sum((outcome_of(seed, outcomes).counts for seed in SEEDS), Counter())
    assert counts["processed under faults"] > counts["commands"] / 2


def test_a_seed_decides_everything(outcomes: dict[int, Outcome]) -> None:
    program = "from simulate import *; print(simulate(plan_of(7)).digest)"
    found = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        told = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parent,
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        )
        found.add(told.stdout.strip())
    assert found == {outcome_of(7, outcomes).digest}


def test_the_models_partitions_are_those_of_kafkas_partitioner() -> None:
    from kstate.core.partition import partition_for

    assert {key: partition_for(key.encode(), 3) for key in HOMES} == HOMES
