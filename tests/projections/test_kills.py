"""The short form of `kill_projection`: rows are the journal's fold, whoever is killed when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from kill_projection import Outcome, Row, compare, options_of, run

KILLS = 5

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def outcome(request: pytest.FixtureRequest) -> Outcome:
    if request.param == "postgresql":
        request.getfixturevalue("server")  # it skips, or fails, where there is none
    return run(options_of(f"--kills {KILLS} --database {request.param} --seed 5".split()))


def test_every_row_is_what_a_fold_of_the_journal_makes(outcome: Outcome) -> None:
    assert outcome.wrong == []
    assert outcome.events > 1_000


def test_the_kills_came_while_there_was_work(outcome: Outcome) -> None:
    assert outcome.kills == KILLS
    assert outcome.at_work >= KILLS - 1


def test_a_row_that_is_off_by_one_event_is_found() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    judged = Outcome()
    compare({"a": Row(5, 2, at), "b": Row(1, 1, at)}, {"a": Row(5, 3, at)}, judged)
    assert len(judged.wrong) == 2
