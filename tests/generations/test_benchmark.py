"""The benchmark of generations replays what it says, and prints its figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import golden
import pytest
from generations_tools import all_expected
from golden import GENERATIONS

from benchmarks.generations import Journal, journals, main, replayed

ROOT = Path(__file__).parents[2]
ROWS = [
    *(f"of {generation}" for generation in GENERATIONS),
    "of 2024, adapted records alone",
    "of 2025, adapted records alone",
]


def test_the_short_form_prints_a_ratio_for_each_journal() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.generations", "--short"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| of ")]
    assert [row[0].strip() for row in rows] == ROWS
    ratios = {row[0].strip(): float(row[-1]) for row in rows}
    assert ratios["of today"] == 1
    assert all(ratio > 0 for ratio in ratios.values())


def test_each_copy_of_a_journal_comes_to_the_states_noted_then() -> None:
    by_title: dict[str, Journal] = {each.title: each for each in journals(1_000)}
    for generation in GENERATIONS:
        _, shard = replayed(by_title[f"of {generation}"])
        for persist_id, state in all_expected(golden.read(generation)).items():
            for copy in (0, 1):
                found = shard.entities[f"{copy}-{persist_id}".encode()].state
                assert repr(found) == repr(state)  # of one source, imported under two names


def test_a_journal_of_no_records_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--records", "0"])
    assert "--records and --rounds are 1 or more" in capsys.readouterr().err
