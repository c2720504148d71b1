"""How long a partition is without an owner's answer: from its assignment to its first reply.

``python -m benchmarks.takeover [--events N] [--entities N] [--store NAME] [--log kafka|sqlite] …``

A bank's past is written by a plain producer (`benchmarks.past`).  A worker then takes all of its
partitions, each of which has one command waiting: with an empty store, with the store that this
left, and, from topics of their own, with no snapshots at all, the journal alone.  The seconds come
from runs without timers; the parts from runs with timers, whose own cost is measured and taken off.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from kstate.runtime.startup import prepare_topics
from kstate.store.memory import MemoryPartition
from kstate.store.rocksdb import RocksDBPartition
from kstate.store.sqlitedict import SqliteDictPartition
from kstate.testing.broker import broker
from kstate.wiring import build_workers, open_log
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
            place = Place(prefix, topics, Author(log, topics, past, self._policy).write())
        self._places.append(place)
        return place

    def take_over(self, place: Place, *, warm: bool, timed: bool = False) -> Measured:
        """A worker takes a place over; ``warm``: with the store that the last one left.

        Raises `Wrong` when it answers with another balance than the past comes to.
        """
        config = Config(
            log=self._url,
            prefix=place.prefix,
            data=self._directory / place.prefix,
            store=self._options.store,
            partitions=self._options.partitions,
            policy=self._policy,
        )
        if not warm:
            for store in config.data.glob("*/*/store"):
                shutil.rmtree(store)
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
        from confluent_kafka.admin import AdminClient

        names = [name for place in self._places for name in place.topics[:6]]
        if names:
            admin = AdminClient({"bootstrap.servers": self._url.removeprefix("kafka://")})
            for future in admin.delete_topics(names, operation_timeout=60).values():
                future.result()


# -- the report ----------------------------------------------------------------------------------


def report(bench: Bench, options: argparse.Namespace) -> Iterator[str]:
    """The lines of the report."""
    began = time.perf_counter()
    past = bench.place(options.events, snapshots=True)
    yield (
        f"{machine()}; {options.events:,} events of {options.entities:,} accounts on "
        f"{options.partitions} partitions of {options.log}, store {options.store}, "
        f"max_tail {options.max_tail:,}; written in {time.perf_counter() - began:.0f} s"
    )
    runs = {
        "empty store": bench.take_over(past, warm=False),
        "warm store": bench.take_over(past, warm=True),
    }
    timed = {
        "empty store": bench.take_over(past, warm=False, timed=True),
        "warm store": bench.take_over(past, warm=True, timed=True),
    }
    alone = min(options.events, options.partitions * options.max_tail)
    bare = bench.place(alone, snapshots=False)
    title = f"no snapshots, {alone:,} events"
    runs[title] = bench.take_over(bare, warm=False)
    timed[title] = bench.take_over(bare, warm=False, timed=True)
    yield ""
    yield f"| | {' | '.join(runs)} |"
    yield f"|---|{'--:|' * len(runs)}"
    yield _row("first answer, s", [f"{run.first_s:.2f}" for run in runs.values()])
    yield _row("answers of all partitions, s", [f"{run.last_s:.2f}" for run in runs.values()])
    for words, ending in (("snapshots", ".snapshots"), ("events", ".journal")):
        yield _row(f"{words} read", [f"{_read(run, ending):,}" for run in runs.values()])
    each = {
        name: 1e6 / max(1, _read(run, ".snapshots") + _read(run, ".journal"))
        for name, run in timed.items()
    }
    yield _row("µs per record", [f"{runs[name].last_s * us:.1f}" for name, us in each.items()])
    for key, words in {key: words for key, words, _, _ in PARTS}.items():
        cells = [f"{timed[name].timers.net_s(key) * us:.1f}" for name, us in each.items()]
        yield _row(f"– {words}", cells)


def _read(run: Measured, ending: str) -> int:
    return sum(count for topic, count in run.read.items() if topic.endswith(ending))


def _row(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def short(bench: Bench, options: argparse.Namespace) -> Iterator[str]:
    """Lines that say that all works; raises `Wrong` when a takeover does not know the past."""
    past = bench.place(options.events, snapshots=True)
    for title, warm in (("empty", False), ("warm", True)):
        run = bench.take_over(past, warm=warm)
        yield (
            f"{options.events:,} events, {title} store: {_read(run, '.snapshots')} snapshots and "
            f"{_read(run, '.journal')} events read, the balances are right"
        )


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
    parser.add_argument("--store", default="sqlitedict", help="sqlitedict, rocksdb or memory")
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
