"""What the processes and their journal say, once all is processed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import datetime

from demo.plain import PAST_SEQ, Figures, busiest, seq_of
from kstate import Client, StoredEvent
from kstate.core.messages import Record
from kstate.log.port import Log
from processors.flights import Aircraft, Flights

ASKING = 32  # calls under way at once
TIMEOUT_S = 30.0
READ_S = 0.2


@dataclass
class Answers:
    """Everything that is compared with the plain pass."""

    asked: dict[str, Figures]  # aircraft → its state, as its owner told it
    folded: dict[str, Figures]  # the same, folded from the journal
    seqs: dict[str, int]  # the seq of its last event
    events: int
    tags: Counter[str]
    late: list[StoredEvent]  # a query by tag
    carrier: str
    by_carrier: int  # a query by tag
    past_of: str
    past: Figures  # of the busiest aircraft, after `past_seq`
    past_seq: int
    dead_letters: Counter[str]  # by the type of their error


def ask(client: Client, log: Log, dead_letters: str) -> Answers:
    """Asks for everything."""
    folded, seqs = {}, {}
    for tail, seq, state in client.states(Flights).final():
        folded[tail], seqs[tail] = figures(state), seq
    with ThreadPoolExecutor(ASKING) as pool:
        states = pool.map(lambda tail: client.state(Flights, tail, timeout=TIMEOUT_S), folded)
        asked = {tail: figures(state) for tail, state in zip(folded, states, strict=True)}
    events, tags = _count(client.events.all(Flights))
    carrier = min(
        (tag for tag in tags if tag.startswith("carrier:")), key=lambda tag: (tags[tag], tag)
    )
    (top,) = busiest(asked, 1)
    past_seq = min(PAST_SEQ, seq_of(asked[top]))
    return Answers(
        asked=asked,
        folded=folded,
        seqs=seqs,
        events=events,
        tags=tags,
        late=list(client.events.by_tag(Flights, "late")),
        carrier=carrier,
        by_carrier=sum(1 for _ in client.events.by_tag(Flights, carrier)),
        past_of=top,
        past=figures(client.state(Flights, top, at_seq=past_seq)),
        past_seq=past_seq,
        dead_letters=Counter(map(_error_type, read_all(log, dead_letters))),
    )


def figures(state: Aircraft) -> Figures:
    """A state in the form of the plain pass."""
    found: Figures = {}
    for each in fields(Aircraft):
        value = getattr(state, each.name)
        if isinstance(value, datetime):
            value = value.strftime("%Y-%m-%dT%H:%M:%SZ")
        found[each.name] = value
    return found


def _count(events: Iterable[StoredEvent]) -> tuple[int, Counter[str]]:
    count, tags = 0, Counter[str]()
    for stored in events:
        count += 1
        tags.update(stored.tags)
    return count, tags


def _error_type(record: Record) -> str:
    return dict(record.headers).get("error-type", b"").decode()


def read_all(log: Log, topic: str) -> list[Record]:
    """Every committed record of a topic."""
    ends = {partition: each for partition, each in log.ends(topic).items() if each.end}
    left = {partition: each.end for partition, each in ends.items()}
    records: list[Record] = []
    reader = log.reader()
    try:
        reader.assign(topic, {partition: each.start for partition, each in ends.items()})
        while left:
            chunk = reader.poll(2_000, READ_S)
            records += chunk.records
            for partition, reached in chunk.ends.items():
                if reached >= left.get(partition, reached + 1):
                    del left[partition]
    finally:
        reader.close()
    return records
