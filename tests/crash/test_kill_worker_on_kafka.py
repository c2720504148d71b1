"""The short form of `kill_worker` on Kafka, with two workers."""

from __future__ import annotations

from statistics import median_low

import pytest
from kill_worker import AWAY, BACK, SESSION_S, TAKEN_OVER_S, Outcome, options_of, run

KILLS = 5
ARGUMENTS = f"--commands 4000 --kills {KILLS} --accounts 50 --seed 3 --workers 2"


@pytest.fixture(scope="module")
def outcome(bootstrap: str) -> Outcome:
    return run(options_of([*ARGUMENTS.split(), "--log", f"kafka://{bootstrap}"]))


def seconds(outcome: Outcome, what: str) -> list[float]:
    return [each.seconds for each in outcome.waits if each.what == what]


def test_workers_killed_again_and_again_lose_nothing_and_do_nothing_twice(
    outcome: Outcome,
) -> None:
    # a busy machine is slow once in a while: how long it takes is judged below
    assert [each for each in outcome.wrong if not each.startswith("late: ")] == []


def test_each_kill_came_while_the_killed_worker_had_commands_to_do(outcome: Outcome) -> None:
    assert len(outcome.kills) == KILLS
    assert all(kill.stored for kill in outcome.kills)
    assert {kill.worker for kill in outcome.kills} == {0, 1}


def test_a_worker_that_comes_back_under_its_name_answers_without_a_rebalance(
    outcome: Outcome,
) -> None:
    # with one, its partitions would answer only when the session of its last life is over
    assert median_low(seconds(outcome, BACK)) < SESSION_S


def test_the_partitions_of_a_worker_that_stays_away_are_taken_over(outcome: Outcome) -> None:
    assert seconds(outcome, AWAY)
    assert max(seconds(outcome, AWAY)) <= TAKEN_OVER_S
