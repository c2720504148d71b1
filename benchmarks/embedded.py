"""What a command costs on the embedded log: deposits into a bank, read from a preloaded topic.

``python -m benchmarks.embedded [--commands N] [--partitions N] [--batch N] [--ids N] [--sync S]``

The headline comes from runs without timers.  A second run of each kind has timers around the parts;
their own cost is measured and taken off, and what the parts do not explain is told as the rest.
Between a run and the other lies what the machine was doing meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kstate
from benchmarks.counting import CountingLog, Tally
from benchmarks.machine import machine
from benchmarks.timers import Timers
from kstate.codec.avro import AvroCodec
from kstate.config import Config
from kstate.core import runner
from kstate.core.messages import Headers, Write
from kstate.core.shard import Shard
from kstate.core.topics import Topics
from kstate.log.embedded_member import EmbeddedMember
from kstate.log.port import Log
from kstate.processor import definition_of
from kstate.runtime.collector import relax_collector
from kstate.runtime.partitions import Partitions
from kstate.wiring import build_workers, open_log
from processors.bank import Bank, Deposit

PARTS: Sequence[tuple[str, str, Any, tuple[str, ...]]] = (
    ("poll", "poll", EmbeddedMember, ("poll",)),
    ("decode", "decode", AvroCodec, ("decode_command",)),
    ("handler", "handler, folds, reactions", runner, ("execute",)),
    ("encode", "encode", AvroCodec, ("encode_event", "encode_reply", "encode_snapshot")),
    ("step", "the rest of step", Shard, ("step",)),
    ("close", "close and settle the batch", Shard, ("close", "progress", "commit")),
    ("commit", "commit", EmbeddedMember, ("commit",)),
    ("store", "store", Partitions, ("_keep",)),
)
"""Key, words, where the functions are, and their names; a part's time is without its parts."""


class Bench:
    """One directory with a log, preloaded anew for each run."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self.options = options
        self._directory = directory
        self._runs = 0

    def _config(self) -> Config:
        self._runs += 1
        place = self._directory / str(self._runs)
        place.mkdir()
        return Config(
            log=f"sqlite:{place}/log.db?sync={self.options.sync}",
            data=place / "data",
            partitions=self.options.partitions,
            batch_records=self.options.batch,
        )

    def run(self, asked: bool) -> tuple[float, int]:
        """Seconds for all commands, from the first poll to the worker's end, and the batches."""
        config = self._config()
        log = open_log(config.log)
        try:
            tally = Tally(self.options.commands)
            made: Any = CountingLog(log, tally)
            (worker,) = build_workers(config, made, [Bank])
            self._preload(log, asked)
            tally.enough = worker.stop
            worker.run()
            ended = time.perf_counter()
            counts = worker.counts
        finally:
            log.close()
        assert counts.events == counts.commands == self.options.commands
        assert counts.replies == (self.options.commands if asked else 0)
        return ended - tally.began, tally.batches

    def _preload(self, log: Log, asked: bool) -> None:
        topics = Topics.of(Bank.name)
        codec = AvroCodec(definition_of(Bank))
        producer = log.producer()
        now = int(time.time() * 1000)
        for number in range(self.options.commands):
            headers: Headers = [("command-id", b"%032x" % number)]
            if asked:
                headers += [("reply-to", topics.replies.encode()), ("reply-partition", b"0")]
            key = b"acct-%d" % (number % self.options.ids)
            value = codec.encode_command(Bank.name, Deposit(1 + number % 100))
            producer.send(Write(topics.commands, None, key, value, headers, now))
        producer.flush(600)
        producer.close()

    def timed(self, asked: bool) -> tuple[float, Timers]:
        """A run with timers around the parts."""
        with contextlib.ExitStack() as stack:
            timers = Timers()
            for key, _, owner, names in PARTS:
                for name in names:
                    stack.enter_context(timers.around(key, owner, name))
            return self.run(asked)[0], timers

    def round_trips(self, count: int) -> list[float]:
        """Seconds of calls made one after another, sorted."""
        config = self._config()
        log = open_log(config.log)
        try:
            (worker,) = build_workers(config, log, [Bank])
            thread = threading.Thread(target=worker.run)
            thread.start()
            try:
                return sorted(self._calls(config.log, count))
            finally:
                worker.stop()
                thread.join()
        finally:
            log.close()

    def _calls(self, url: str, count: int) -> Iterator[float]:
        with kstate.connect(url) as client:
            for number in range(count + count // 10):
                began = time.perf_counter()
                client.call(Bank, f"acct-{number % self.options.ids}", Deposit(1))
                if number >= count // 10:  # the first ones warm up
                    yield time.perf_counter() - began


def table(bench: Bench) -> Iterator[str]:
    """The lines of the report."""
    options = bench.options
    yield (
        f"{machine()}; "
        f"{options.commands} deposits on {options.ids} accounts, {options.partitions} partitions, "
        f"batches of up to {options.batch}, sync={options.sync}"
    )
    columns = []
    for asked in (False, True):
        best = min(bench.run(asked) for _ in range(options.runs))
        columns.append((best, *bench.timed(asked)))
    yield ""
    yield "| | casts | calls |"
    yield "|---|--:|--:|"
    yield _row("commands/s", [f"{options.commands / best:,.0f}" for (best, _), _, _ in columns])
    each = 1e6 / options.commands
    yield _row("µs per command", [f"{best * each:.1f}" for (best, _), _, _ in columns])
    for key, words, _, _ in PARTS:
        yield _row(f"– {words}", [f"{timers.net_s(key) * each:.1f}" for _, _, timers in columns])
    timed = [(seconds - timers.cost_s()) * each for _, seconds, timers in columns]
    rest = [t - timers.total_s() * each for t, (_, _, timers) in zip(timed, columns, strict=True)]
    yield _row("– the rest: the loop", [f"{r:.1f}" for r in rest])
    yield _row("their sum: the run with timers, less their cost", [f"{t:.1f}" for t in timed])
    yield _row("batches", [str(batches) for (_, batches), _, _ in columns])
    trips = bench.round_trips(options.round_trips)
    p50, p99 = statistics.median(trips), trips[int(len(trips) * 0.99)]
    yield ""
    yield f"Round trip, one call at a time: p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms."


def _row(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--batch", type=int, default=Config().batch_records)
    parser.add_argument("--ids", type=int, default=1_000, help="accounts")
    parser.add_argument("--sync", choices=["full", "normal"], default="full")
    parser.add_argument("--runs", type=int, default=2, help="the best of so many counts")
    parser.add_argument("--round-trips", type=int, default=500)
    options = parser.parse_args()
    relax_collector()  # as `kstate run` does
    with tempfile.TemporaryDirectory(prefix="kstate-bench-") as directory:
        for line in table(Bench(Path(directory), options)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
