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
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import libversion

from benchmarks.bare import BareLoop
from benchmarks.counting import CountingLog, Tally
from benchmarks.machine import machine
from benchmarks.roundtrips import round_trips
from benchmarks.timers import Timers
from benchmarks.workload import Place, Stage, Workload, compare
from kstate.codec.avro import AvroCodec
from kstate.config import Config
from kstate.core import runner
from kstate.core.shard import Shard
from kstate.log.kafka import KafkaLog
from kstate.log.kafka_member import KafkaMember
from kstate.log.kafka_transaction import Transactions
from kstate.runtime.partitions import Partitions
from kstate.testing.broker import broker
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
Run = Callable[[Place, int, bool], Tally]


class Rate(NamedTuple):
    """Seconds per command of all rounds, and the batch size they were taken at."""

    batch: int
    rounds: Sequence[float]

    @property
    def median_s(self) -> float:
        """The figure that counts."""
        return statistics.median(self.rounds)


class Bench:
    """The runs on one broker."""

    def __init__(self, stage: Stage, work: Workload, directory: Path) -> None:
        self.stage = stage
        self.work = work
        self._directory = directory
        self.loops: dict[str, Run] = {"bare": self.bare, "kstate": self.kstate}

    def bare(self, place: Place, batch: int, asked: bool) -> Tally:
        """Runs the bare loop through all commands of a place."""
        tally = Tally(self.work.commands)
        loop = BareLoop(self.stage.bootstrap, place.topics, batch, tally.count)
        tally.enough = loop.stop
        loop.run()
        return tally

    def kstate(self, place: Place, batch: int, asked: bool) -> Tally:
        """Runs a worker through all commands of a place."""
        log = KafkaLog(self.stage.bootstrap)
        config = Config(
            prefix=place.prefix,
            data=self._directory / place.prefix,
            batch_records=batch,
            batch_ms=BATCH_MS,
        )
        tally = Tally(self.work.commands)
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
        return tally

    def once(self, loop: str, batch: int, asked: bool) -> tuple[Place, float]:
        """A run on a place of its own: the place, and seconds per command."""
        place = self.stage.place(self.work.partitions)
        self.stage.preload(place, self.work, asked)
        gc.collect()  # what the last run left is not this one's cost
        return place, self.loops[loop](place, batch, asked).command_s

    def pair(self, batches: dict[str, int], asked: bool) -> dict[str, float]:
        """A run of each, in turn; raises `Different` unless they wrote the same records."""
        places: dict[str, Place] = {}
        seconds: dict[str, float] = {}
        for loop in self.loops:
            places[loop], seconds[loop] = self.once(loop, batches[loop], asked)
        written = {loop: self.stage.written(place) for loop, place in places.items()}
        same = compare(written["bare"], written["kstate"], self.work, asked)
        tell(f"{same:,} records are the same, byte for byte")
        return seconds

    def best_batches(self, sizes: Sequence[int], asked: bool) -> dict[str, int]:
        """The batch size at which each loop is fastest; the first runs warm the broker."""
        if len(sizes) == 1:
            return dict.fromkeys(self.loops, sizes[0])
        for loop in self.loops:
            self.once(loop, sizes[0], asked)
        found: dict[str, dict[int, float]] = {loop: {} for loop in self.loops}
        for size in sizes:
            for loop, rates in found.items():
                _, rates[size] = self.once(loop, size, asked)
                tell(f"{loop}, batches of {size:,}: {1 / rates[size]:,.0f}/s")
        return {loop: min(rates, key=rates.__getitem__) for loop, rates in found.items()}

    def rates(self, sizes: Sequence[int], rounds: int, asked: bool) -> dict[str, Rate]:
        """Both loops, interleaved, at their best batch sizes."""
        batches = self.best_batches(sizes, asked)
        pairs = []
        for _ in range(rounds):
            pairs.append(self.pair(batches, asked))
            tell(", ".join(f"{loop} {1 / each:,.0f}/s" for loop, each in pairs[-1].items()))
        return {loop: Rate(batches[loop], [pair[loop] for pair in pairs]) for loop in self.loops}

    def timed(self, batch: int, asked: bool) -> tuple[float, Timers]:
        """Seconds per command of a run of kstate with timers around the parts."""
        with contextlib.ExitStack() as stack:
            timers = Timers()
            for key, _, owner, names in PARTS:
                for name in names:
                    stack.enter_context(timers.around(key, owner, name))
            return self.once("kstate", batch, asked)[1], timers


def tell(words: str) -> None:
    """Says how far the benchmark is, beside the table."""
    print(words, file=sys.stderr, flush=True)
