"""How long a partition is without an owner's answer: from its assignment to its first reply.

``python -m benchmarks.takeover [--events N] [--entities N] [--store NAME …] [--log …] …``

A bank's past is written by a plain producer (`benchmarks.past`).  A worker then takes all of its
partitions, each of which has one command waiting: with an empty store, with the store that this
left, and, from topics of their own, with no snapshots at all, the journal alone.  The seconds are
medians of runs without timers; the parts come from one run with timers, whose own cost is measured
and taken off.  On Kafka, workers are killed at last (`benchmarks.failover`).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import statistics
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.failover import Answers, Pair
from benchmarks.machine import machine
from benchmarks.past import Author, Left, Past
from benchmarks.timers import Timers
from benchmarks.watching import Watch, WatchingLog
from kstate.codec.avro import AvroCodec
from kstate.config import Config
from kstate.core.context import Machine
from kstate.core.messages import GetState, Write
from kstate.core.partition import partition_for
from kstate.core.policy import Policy
from kstate.core.replay import Replay
from kstate.core.topics import Topics
from kstate.log.embedded_reader import EmbeddedReader
from kstate.log.kafka_reader import KafkaReader
from kstate.log.port import Log
from kstate.processor import definition_of
from kstate.runtime.collector import relax_collector
from kstate.runtime.recovery import Recovery
from kstate.runtime.snapshots import Snapshots
from kstate.runtime.startup import prepare_schemas, prepare_topics
from kstate.store.memory import MemoryPartition
from kstate.store.rocksdb import RocksDBPartition
from kstate.store.sqlitedict import SqliteDictPartition
from kstate.testing.broker import administrator, broker
from kstate.wiring import build_workers, codec_of, open_log
from processors.bank import Bank

PARTS: Sequence[tuple[str, str, Any, tuple[str, ...]]] = (
    ("read", "read the log", EmbeddedReader, ("assign", "poll")),
    ("read", "read the log", KafkaReader, ("assign", "poll")),
    ("decode", "decode events and snapshots", AvroCodec, ("decode_event", "decode_snapshot")),
    ("fold", "fold", Machine, ("fold",)),
    ("window", "dedup window", Replay, ("_remember",)),
    ("store", "store", MemoryPartition, ("apply", "get")),
    ("store", "store", SqliteDictPartition, ("apply", "get")),
    ("store", "store", RocksDBPartition, ("apply", "get")),
    ("take", "the rest of the snapshots", Snapshots, ("apply",)),
    ("replay", "the rest of the events", Replay, ("event",)),
    ("recover", "the rest of the recovery", Recovery, ("advance",)),
)
"""Key, words, where the functions are, and their names; a part's time is without its parts."""


class Wrong(Exception):
    """A worker that took over does not know what there was."""


class Place(NamedTuple):
    """A bank's topics with a past."""

    prefix: str
    topics: Topics
    left: Mapping[int, Left]


class Measured(NamedTuple):
    """One takeover."""

    first_s: float  # from assignment to the first partition's answer
    last_s: float  # to the last one's
    read: Counter[str]  # topic → records
    timers: Timers


class Bench:
    """A log with pasts, and workers that take them over."""

    def __init__(self, url: str, directory: Path, options: argparse.Namespace) -> None:
        self._url = url
        self._directory = directory
        self._options = options
        self._policy = Policy(max_tail=options.max_tail)
        self._name = f"bench-{uuid.uuid4().hex[:8]}"
        self._places: list[Place] = []

    def place(self, events: int, snapshots: bool) -> Place:
        """New topics with a past of so many events."""
        options = self._options
        prefix = f"{self._name}-{len(self._places)}-"
        topics = Topics.of(Bank.name, prefix)
        past = Past(events, options.entities, options.partitions, snapshots)
        with contextlib.closing(open_log(self._url)) as log:
            prepare_topics(log, topics, options.partitions, options.partitions)
            schemas = codec_of(log, topics, Bank)[1]
            prepare_schemas(log, topics, schemas, options.partitions, int(time.time() * 1000))
            place = Place(prefix, topics, Author(log, topics, past, self._policy).write())
        self._places.append(place)
        return place

    def take_over(self, place: Place, store: str, *, warm: bool, timed: bool = False) -> Measured:
        """A worker takes a place over; ``warm``: with the store that the last one left.

        Raises `Wrong` when it answers with another balance than the past comes to.
        """
        config = Config(
            log=self._url,
            prefix=place.prefix,
            data=self._directory / place.prefix / store,
            store=store,
            partitions=self._options.partitions,
            policy=self._policy,
        )
        if not warm:
            for kept in config.data.glob("*/*/store"):
                shutil.rmtree(kept)
        log = open_log(self._url)
        with contextlib.ExitStack() as stack:
            stack.callback(log.close)
            watch = Watch(place.left, place.topics.replies)
            made: Any = WatchingLog(log, watch)
            timers = Timers()
            if timed:
                for key, _, owner, names in PARTS:
                    for name in names:
                        stack.enter_context(timers.around(key, owner, name))
            (worker,) = build_workers(config, made, [Bank])
            self._ask(log, place)
            watch.answered_all = worker.stop
            worker.run()
        self._check(place, watch)
        answers = sorted(watch.answered.values())
        return Measured(
            answers[0] - watch.assigned_s, answers[-1] - watch.assigned_s, watch.read, timers
        )

    def kill(self, place: Place, store: str, standby: str, kills: int) -> list[Answers]:
        """What it took the other one of two workers to answer for the one that was killed."""
        directory = self._directory / place.prefix / f"pair-{store}-{standby}"
        directory.mkdir(parents=True)
        balances = {number: left.balances for number, left in place.left.items()}
        return Pair(self._url, place.prefix, balances, directory).run(store, standby, kills)

    def _ask(self, log: Log, place: Place) -> None:
        """One question on each partition, for the state of an account there."""
        codec = AvroCodec(definition_of(Bank))
        value = codec.encode_command(Bank.name, GetState())
        producer = log.producer()
        now = int(time.time() * 1000)
        for number, left in place.left.items():
            persist_id = next(iter(left.balances))
            headers = [
                ("command-id", uuid.uuid4().hex.encode()),
                ("reply-to", place.topics.replies.encode()),
                ("reply-partition", b"0"),
            ]
            assert partition_for(persist_id.encode(), len(place.left)) == number
            commands = place.topics.commands
            producer.send(Write(commands, number, persist_id.encode(), value, headers, now))
        producer.flush(60)
        producer.close()

    def _check(self, place: Place, watch: Watch) -> None:
        codec = AvroCodec(definition_of(Bank))
        told = Counter(codec.decode_state(value).balance for value in watch.replies)
        known = Counter(next(iter(left.balances.values())) for left in place.left.values())
        if told != known:
            raise Wrong(f"the balances answered are {dict(told)}, the past comes to {dict(known)}")

    def remove(self) -> None:
        """Deletes the topics of all places."""
        if not self._url.startswith("kafka:"):
            return  # its file is in the directory

        names = [name for place in self._places for name in place.topics[:6]]
        if names:
            admin = administrator(self._url.removeprefix("kafka://"))
            for future in admin.delete_topics(names, operation_timeout=60).values():
                future.result()


# -- the report ----------------------------------------------------------------------------------


def report(bench: Bench, options: argparse.Namespace) -> Iterator[str]:
    """The lines of the report."""
    began = time.perf_counter()
    past = bench.place(options.events, snapshots=True)
    yield (
        f"{machine()}; {options.events:,} events of {options.entities:,} accounts on "
        f"{options.partitions} partitions of {options.log}, max_tail {options.max_tail:,}; "
        f"written in {time.perf_counter() - began:.0f} s; medians of {options.rounds} rounds"
    )
    alone = min(options.events, options.partitions * options.max_tail)
    bare = bench.place(alone, snapshots=False)
    for store in options.store:
        yield ""
        yield from _restarts(bench, past, bare, f"no snapshots, {alone:,} events", store, options)
    if options.log == "kafka" and options.kills:
        yield ""
        yield from _kills(bench, past, options)


def _restarts(
    bench: Bench, past: Place, bare: Place, alone: str, store: str, options: argparse.Namespace
) -> Iterator[str]:
    """One worker and one kind of store."""
    kinds = {"empty store": (past, False), "warm store": (past, True), alone: (bare, False)}
    runs: dict[str, list[Measured]] = {title: [] for title in kinds}
    for _ in range(options.rounds):
        for title, (place, warm) in kinds.items():
            runs[title].append(bench.take_over(place, store, warm=warm))
    timed = {
        title: bench.take_over(place, store, warm=warm, timed=True)
        for title, (place, warm) in kinds.items()
    }
    yield f"| `{store}` | {' | '.join(runs)} |"
    yield f"|---|{'--:|' * len(runs)}"
    firsts = [statistics.median(run.first_s for run in each) for each in runs.values()]
    yield _row("first answer, s", [f"{first:.2f}" for first in firsts])
    lasts = {name: statistics.median(run.last_s for run in each) for name, each in runs.items()}
    yield _row("answers of all partitions, s", [f"{last:.2f}" for last in lasts.values()])
    for words, ending in (("snapshots", ".snapshots"), ("events", ".journal")):
        yield _row(f"{words} read", [f"{_read(run, ending):,}" for run in timed.values()])
    each = {
        name: 1e6 / max(1, _read(run, ".snapshots") + _read(run, ".journal"))
        for name, run in timed.items()
    }
    yield _row("µs per record", [f"{lasts[name] * us:.1f}" for name, us in each.items()])
    for key, words in {key: words for key, words, _, _ in PARTS}.items():
        cells = [f"{timed[name].timers.net_s(key) * us:.1f}" for name, us in each.items()]
        yield _row(f"– {words}", cells)


def _kills(bench: Bench, past: Place, options: argparse.Namespace) -> Iterator[str]:
    """Two workers, of which one is killed."""
    store = options.store[0]
    yield f"| kill -9 of one of two workers, {options.kills} times | median | longest |"
    yield "|---|--:|--:|"
    for standby in ("0", "all"):
        found = bench.kill(past, store, standby, options.kills)
        for words, took in (
            ("first answer of its partitions, s", [each.first_s for each in found]),
            ("answers of all its partitions, s", [each.last_s for each in found]),
        ):
            cells = [f"{statistics.median(took):.2f}", f"{max(took):.2f}"]
            yield _row(f"`standby = {standby}`: {words}", cells)


def _read(run: Measured, ending: str) -> int:
    return sum(count for topic, count in run.read.items() if topic.endswith(ending))


def _row(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def short(bench: Bench, options: argparse.Namespace) -> Iterator[str]:
    """Lines that say that all works; raises `Wrong` when a takeover does not know the past."""
    past = bench.place(options.events, snapshots=True)
    (store,) = options.store
    for title, warm in (("empty", False), ("warm", True)):
        run = bench.take_over(past, store, warm=warm)
        yield (
            f"{options.events:,} events, {title} store: {_read(run, '.snapshots')} snapshots and "
            f"{_read(run, '.journal')} events read, the balances are right"
        )
    if options.log == "kafka":
        bench.kill(past, store, "all", 1)
        yield "after a kill -9 the other worker answers with the right balances"


# -- the command line ----------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--entities", type=int, default=10_000, help="accounts")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--max-tail", type=int, default=Policy().max_tail, help="as the setting")
    parser.add_argument(
        "--store", nargs="+", default=["sqlitedict"], help="of sqlitedict, rocksdb and memory"
    )
    parser.add_argument("--rounds", type=int, default=3, help="restarts of each kind")
    parser.add_argument("--kills", type=int, default=10, help="of workers, with each standby")
    parser.add_argument("--log", choices=["kafka", "sqlite"], default="kafka")
    parser.add_argument("--bootstrap", help="HOST:PORT of a broker; without it one is started")
    parser.add_argument("--short", action="store_true", help="a few seconds, no table")
    options = parser.parse_args(arguments)
    if options.short:
        options.events, options.entities, options.partitions = 6_000, 40, 2
        options.max_tail = 1_000
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    relax_collector()  # as `kstate run` does
    # that a topic has one replica is no news here; what workers have to tell is
    logging.getLogger("kstate.worker").addFilter(lambda record: record.module != "startup")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kstate-bench-")))
        if options.log == "kafka":
            url = f"kafka://{options.bootstrap or stack.enter_context(broker())}"
        else:
            url = f"sqlite:{directory}/log.db?sync=normal"
        bench = Bench(url, directory, options)
        stack.callback(bench.remove)
        for line in (short if options.short else report)(bench, options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
