"""The benchmark on Kafka compares like with like, and says so when it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import bare, entities
from benchmarks.counting import Commit, Measured, Tally
from benchmarks.kafka import Bench
from benchmarks.workload import Content, Different, Stage, Workload, Written, compare

ROOT = Path(__file__).parent.parent
BATCH = 50
WORK = Workload(commands=400, ids=40, partitions=2)


@pytest.fixture
def bench(bootstrap: str, tmp_path: Path) -> Iterator[Bench]:
    stage = Stage(bootstrap)
    try:
        yield Bench(stage, WORK, tmp_path)
    finally:
        stage.remove()


def test_the_short_form_runs_both_loops_and_finds_their_records_the_same(bootstrap: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kafka", "--short", "--bootstrap", bootstrap],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "5,000 casts: the same records, byte for byte" in done.stdout
    assert "5,000 calls: the same records, byte for byte" in done.stdout
    assert "p99, ms" in done.stdout


def test_the_benchmark_of_the_embedded_log_tells_where_the_time_of_a_command_goes() -> None:
    few = ["--commands", "2000", "--ids", "50", "--runs", "1", "--round-trips", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.embedded", *few],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for part in ("poll", "decode", "handler, folds, reactions", "encode", "commit", "store"):
        (row,) = re.findall(rf"^\| – {part} \| (\d+\.\d) \| (\d+\.\d) \|$", done.stdout, re.M)
        assert all(float(each) >= 0 for each in row)
    assert re.search(r"one call at a time: p50 \d+\.\d ms, p99 \d+\.\d ms", done.stdout)


def short_form(program: str, bootstrap: str) -> str:
    """What a benchmark prints that needs a broker."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{program}", "--short"],
        cwd=ROOT,
        env={**os.environ, "KSTATE_TEST_BOOTSTRAP": bootstrap},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_short_form_of_the_queries_finds_what_is_there_in_every_way(bootstrap: str) -> None:
    printed = short_form("queries", bootstrap)
    for query in ("every event, decoded", "by tag", "by tag, with an index"):
        assert f"| {query} |" in printed


def test_the_short_form_of_the_takeover_tells_of_every_case(bootstrap: str) -> None:
    printed = short_form("takeover", bootstrap)
    assert printed.count("the balances are right") == 2
    assert "after a kill -9 the other worker answers with the right balances" in printed


@pytest.mark.parametrize("asked", [False, True], ids=["casts", "calls"])
def test_both_loops_write_the_same_records(bench: Bench, asked: bool) -> None:
    assert set(bench.pair({"bare": BATCH, "kstate": BATCH}, asked)) == {"bare", "kstate"}


def test_how_commands_are_cut_into_batches_does_not_show_in_the_records(bench: Bench) -> None:
    bench.pair({"bare": 30, "kstate": 70}, True)


@pytest.mark.parametrize(
    ("name", "header"),
    [("EVENT_TYPE", ("kind", b"Deposited")), ("STATUS", ("status", b"okay"))],
    ids=["event", "reply"],
)
def test_a_bare_loop_that_writes_another_header_is_found_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, header: tuple[str, bytes]
) -> None:
    monkeypatch.setattr(bare, name, header)
    with pytest.raises(Different, match=header[0]):
        bench.pair({"bare": BATCH, "kstate": BATCH}, True)


# -- the comparison ------------------------------------------------------------------------------

ONE = Workload(commands=1, ids=1, partitions=1)
EVENT = Content(b"acct-1@1", b"event", [("type", b"Deposited")])
REPLY = Content(b"id", b"reply", [("status", b"ok")])


def written(event: Content = EVENT, reply: Content = REPLY) -> Written:
    return Written({0: [event]}, {0: [reply]})


def test_what_is_the_same_is_counted() -> None:
    assert compare(written(), written(), ONE, asked=True) == 2


@pytest.mark.parametrize(
    "other",
    [
        EVENT._replace(key=b"acct-1@2"),
        EVENT._replace(value=b"other"),
        EVENT._replace(headers=[("type", b"Withdrawn")]),
        EVENT._replace(headers=[*EVENT.headers, ("tag", b"large")]),
    ],
    ids=["key", "value", "header", "one header more"],
)
def test_a_record_that_differs_in_anything_is_found(other: Content) -> None:
    with pytest.raises(Different, match="journal:0"):
        compare(written(other), written(), ONE, asked=True)


@pytest.mark.parametrize("who", ["the bare loop", "kstate"])
def test_a_record_that_is_missing_is_found(who: str) -> None:
    less = Written({0: []}, {0: [REPLY]})
    one, other = (less, written()) if who == "the bare loop" else (written(), less)
    with pytest.raises(Different, match=f"{who} wrote 0 records to journal, not 1"):
        compare(one, other, ONE, asked=True)


def test_replies_that_nobody_asked_for_are_found() -> None:
    with pytest.raises(Different, match="1 records to replies, not 0"):
        compare(written(), written(), ONE, asked=False)


# -- what is counted -----------------------------------------------------------------------------


def test_a_tally_calls_when_the_first_and_when_the_last_command_is_committed() -> None:
    told: list[str] = []
    tally = Tally(5)
    tally.first = lambda: told.append("first")
    tally.enough = lambda: told.append("enough")
    tally.count(2)
    assert told == ["first"]
    tally.count(2)
    tally.count(1)
    assert told == ["first", "enough"]


def test_the_commands_of_the_first_commit_do_not_count() -> None:
    tally = Tally(5)
    tally.commits = [Commit(10.0, 1.0, 2), Commit(10.5, 1.2, 2), Commit(11.5, 1.75, 1)]
    assert tally.measured == (1.5, 0.75, 3)


def test_rate_and_microseconds_are_those_of_the_commands_measured() -> None:
    measured = Measured(seconds=1.5, cpu_s=0.75, commands=3)
    assert (measured.rate, measured.command_us, measured.cpu_us) == (2.0, 500_000, 250_000)


def test_a_run_of_one_commit_has_no_rate() -> None:
    tally = Tally(5)
    tally.count(5)
    with pytest.raises(ValueError, match="smaller batches"):
        tally.measured  # noqa: B018 - the property raises


def test_more_entities_than_memory_holds_are_measured(
    bootstrap: str, capfd: pytest.CaptureFixture[str]
) -> None:
    counts = ["--entities", "20000", "--in-memory", "400", "--again", "20000"]
    entities.main(["--bootstrap", bootstrap, *counts])
    table = capfd.readouterr().out
    assert "20,000 accounts, 400 in memory" in table
    assert "| start with an empty store |" in table
