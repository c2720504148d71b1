"""The short form of `run`: one broker, one seed, every kind of fault at least once."""

from __future__ import annotations

import argparse

import chaos_schedule as kinds
import pytest
from chaos_result import Result, run

from kstate.testing.kafka_local import NoLocalKafka
from kstate.testing.plugin import without

LONGEST_S = 400
PATIENCE_S = 90.0
"""Less than that of `run.py`: what never happens is to be said before the test is ended."""
COMMANDS, MINUTES, ACCOUNTS = 1_500, 0.25, 100


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    options = argparse.Namespace(
        brokers=1,
        seed=1,
        minutes=MINUTES,
        commands=COMMANDS,
        accounts=ACCOUNTS,
        patience=PATIENCE_S,
        keep=tmp_path_factory.mktemp("kept"),
    )
    try:
        return run(options)
    except NoLocalKafka as error:
        without(error)


pytestmark = pytest.mark.timeout(LONGEST_S)


def test_whatever_goes_wrong_nothing_is_lost_and_nothing_done_twice(result: Result) -> None:
    assert [each for each in result.violations if not each.startswith("vacuous: ")] == []


def test_everything_went_wrong_while_commands_succeeded(result: Result) -> None:
    assert {kind for kind, count in result.faults.items() if count} == {
        *kinds.WORKERS,
        *kinds.AROUND,
    }
    assert [each for each in result.violations if each.startswith("vacuous: ")] == []
    assert result.acknowledged > COMMANDS / 4
    assert result.held > result.held_at_standby > 0
