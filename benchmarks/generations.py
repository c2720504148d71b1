"""How fast a journal of old versions is replayed, beside one of today's: a ratio.

``python -m benchmarks.generations [--records N] [--rounds N] [--short]``

The journals are those that the banks of 2024, of 2025 and of today left (`tests/generations`), each
under as many persist ids as make up the records asked for.  Today's bank folds them as a recovery
does, without the log that would be read, which costs the same for all: what is compared is the most
that old versions can cost.  The last rows hold nothing but records that pass an adapter.

All journals take turns, and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.machine import machine
from kstate.codec.avro import AvroCodec
from kstate.codec.schemas import load
from kstate.core.context import Machine
from kstate.core.messages import Record
from kstate.core.outgoing import Outgoing
from kstate.core.policy import Policy
from kstate.core.replay import Replay
from kstate.core.shard import Shard
from kstate.core.topics import Topics, event_key, parse_event_key
from kstate.processor import definition_of
from tests.generations import golden
from tests.generations.bank_today import Bank

TODAY = golden.GENERATIONS[-1]
ADAPTED = frozenset(
    name.encode() for adapter in Bank.adapters for name in adapter.reads or () if name != "Account"
)
"""The stored types that pass an adapter of events."""
SHORT = 4_000


class Journal(NamedTuple):
    """What is replayed, and what it is called."""

    title: str
    records: Sequence[Record]
    schemas: Sequence[Record]


class Measured(NamedTuple):
    """A journal's times: seconds for all of its records, round by round."""

    title: str
    records: int
    seconds: Sequence[float]

    @property
    def rate(self) -> float:
        """Records a second, in the median round."""
        return self.records / statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """The slowest and the fastest round, in records a second."""
        slowest, fastest = self.records / max(self.seconds), self.records / min(self.seconds)
        return f"{slowest:,.0f}–{fastest:,.0f}"


def journals(records: int) -> Iterator[Journal]:
    """Each generation's journal, and the adapted records of the old ones, all about as long."""
    kept = {name: golden.read(name).records for name in golden.GENERATIONS}
    for name, topics in kept.items():
        copied = copies(topics["journal"], records)
        yield Journal(f"of {name}", copied, topics["schemas"])
    for name, topics in kept.items():
        adapted = [each for each in topics["journal"] if dict(each.headers)["type"] in ADAPTED]
        if adapted:
            title = f"of {name}, adapted records alone"
            yield Journal(title, copies(renumbered(adapted), records), topics["schemas"])


def renumbered(records: Sequence[Record]) -> list[Record]:
    """The records with the seqs that they have without those between them."""
    seqs: dict[bytes, int] = {}
    found = []
    for record in records:
        key, _ = _parsed(record)
        seqs[key] = seqs.get(key, 0) + 1
        found.append(record._replace(key=event_key(key, seqs[key])))
    return found


def copies(records: Sequence[Record], count: int) -> list[Record]:
    """The records again and again under other persist ids, ``count`` of them or a few more, in one
    partition."""
    found: list[Record] = []
    copy = 0
    while len(found) < count:
        for record in records:
            key, seq = _parsed(record)
            new = event_key(b"%d-%b" % (copy, key), seq)
            found.append(record._replace(partition=0, offset=len(found), key=new))
        copy += 1
    return found


def _parsed(record: Record) -> tuple[bytes, int]:
    parsed = parse_event_key(record.key)
    if parsed is None:
        raise ValueError(f"{record.key!r} is no key of an event")
    return parsed


def replayed(journal: Journal) -> tuple[float, Shard]:
    """Seconds for the replay of a journal by today's bank, and what came of it."""
    definition = definition_of(Bank)
    codec = AvroCodec(definition)
    load(((each.key, each.value, each.headers) for each in journal.schemas), codec.book)
    topics = Topics.of(Bank.name)
    shard_machine = Machine(definition, codec, Policy())
    outgoing = Outgoing(shard_machine, 0, topics, {}, {}, 1)
    shard = Shard(shard_machine, 0, 1, topics, outgoing, lambda key: None, lambda key: ())
    replay = Replay(shard)
    gc.collect()
    began = time.perf_counter()
    for record in journal.records:
        replay.event(record)
    return time.perf_counter() - began, shard


def measure(made: Sequence[Journal], rounds: int) -> list[Measured]:
    """All journals in turn, ``rounds`` times."""
    times: Mapping[str, list[float]] = {each.title: [] for each in made}
    for _ in range(rounds):
        for each in made:
            times[each.title].append(replayed(each)[0])
    return [Measured(each.title, len(each.records), times[each.title]) for each in made]


def report(found: Sequence[Measured]) -> Iterator[str]:
    """The table, line by line."""
    rounds = len(found[0].seconds)
    today = next(each for each in found if each.title == f"of {TODAY}")
    each_had = f"about {today.records:,} records each; the median of {rounds} rounds in turn"
    yield f"{machine()}; {each_had}"
    yield ""
    yield "| journal | records/s | slowest and fastest round | µs per record | of today's speed |"
    yield "|---|--:|--:|--:|--:|"
    for each in found:
        ratio = each.rate / today.rate
        yield (
            f"| {each.title} | {each.rate:,.0f} | {each.spread} | {1e6 / each.rate:.1f} "
            f"| {ratio:.2f} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=100_000, help="per journal")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--short", action="store_true", help="a second or two, to see that it runs")
    options = parser.parse_args(arguments)
    records, rounds = (SHORT, 1) if options.short else (options.records, options.rounds)
    if records < 1 or rounds < 1:
        parser.error("--records and --rounds are 1 or more")
    for line in report(measure(list(journals(records)), rounds)):
        print(line)


if __name__ == "__main__":
    main()
