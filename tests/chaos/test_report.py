"""Runs that were cut off or repeated: what is in a report, and what is kept of a run."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chaos_result
import pytest
from chaos_cluster import Cluster
from chaos_result import REPORT, Result, add, once, read_report, run, run_before
from chaos_run import ChaosRun
from crash_evidence import Evidence
from crash_run import Run

ROOT = Path(__file__).parents[2]
OLD = {"seed": 1, "brokers": 3, "commands": 7, "violations": [], "seconds": 1.0}
"""A line as earlier versions wrote it."""


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests" / "chaos" / name), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


# -- reports -------------------------------------------------------------------------------------


def test_what_was_added_is_read_again_beside_lines_of_earlier_versions(tmp_path: Path) -> None:
    report = tmp_path / "kept" / REPORT
    assert read_report(report) == []
    add(report, Result(2, 3, violations=["bad"], kept="seed-2-on-3"))
    with report.open("a") as file:
        file.write(json.dumps(OLD) + "\n")
    assert read_report(report) == [
        Result(2, 3, violations=["bad"], kept="seed-2-on-3"),
        Result(1, 3, commands=7, seconds=1.0),
    ]


@pytest.mark.parametrize("lost", [1, 2, 40])
def test_a_line_that_was_cut_off_does_not_count_and_harms_no_other(
    tmp_path: Path, lost: int
) -> None:
    report = tmp_path / REPORT
    add(report, Result(1, 3))
    add(report, Result(2, 3))
    report.write_bytes(report.read_bytes()[:-lost])
    kept = [1, 2] if lost == 1 else [1]  # without its newline a line is still whole
    assert [each.seed for each in read_report(report)] == kept
    add(report, Result(3, 3))
    assert [each.seed for each in read_report(report)] == [*kept, 3]


def test_a_seed_on_so_many_brokers_counts_once_and_stays_bad() -> None:
    bad = Result(2, 3, violations=["bad"])
    good = Result(2, 3, commands=9)
    assert once([Result(1, 3), Result(1, 1), good, bad, good, Result(1, 3, commands=5)]) == [
        Result(1, 3),
        Result(1, 1),
        bad,
    ]


def test_the_script_adds_up_each_seed_once(tmp_path: Path) -> None:
    for seed in (1, 2, 2):
        add(tmp_path / REPORT, Result(seed, 3, commands=1_000))
    done = script("report.py", str(tmp_path / REPORT))
    assert done.returncode == 0, done.stderr
    lines = [" ".join(each.split()) for each in done.stdout.splitlines()]
    assert lines[:2] == ["2 runs", "1 more of seeds that are counted already"]
    assert "commands 2,000" in lines


@pytest.mark.parametrize("violations", [[], ["bad"]])
def test_a_seed_that_the_report_has_is_not_run_again(tmp_path: Path, violations: list[str]) -> None:
    add(tmp_path / REPORT, Result(7, 3, violations=violations))
    done = script("run.py", "--seed", "7", "--brokers", "3", "--keep", str(tmp_path))
    assert "seed 7 on 3 brokers: not run again, it is in " in done.stdout, done.stderr
    assert done.returncode == len(violations)
    assert len(read_report(tmp_path / REPORT)) == 1


def test_another_seed_or_number_of_brokers_is_not_taken_for_it(tmp_path: Path) -> None:
    add(tmp_path / REPORT, Result(7, 3))
    assert run_before(tmp_path / REPORT, 7, 3) is not None
    assert run_before(tmp_path / REPORT, 7, 1) is None
    assert run_before(tmp_path / REPORT, 8, 3) is None


@pytest.mark.parametrize(
    ("given", "seeds"), [([], "1 2 3 4 5"), (["SEEDS=6 17"], "6 17")], ids=["five", "named"]
)
def test_make_runs_the_seeds_it_is_told_and_removes_nothing(given: list[str], seeds: str) -> None:
    # not as a part of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment.pop("SEEDS", None)
    done = subprocess.run(
        ["make", "--dry-run", "chaos", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert f"for seed in {seeds}; do" in done.stdout
    assert "rm " not in done.stdout


# -- runs ----------------------------------------------------------------------------------------


class Stub:
    """A run that leaves the files of one, and ends as it is told."""

    ends: Callable[[Stub], None]

    def __init__(self, made: Any, directory: Path, options: argparse.Namespace) -> None:
        self.evidence, self.arena = Evidence(), SimpleNamespace(counts=Counter(cut=2))
        self.unknown = self.forgiven = self.held = self.held_at_standby = 0
        self.wrong: list[str] = []
        self.topics, self.log = ("group",), None
        self.cluster = SimpleNamespace(heal=lambda: None)
        for name in ("history-0.jsonl", "history-1.jsonl", "faults.jsonl", "worker-0.log"):
            (directory / name).write_text(f"of {name}\n")
        (directory / "data-0").mkdir()
        (directory / "data-0" / "a-store").write_text("")

    def judge(self) -> None:
        type(self).ends(self)


Ending = Callable[[Callable[[Stub], None]], Callable[[int], Result]]


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ending:
    """Runs of a seed that end in some way."""

    def made(ends: Callable[[Stub], None]) -> Callable[[int], Result]:
        monkeypatch.setattr(Stub, "ends", ends, raising=False)
        return lambda seed: run(
            argparse.Namespace(brokers=1, seed=seed, patience=1.0, keep=tmp_path)
        )

    monkeypatch.setattr(chaos_result, "ChaosRun", Stub)
    monkeypatch.setattr(chaos_result, "cluster", lambda *_: nullcontext())
    return made


def nothing(_: Stub) -> None:
    """All was well."""


def wrong(stub: Stub) -> None:
    """Something was not."""
    stub.wrong.append("bad")


def interrupted(_: Stub) -> None:
    """A Ctrl-C."""
    raise KeyboardInterrupt


def interrupted_and_broken(_: Stub) -> None:
    """A Ctrl-C that reached brokers, too: what follows fails, and hides it."""
    try:
        raise KeyboardInterrupt
    finally:
        raise AssertionError("never happened: the cluster was in sync") from OSError("away")


def test_of_a_good_run_what_was_said_is_kept_compressed(tmp_path: Path, ending: Ending) -> None:
    result = ending(nothing)(4)
    place = tmp_path / result.kept
    names = ["faults.jsonl", "history-0.jsonl", "history-1.jsonl", "worker-0.log"]
    assert sorted(each.name for each in place.iterdir()) == [f"{name}.gz" for name in names]
    for name in names:
        assert gzip.decompress((place / f"{name}.gz").read_bytes()).decode() == f"of {name}\n"
    assert read_report(tmp_path / REPORT) == [result]
    assert result.faults == {"cut": 2}


def test_of_a_bad_run_everything_is_kept(tmp_path: Path, ending: Ending) -> None:
    place = tmp_path / ending(wrong)(4).kept
    assert (place / "history-0.jsonl").read_text() == "of history-0.jsonl\n"
    assert (place / "data-0" / "a-store").exists()
    assert (place / "violations.txt").read_text() == "bad\n"


def test_what_an_earlier_run_left_is_not_overwritten(tmp_path: Path, ending: Ending) -> None:
    assert ending(wrong)(4).kept == "seed-4-on-1"
    assert ending(nothing)(4).kept == "seed-4-on-1.2"
    assert (tmp_path / "seed-4-on-1" / "violations.txt").exists()


@pytest.mark.parametrize("ends", [interrupted, interrupted_and_broken])
def test_a_run_that_was_interrupted_is_not_in_the_report(
    tmp_path: Path, ending: Ending, ends: Callable[[Stub], None]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        ending(ends)(4)
    assert list(tmp_path.iterdir()) == []
    ending(nothing)(4)
    assert run_before(tmp_path / REPORT, 4, 1) is not None


# -- patience ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("patience_s", "ends"), [(300.0, False), (90.0, True)])
def test_a_machine_that_stands_still_ends_a_run_when_its_patience_is_over(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, ends: bool
) -> None:
    def look(_: Run) -> int:
        raise AssertionError("the workers have processed nothing for 102 s")

    monkeypatch.setattr(Run, "look", look)
    this = ChaosRun.__new__(ChaosRun)
    this.cluster = Cluster(SimpleNamespace(bootstrap=""), [], patience_s)  # type: ignore[arg-type]
    this._moved = (5, time.monotonic() - 102)
    if ends:
        with pytest.raises(AssertionError, match="for 102 s"):
            this.look()
    else:
        assert this.look() == 5


def test_who_waits_for_what_will_not_come_any_more_fails_at_once() -> None:
    made = Cluster(SimpleNamespace(bootstrap=""), [], 300.0)  # type: ignore[arg-type]
    made.given_up.set()
    with pytest.raises(AssertionError, match="given up: it came"):
        made.until(lambda: False, "it came")
