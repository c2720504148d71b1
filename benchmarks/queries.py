"""How fast a journal on Kafka is read, beside bare consumers: ratios.

``python -m benchmarks.queries [--events N] [--rounds N] [--partitions N] [--short]``

A bank's journal is written by a plain producer, one event in a hundred with a tag.  In turns:

* a bare consumer that decodes every value with fastavro, and `Events.all` of the bank's class;
* a bare consumer that looks for the tag in the headers, and `Events.by_tag`;
* the same query with an index that is up to date.

What is found is counted and must be right.  The median of the rounds counts.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import fastavro
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

import kstate
from benchmarks.machine import machine
from kstate.codec.avro import AvroCodec
from kstate.core.messages import Write
from kstate.core.partition import partition_for
from kstate.core.topics import Topics, event_key
from kstate.log.port import Log
from kstate.processor import definition_of
from kstate.runtime.collector import relax_collector
from kstate.runtime.startup import prepare_schemas, prepare_topics
from kstate.testing.broker import broker
from kstate.wiring import codec_of, open_log
from processors.bank import Bank, Deposited

EVENTS = 1_000_000
SHORT = 20_000
ACCOUNTS = 10_000
EVERY = 100
"""One event in so many has the tag."""
TAG = "large"
CHUNK = 2_000
FLUSH_S = 300.0
CONNECT_S = 10.0
HEADER_BYTES = 10  # of Avro's single-object encoding


class Wrong(Exception):
    """A reader did not find what is there."""


class Case(NamedTuple):
    """Two ways to the same events."""

    title: str
    bare: Callable[[], int]
    ours: Callable[[], int]
    expected: int


def main() -> None:
    """Measures and prints a table."""
    options = options_of()
    relax_collector()  # for both sides, as the command line does
    events = SHORT if options.short else options.events
    rounds = 1 if options.short else options.rounds
    with broker() as bootstrap, tempfile.TemporaryDirectory() as directory:
        url, prefix = f"kafka://{bootstrap}", f"queries-{uuid.uuid4().hex[:8]}-"
        topics = Topics.of(Bank.name, prefix)
        write(url, topics, options.partitions, events)
        with (
            kstate.connect(url, prefix=prefix) as scanning,
            kstate.connect(url, prefix=prefix, index=directory) as indexed,
        ):
            began = time.perf_counter()
            assert_found(by_tag(indexed), events // EVERY)
            built_s = time.perf_counter() - began
            bare = Bare(bootstrap, topics.journal, options.partitions)
            cases = [
                Case("every event, decoded", bare.decode, lambda: replay(scanning), events),
                Case("by tag", bare.scan, lambda: by_tag(scanning), events // EVERY),
                Case(
                    "by tag, with an index",
                    lambda: by_tag(scanning),
                    lambda: by_tag(indexed),
                    events // EVERY,
                ),
            ]
            found = measured(cases, rounds)
    show(events, rounds, options.partitions, cases, found, built_s)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=EVENTS, help=f"in the journal ({EVENTS:,})")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--partitions", type=int, default=4, help="of the journal (4)")
    parser.add_argument("--short", action="store_true", help="a look whether it works")
    return parser.parse_args(arguments)


def write(url: str, topics: Topics, partitions: int, events: int) -> None:
    """A journal of deposits, the newest of an account after the older ones."""
    log = open_log(url)
    try:
        prepare_topics(log, topics, partitions, partitions)
        codec, schemas = codec_of(log, topics, Bank)
        prepare_schemas(log, topics, schemas, partitions, int(time.time() * 1000))
        _fill(log, topics, codec, partitions, events)
    finally:
        log.close()


def _fill(log: Log, topics: Topics, codec: AvroCodec, partitions: int, events: int) -> None:
    values = [codec.encode_event(Deposited(amount)) for amount in range(1, 65)]
    keys = [b"acct-%d" % number for number in range(ACCOUNTS)]
    homes = [partition_for(key, partitions) for key in keys]
    now = int(time.time() * 1000)
    producer = log.producer()
    for number in range(events):
        account = number % ACCOUNTS
        headers = [
            ("type", b"Deposited"),
            ("command-id", b"%032x" % number),
            ("source", b"%d:%d" % (homes[account], number)),
        ]
        if number % EVERY == 0:
            headers.append(("tag", TAG.encode()))
        key = event_key(keys[account], number // ACCOUNTS + 1)
        value = values[number % len(values)]
        producer.send(Write(topics.journal, homes[account], key, value, headers, now))
    producer.flush(FLUSH_S)
    producer.close()


def replay(client: kstate.Client) -> int:
    """How many events there are, each of them decoded."""
    return sum(1 for _ in client.events.all(Bank))


def by_tag(client: kstate.Client) -> int:
    """How many events have the tag."""
    return sum(1 for _ in client.events.by_tag(Bank, TAG))


class Bare:
    """The same with confluent-kafka and fastavro alone."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions = partitions
        self._schema = fastavro.parse_schema(
            next(form.schema for form in AvroCodec(definition_of(Bank)).forms()
                 if form.type_name == "Deposited")
        )  # fmt: skip

    def decode(self) -> int:
        """Every value, decoded."""
        read, schema, count = fastavro.schemaless_reader, self._schema, 0
        for message in self._messages():
            read(io.BytesIO(message.value()[HEADER_BYTES:]), schema)
            count += 1
        return count

    def scan(self) -> int:
        """The messages with the tag in their headers."""
        wanted = ("tag", TAG.encode())
        return sum(1 for message in self._messages() if wanted in message.headers())

    def _messages(self) -> Iterator[Message]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": uuid.uuid4().hex,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            # or librdkafka would look for the leaders a second later
            consumer.list_topics(self._topic, timeout=CONNECT_S)
            consumer.assign([TopicPartition(self._topic, p, 0) for p in range(self._partitions)])
            left = self._partitions
            while left:
                for message in consumer.consume(CHUNK, 0.1):
                    if message.error() is None:
                        yield message
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        left -= 1
                    else:
                        raise Wrong(message.error().str())
        finally:
            consumer.close()


def assert_found(found: int, expected: int) -> None:
    """Raises `Wrong` when something is missing."""
    if found != expected:
        raise Wrong(f"{found:,} events were found, not {expected:,}")


def measured(cases: Sequence[Case], rounds: int) -> list[tuple[float, float]]:
    """The seconds of both ways of each case: medians of rounds in which all take turns."""
    seconds: list[tuple[list[float], list[float]]] = [([], []) for _ in cases]
    for _ in range(rounds):
        for case, (bare_s, ours_s) in zip(cases, seconds, strict=True):
            for way, kept in ((case.bare, bare_s), (case.ours, ours_s)):
                began = time.perf_counter()
                found = way()
                kept.append(time.perf_counter() - began)
                assert_found(found, case.expected)
    return [(statistics.median(bare_s), statistics.median(ours_s)) for bare_s, ours_s in seconds]


def show(
    events: int,
    rounds: int,
    partitions: int,
    cases: Sequence[Case],
    found: Sequence[tuple[float, float]],
    built_s: float,
) -> None:
    """Prints the table as the README has it."""
    print(f"{machine()}; {events:,} events on {partitions} partitions, median of {rounds}\n")
    print("| query | beside | its events/s | kstate's events/s | ratio |")
    print("|---|---|---:|---:|---:|")
    for case, (bare_s, ours_s) in zip(cases, found, strict=True):
        beside = "the scan" if "index" in case.title else "a bare consumer"
        rates = f"{events / bare_s:,.0f} | {events / ours_s:,.0f}"
        print(f"| {case.title} | {beside} | {rates} | {bare_s / ours_s:.2f} |")
    print(f"\nThe index was built in {built_s:.1f} s.")


if __name__ == "__main__":
    main()
