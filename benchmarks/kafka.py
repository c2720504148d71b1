"""What a command costs on Kafka: kstate and a bare loop, side by side on one broker.

``python -m benchmarks.kafka [--bootstrap HOST:PORT] [--short]``

Both loops make the same deposits and write the same records, which is checked after every pair of
runs.  They run in turn; the median of the rounds counts, each loop at the batch size that suits it.
Without ``--bootstrap`` a broker is started (`kstate.testing.broker`).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import libversion

from benchmarks.bare import BareLoop
from benchmarks.counting import CountingLog, Measured, Tally
from benchmarks.machine import machine
from benchmarks.roundtrips import round_trips
from benchmarks.timers import Timers
from benchmarks.workload import Place, Stage, Workload, compare
from kstate.codec.avro import AvroCodec
from kstate.config import Config
from kstate.core import runner
from kstate.core.policy import Policy
from kstate.core.shard import Shard
from kstate.log.kafka import KafkaLog
from kstate.log.kafka_member import KafkaMember
from kstate.log.kafka_transaction import Transactions
from kstate.runtime.collector import relax_collector
from kstate.runtime.partitions import Partitions
from kstate.testing.broker import VARIABLE, broker
from kstate.testing.kafka_local import KAFKA_VERSION
from kstate.wiring import build_workers
from processors.bank import Bank

PARTS: Sequence[tuple[str, str, Any, tuple[str, ...]]] = (
    ("consume", "poll: librdkafka's part", KafkaMember, ("_consume",)),
    ("poll", "poll: messages to records", KafkaMember, ("poll",)),
    ("decode", "decode", AvroCodec, ("decode_command",)),
    ("handler", "handler, folds, reactions", runner, ("execute",)),
    ("encode", "encode", AvroCodec, ("encode_event", "encode_reply", "encode_snapshot")),
    ("step", "the rest of step", Shard, ("step",)),
    ("close", "close and settle the batch", Shard, ("close", "progress", "commit")),
    ("check", "commit: sizes and partitions", KafkaMember, ("_check_writes",)),
    ("produce", "commit: produce", Transactions, ("_produce",)),
    ("commit", "commit: the transaction", KafkaMember, ("commit",)),
    ("store", "store", Partitions, ("_keep",)),
)
"""Key, words, where the functions are, and their names; a part's time is without its parts."""

BATCH_MS = 5_000
"""A batch is to be closed by its count, which is what is compared."""
FORMS = {"casts": False, "calls": True}
Run = Callable[[Place, int, bool, Tally], None]


class Rate(NamedTuple):
    """All rounds of a loop, and the batch size they were taken at."""

    batch: int
    rounds: Sequence[Measured]

    @property
    def command_us(self) -> float:
        """The median of the microseconds per command."""
        return statistics.median(each.command_us for each in self.rounds)

    @property
    def cpu_us(self) -> float:
        """The median of the microseconds of processor time per command."""
        return statistics.median(each.cpu_us for each in self.rounds)


class Timed(NamedTuple):
    """A run with timers."""

    measured: Measured
    timers: Timers

    def _each_us(self, seconds: float) -> float:
        return seconds * 1e6 / self.measured.commands

    def part_us(self, key: str) -> float:
        """Microseconds per command of a part."""
        return self._each_us(self.timers.net_s(key))

    @property
    def total_us(self) -> float:
        """Microseconds per command of all, less what the timers cost."""
        return self.measured.command_us - self._each_us(self.timers.cost_s())

    @property
    def rest_us(self) -> float:
        """Microseconds per command that the parts do not explain."""
        return self.total_us - self._each_us(self.timers.total_s())


class Bench:
    """The runs on one broker."""

    def __init__(self, stage: Stage, work: Workload, directory: Path) -> None:
        self.stage = stage
        self.work = work
        self._directory = directory
        self.loops: dict[str, Run] = {"bare": self.bare, "kstate": self.kstate}

    def bare(self, place: Place, batch: int, asked: bool, tally: Tally) -> None:
        """Runs the bare loop through all commands of a place."""
        loop = BareLoop(self.stage.bootstrap, place.topics, batch, tally.count)
        tally.enough = loop.stop
        loop.run()

    def kstate(self, place: Place, batch: int, asked: bool, tally: Tally) -> None:
        """Runs a worker through all commands of a place."""
        log = KafkaLog(self.stage.bootstrap)
        config = Config(
            prefix=place.prefix,
            data=self._directory / place.prefix,
            batch_records=batch,
            batch_ms=BATCH_MS,
            # the bare loop has no tail to shorten: no snapshots here, however long the run
            policy=Policy(max_tail=2 * self.work.commands),
        )
        made: Any = CountingLog(log, tally)
        try:
            (worker,) = build_workers(config, made, [Bank])
            tally.enough = worker.stop
            worker.run()
        finally:
            log.close()
        counts = worker.counts
        assert counts.events == counts.commands == self.work.commands
        assert counts.replies == (self.work.commands if asked else 0)

    def once(
        self, loop: str, batch: int, asked: bool, first: Callable[[], None] = lambda: None
    ) -> tuple[Place, Tally]:
        """A run on a place of its own; ``first`` is called after its first commit."""
        place = self.stage.place(self.work.partitions)
        self.stage.preload(place, self.work, asked)
        tally = Tally(self.work.commands)
        tally.first = first
        gc.collect()  # what the last run left is not this one's cost
        self.loops[loop](place, batch, asked, tally)
        return place, tally

    def pair(self, batches: dict[str, int], asked: bool) -> dict[str, Measured]:
        """A run of each, in turn; raises `Different` unless they wrote the same records."""
        places: dict[str, Place] = {}
        measured: dict[str, Measured] = {}
        for loop in self.loops:
            places[loop], tally = self.once(loop, batches[loop], asked)
            measured[loop] = tally.measured
        written = {loop: self.stage.written(place) for loop, place in places.items()}
        same = compare(written["bare"], written["kstate"], self.work, asked)
        tell(f"{same:,} records are the same, byte for byte")
        return measured

    def best_batches(self, sizes: Sequence[int], asked: bool) -> dict[str, int]:
        """The batch size at which each loop is fastest; the first runs warm the broker."""
        for loop in self.loops:
            self.once(loop, sizes[0], asked)
        if len(sizes) == 1:
            return dict.fromkeys(self.loops, sizes[0])
        found: dict[str, dict[int, Measured]] = {loop: {} for loop in self.loops}
        for size in sizes:
            for loop, rates in found.items():
                rates[size] = self.once(loop, size, asked)[1].measured
                tell(f"{loop}, batches of {size:,}: {rates[size].rate:,.0f}/s")
        return {
            loop: max(rates, key=lambda size: rates[size].rate) for loop, rates in found.items()
        }

    def rates(self, sizes: Sequence[int], rounds: int, asked: bool) -> dict[str, Rate]:
        """Both loops, interleaved, at their best batch sizes."""
        batches = self.best_batches(sizes, asked)
        pairs = []
        for _ in range(rounds):
            pairs.append(self.pair(batches, asked))
            tell(", ".join(f"{loop} {each.rate:,.0f}/s" for loop, each in pairs[-1].items()))
        return {loop: Rate(batches[loop], [pair[loop] for pair in pairs]) for loop in self.loops}

    def timed(self, batch: int, asked: bool) -> Timed:
        """A run of kstate with timers around the parts, from the first commit on."""
        with contextlib.ExitStack() as stack:
            timers = Timers()
            for key, _, owner, names in PARTS:
                for name in names:
                    stack.enter_context(timers.around(key, owner, name))
            _, tally = self.once("kstate", batch, asked, timers.clear)
            return Timed(tally.measured, timers)


def tell(words: str) -> None:
    """Says how far the benchmark is, beside the table."""
    print(words, file=sys.stderr, flush=True)


# -- the report ----------------------------------------------------------------------------------


def report(bench: Bench, options: argparse.Namespace) -> Iterator[str]:
    """The lines of the tables, in Markdown."""
    rates = {
        form: bench.rates(options.batches, options.rounds, asked) for form, asked in FORMS.items()
    }
    parts = {form: bench.timed(rates[form]["kstate"].batch, FORMS[form]) for form in FORMS}
    work = bench.work
    yield (
        f"{machine()}, librdkafka {libversion()[0]}, Kafka {options.kafka_version}; "
        f"{work.commands:,} deposits on {work.ids:,} accounts, {work.partitions} partitions, "
        f"exactly once; the median of {options.rounds} rounds in turn"
    )
    yield ""
    yield from _rates(rates)
    yield ""
    yield from _trips(round_trips(bench.stage, work.partitions, options.round_trips))
    yield ""
    yield from _parts(parts)


def _rates(rates: dict[str, dict[str, Rate]]) -> Iterator[str]:
    columns = [rates[form][loop] for form in FORMS for loop in ("bare", "kstate")]
    yield "| | casts, bare loop | casts, kstate | calls, bare loop | calls, kstate |"
    yield "|---|--:|--:|--:|--:|"
    yield _row("commands/s", [f"{1e6 / each.command_us:,.0f}" for each in columns])
    ratios = [rates[form]["bare"].command_us / rates[form]["kstate"].command_us for form in FORMS]
    yield _row("kstate / bare loop", ["", f"{ratios[0]:.2f}", "", f"{ratios[1]:.2f}"])
    spans = [sorted(measured.rate for measured in each.rounds) for each in columns]
    yield _row("slowest and fastest round", [f"{s[0]:,.0f}–{s[-1]:,.0f}" for s in spans])
    yield _row("µs per command", [f"{each.command_us:.1f}" for each in columns])
    yield _row("of processor time, all threads", [f"{each.cpu_us:.1f}" for each in columns])
    yield _row("commands per transaction", [f"{each.batch:,}" for each in columns])


def _trips(trips: Mapping[str, Sequence[float]]) -> Iterator[str]:
    yield "| one call at a time | bare loop | kstate | kstate / bare loop |"
    yield "|---|--:|--:|--:|"
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        figures = [trips[loop][int(len(trips[loop]) * share)] for loop in ("bare", "kstate")]
        cells = [f"{seconds * 1e3:.1f}" for seconds in figures]
        yield _row(f"{name}, ms", [*cells, f"{figures[1] / figures[0]:.2f}"])


def _parts(runs: dict[str, Timed]) -> Iterator[str]:
    yield f"| kstate by part, µs per command | {' | '.join(runs)} |"
    yield "|---|--:|--:|"
    for key, words, _, _ in PARTS:
        yield _row(words, [f"{run.part_us(key):.1f}" for run in runs.values()])
    yield _row("the rest: the loop", [f"{run.rest_us:.1f}" for run in runs.values()])
    yield _row("their sum", [f"{run.total_us:.1f}" for run in runs.values()])


def _row(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def short(bench: Bench, batch: int, trips: int) -> Iterator[str]:
    """Lines that say that all works: a pair of runs in each form, and a few round trips.

    Raises `Different` unless both loops write the same records.
    """
    for form, asked in FORMS.items():
        measured = bench.pair(dict.fromkeys(bench.loops, batch), asked)
        rates = ", ".join(f"{loop} {each.rate:,.0f}/s" for loop, each in measured.items())
        yield f"{bench.work.commands:,} {form}: the same records, byte for byte; {rates}"
    yield from _trips(round_trips(bench.stage, bench.work.partitions, trips))


# -- the command line ----------------------------------------------------------------------------

SHORT = Workload(commands=5_000, ids=500, partitions=4)
SHORT_BATCH = 1_000
SHORT_TRIPS = 20


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bootstrap", help="HOST:PORT of a broker; without it one is started")
    parser.add_argument("--commands", type=int, default=400_000)
    parser.add_argument("--ids", type=int, default=10_000, help="accounts")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many counts")
    parser.add_argument(
        "--batches",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[1_000, 2_000, 5_000, 10_000, 20_000],
        help="sizes to try, with commas between; with one size nothing is tried",
    )
    parser.add_argument("--round-trips", type=int, default=500)
    parser.add_argument(
        "--kafka-version", help="said in the table; known of a broker that was started for this"
    )
    parser.add_argument("--short", action="store_true", help="a few seconds, no table")
    options = parser.parse_args(arguments)
    if options.kafka_version is None:
        given = options.bootstrap or os.environ.get(VARIABLE)
        options.kafka_version = "of an unknown version" if given else KAFKA_VERSION
    if options.commands >= options.ids * Bank.snapshot_every:
        parser.error("so many deposits on an account lead to snapshots, which only kstate makes")
    if max(options.batches) * 2 > options.commands and not options.short:
        parser.error("--commands must be at least twice the largest of --batches")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    relax_collector()  # as `kstate run` does; the bare loop gains from it, too
    # that a topic has one replica is no news here; what workers have to tell is
    logging.getLogger("kstate.worker").addFilter(lambda record: record.module != "startup")
    work = SHORT if options.short else Workload(options.commands, options.ids, options.partitions)
    with contextlib.ExitStack() as stack:
        bootstrap = options.bootstrap or stack.enter_context(broker())
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kstate-bench-"))
        stage = Stage(bootstrap)
        stack.callback(stage.remove)
        bench = Bench(stage, work, Path(directory))
        lines = short(bench, SHORT_BATCH, SHORT_TRIPS) if options.short else report(bench, options)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
