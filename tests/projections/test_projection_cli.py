"""``kstate projection`` and ``kstate handler``, in processes of their own, with the examples."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import alive, children, linux
from sqlalchemy import create_engine, select
from sqlalchemy.exc import DBAPIError
from world import PATIENCE_S, World

from kstate import Deleted
from processors.balances import balances
from processors.bank import Bank, Close, Deposit, Deposited, FeeCharged, Transfer, Withdraw
from processors.notices import Notices

ROOT = Path(__file__).parents[2]
BALANCES = "processors.balances:Balances"
NOTICES = "processors.notices:Notices"


class Bench:
    """``kstate`` in a directory, on a world's log."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self._running: list[subprocess.Popen[str]] = []
        self._engine = create_engine(f"sqlite:///{directory}/balances.db")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "kstate.cli.main", *arguments],
            cwd=self.directory,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "KSTATE_LOG": self.world.url,
                "KSTATE_PREFIX": self.world.prefix,
            },
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._running.append(process)
        return process

    def says(self, *arguments: str, code: int = 0) -> str:
        """What a command prints that ends with this code: its errors, when it is not 0."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=3 * PATIENCE_S)
        assert process.returncode == code, err
        assert "Traceback" not in err
        return err if code else out

    def rows(self) -> dict[str, int]:
        try:
            with self._engine.connect() as connection:
                query = select(balances.c.account, balances.c.balance)
                return {row[0]: row[1] for row in connection.execute(query)}
        except DBAPIError:
            return {}  # nobody has made the table yet

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()
        self._engine.dispose()


@pytest.fixture
def bench(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in list(os.environ):
        if name.startswith("KSTATE_") and not name.startswith("KSTATE_TEST"):
            monkeypatch.delenv(name)
    world.run(Bank, partitions=2)
    made = Bench(world, tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_projection_runs_until_it_is_told_to_stop(bench: Bench, world: World) -> None:
    running = bench.start("projection", "run", BALANCES)
    world.call(Bank, "a", Deposit(50))
    world.call(Bank, "a", Transfer("b", 20))
    world.until(lambda: bench.rows() == {"a": 30, "b": 20}, "the rows are there")
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, err
    assert "Traceback" not in err


@linux
def test_several_processes_run_a_projection_and_one_that_is_killed_is_started_again(
    bench: Bench, world: World
) -> None:
    parent = bench.start("projection", "run", BALANCES, "--workers", "2")
    world.until(lambda: len(children(parent.pid)) == 2, "two processes run")
    world.call(Bank, "a", Deposit(50))
    world.until(lambda: bench.rows() == {"a": 50}, "the row is there")
    crew = set(children(parent.pid))
    for each in crew:  # one of them has the partitions
        os.kill(each, signal.SIGKILL)
    world.until(lambda: len(set(children(parent.pid)) - crew) == 2, "two others run")
    world.call(Bank, "a", Deposit(20))
    world.until(lambda: bench.rows() == {"a": 70}, "the row is up to date")
    crew = set(children(parent.pid))
    parent.send_signal(signal.SIGTERM)
    _, err = parent.communicate(timeout=PATIENCE_S)
    assert parent.returncode == 0, err
    assert "Traceback" not in err
    assert err.count("ended with 137; another one starts in 0.5 s") == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in crew)


@linux
@pytest.mark.parametrize("command", [("projection", BALANCES), ("handler", NOTICES)])
def test_several_processes_whose_parent_was_killed_stop_by_themselves(
    bench: Bench, world: World, command: tuple[str, str]
) -> None:
    kind, target = command
    world.call(Bank, "a", Deposit(20_000))
    world.call(Bank, "a", Withdraw(20_000))
    parent = bench.start(kind, "run", target, "--workers", "2")
    world.until(lambda: len(children(parent.pid)) == 2, "two processes run")
    crew = set(children(parent.pid))
    done = bench.directory / ("balances.db" if kind == "projection" else "notices.jsonl")
    world.until(done.exists, "they are at work")
    parent.kill()
    world.until(lambda: not any(alive(pid) for pid in crew), "the processes stopped")


def test_an_operator_looks_pauses_resets_and_resumes(bench: Bench, world: World) -> None:
    world.call(Bank, "a", Deposit(50))
    bench.start("projection", "run", BALANCES)
    world.until(lambda: bench.rows() == {"a": 50}, "the rows are there")
    refused = bench.says("projection", "reset", BALANCES, code=60)
    assert refused.startswith("kstate: balances is running (")
    bench.says("projection", "pause", BALANCES)
    found = [
        json.loads(x) for x in bench.says("projection", "status", BALANCES, "--json").splitlines()
    ]
    assert {each["state"] for each in found} == {"paused"}
    assert sum(each["offset"] for each in found) == 1
    bench.says("projection", "reset", BALANCES)
    assert bench.rows() == {}
    bench.says("projection", "resume", BALANCES)
    world.until(lambda: bench.rows() == {"a": 50}, "the rows are there again")
    shown = bench.says("projection", "status", BALANCES)
    assert shown.splitlines()[0].split() == ["partition", "offset", "end", "lag", "state", "owner"]
    assert "running" in shown


def test_a_rebuild_says_when_it_is_done(bench: Bench, world: World) -> None:
    world.call(Bank, "a", Deposit(50))
    assert bench.says("projection", "rebuild", BALANCES) == "the new tables are in place\n"
    assert bench.rows() == {"a": 50}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ("projection", "run", "processors.balances"),
            3,
            "names no projection: write module:Class",
        ),
        (("projection", "run", "nowhere:Balances"), 3, "nowhere cannot be imported"),
        (("projection", "run", "processors.bank:Bank"), 3, "has no projection 'Bank'"),
        (("handler", "run", "processors.bank:Bank"), 3, "has no event handler 'Bank'"),
        (("projection", "run", BALANCES, "--database", "mysql://x/y"), 3, "sqlite:///FILE or post"),
        (("projection", "run", BALANCES, "--database", "sqlite://"), 3, "must outlive its process"),
        (("projection", "run", BALANCES, "--prefix", "other-"), 32, "start a worker of other-bank"),
        (
            ("projection", "status", BALANCES, "--database", "sqlite:////nowhere/x.db"),
            60,
            "unable to open database file",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(
    bench: Bench, arguments: tuple[str, ...], code: int, told: str
) -> None:
    said = bench.says(*arguments, code=code)
    assert told in said.splitlines()[-1]


def test_the_notices_of_the_bank_are_written(bench: Bench, world: World) -> None:
    world.call(Bank, "a", Deposit(50_000))
    world.call(Bank, "a", Withdraw(10))
    world.call(Bank, "a", Withdraw(20_000))
    running = bench.start("handler", "run", NOTICES)
    outbox = bench.directory / "notices.jsonl"
    world.until(lambda: outbox.exists() and outbox.read_text().endswith("\n"), "it was written")
    assert [json.loads(each) for each in outbox.read_text().splitlines()] == [
        {"account": "a", "seq": 3, "amount": 20_000}
    ]
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, err


def test_the_balances_are_those_of_the_bank(bench: Bench, world: World) -> None:
    for _ in range(11):  # the tenth withdrawal costs a fee
        world.call(Bank, "a", Deposit(10))
        world.call(Bank, "a", Withdraw(5))
    world.call(Bank, "b", Deposit(7))
    world.call(Bank, "b", Withdraw(7))
    world.call(Bank, "b", Close())
    kinds = {type(each.event) for name in "ab" for each in world.client.events.by_id(Bank, name)}
    assert {Deposited, FeeCharged, Deleted} <= kinds
    bench.start("projection", "run", BALANCES)
    expected = {"a": world.state(Bank, "a").balance}
    world.until(lambda: bench.rows() == expected, "the rows are what the bank says")


def test_the_example_handler_is_one_that_stops_rather_than_lose_a_notice() -> None:
    assert Notices.on_error == "stop"
