"""More entities than memory is to hold: what a worker takes of it, how fast it is, how it begins.

``python -m benchmarks.entities [--entities 1000000] [--in-memory 50000] [--again 200000]``

Each account gets one deposit, then some get another one, in turn: the entity that is needed is
always one that left memory longest ago.  The worker is ``kstate run`` in a process of its own; its
memory is the peak of its resident set as Linux tells it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import machine
from benchmarks.workload import Place, Stage, Workload
from kstate.client import Client
from kstate.testing.broker import VARIABLE, broker
from kstate.wiring import connect
from processors.bank import Bank, Deposit

LOOK_S = 0.05
END_S = 60.0


class Step(NamedTuple):
    """What a number of commands took."""

    commands: int
    seconds: float

    @property
    def rate(self) -> float:
        """Commands per second."""
        return self.commands / self.seconds


class Result(NamedTuple):
    """One run."""

    first: Step  # of every account
    again: Step  # of accounts that had left memory
    peak_mib: float
    warm_s: float  # from the start of the process to the answer of every partition
    cold_s: float  # the same with an empty store
    cold_peak_mib: float


class Worker:
    """``kstate run`` on a place."""

    def __init__(self, bootstrap: str, place: Place, data: Path, options: argparse.Namespace):
        per_partition = max(1, options.in_memory // options.partitions)
        arguments = ["run", "processors.bank:Bank", "--log", f"kafka://{bootstrap}"]
        arguments += ["--data", str(data), "--store", options.store, "--log-level", "WARNING"]
        arguments += ["--max-entities", str(per_partition), "--batch-ms", "1000"]
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kstate.cli.main", *arguments],
            env={**os.environ, "KSTATE_PREFIX": place.prefix},
        )

    def peak_mib(self) -> float:
        """The largest resident set so far."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise OSError("the system does not tell the peak of a process's memory")

    def check(self) -> None:
        """Raises when it ended by itself."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the worker ended with exit code {self._process.returncode}")

    def stop(self) -> None:
        """Ends it cleanly."""
        self._process.terminate()
        self._process.wait(END_S)


class Bench:
    """A broker with a place of its own."""

    def __init__(self, stage: Stage, directory: Path, options: argparse.Namespace) -> None:
        self._stage = stage
        self._options = options
        self._data = directory / "data"
        self._place = stage.place(options.partitions)

    def run(self) -> Result:
        """All of it."""
        options = self._options
        accounts = Workload(options.entities, options.entities, options.partitions)
        with self._client() as client:
            self._stage.preload(self._place, accounts, asked=False)
            with self._worker() as worker:
                first = self._processed(worker, 0, options.entities)
                self._stage.preload(
                    self._place, accounts._replace(commands=options.again), asked=False
                )
                again = self._processed(worker, options.entities, options.entities + options.again)
                peak = worker.peak_mib()
            warm_s, _ = self._start(client)
            shutil.rmtree(self._data)
            cold_s, cold_peak = self._start(client)
        return Result(first, again, peak, warm_s, cold_s, cold_peak)

    def _client(self) -> Client:
        return connect(f"kafka://{self._stage.bootstrap}", prefix=self._place.prefix)

    @contextlib.contextmanager
    def _worker(self) -> Iterator[Worker]:
        worker = Worker(self._stage.bootstrap, self._place, self._data, self._options)
        try:
            yield worker
        finally:
            worker.stop()

    def _processed(self, worker: Worker, since: int, until: int) -> Step:
        """From the first commit after ``since`` commands to that of the command ``until``."""
        while (begun := self._stage.processed(self._place)) <= since:
            worker.check()
            time.sleep(LOOK_S)
        start = time.perf_counter()
        while (now := self._stage.processed(self._place)) < until:
            worker.check()
            time.sleep(LOOK_S)
        return Step(now - begun, time.perf_counter() - start)

    def _start(self, client: Client) -> tuple[float, float]:
        """Seconds until every partition has answered, and the peak of memory by then."""
        with self._worker() as worker:
            calls = [
                client.begin(Bank, f"acct-{number}", Deposit(1))
                for number in range(4 * self._options.partitions)
            ]
            for call in calls:
                client.wait(Bank, call, END_S * 10)
            return time.perf_counter() - worker.began, worker.peak_mib()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default=os.environ.get(VARIABLE), metavar="HOST:PORT")
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--in-memory", type=int, default=50_000, help="of all partitions together")
    parser.add_argument("--again", type=int, default=200_000, help="commands after the first round")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--store", default="sqlitedict", help="sqlitedict or rocksdb")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    with contextlib.ExitStack() as stack:
        bootstrap = options.bootstrap or stack.enter_context(broker())
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kstate-bench-"))
        stage = Stage(bootstrap)
        stack.callback(stage.remove)
        result = Bench(stage, Path(directory), options).run()
    print(
        f"{machine()}; {options.entities:,} accounts, {options.in_memory:,} in memory, "
        f"{options.partitions} partitions, store {options.store}\n\n"
        "| | |\n|---|---|\n"
        f"| first deposit on every account | {result.first.rate:,.0f}/s |\n"
        f"| another one on {result.again.commands:,} that had left memory "
        f"| {result.again.rate:,.0f}/s |\n"
        f"| memory, at most | {result.peak_mib:,.0f} MiB |\n"
        f"| start with its store, until every partition answered | {result.warm_s:.1f} s |\n"
        f"| start with an empty store | {result.cold_s:.1f} s, {result.cold_peak_mib:,.0f} MiB |"
    )


if __name__ == "__main__":
    main()
