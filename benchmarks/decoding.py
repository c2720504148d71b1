"""What it costs to decode an event, beside fastavro's reader and a constructor written by hand.

``python -m benchmarks.decoding [--short]``

The *bare* reader is what a program without kstate would write: `fastavro.schemaless_reader` on the
datum, and the dataclass made of the dict.  kstate gets the whole value, finds the schema by its
fingerprint, and checks what fastavro does not (see ``docs/guarantees.md``).  Both are timed by
turns in the same process; each figure is the median of the rounds, and the ratio is the median of
the rounds' ratios, so that a machine that grows slow slows both.
"""

from __future__ import annotations

import argparse
import datetime
import io
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from benchmarks.machine import machine
from kstate import Command, Context, EventAdapter, Processor, Stored, command, event
from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.derive import Scale
from kstate.codec.writers import header
from kstate.processor import definition_of

ROUNDS, EACH = 41, 5_000
SHORT_ROUNDS, SHORT_EACH = 5, 200


@dataclass(frozen=True)
class Flat:
    amount: int
    who: str
    rate: float


@dataclass(frozen=True)
class Money:
    amount: Annotated[Decimal, Scale(2)]
    currency: str


@dataclass(frozen=True)
class Nested:
    number: int
    price: Money
    at: datetime.datetime


@dataclass(frozen=True)
class Line:
    article: str
    count: int


@dataclass(frozen=True)
class Listed:
    number: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Node:
    value: int
    next: Node | None = None
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Planted:
    tree: Node


@dataclass(frozen=True)
class Renewed:
    amount: int
    who: str
    rate: float
    note: str = ""


@dataclass(frozen=True)
class Converted:
    amount: int
    who: str
    rate: float


class _Cents(EventAdapter):
    """Reads what was written in cents."""

    reads = ("Converted",)

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        if "cents" not in stored.data:
            yield stored
            return
        data = dict(stored.data)
        data["amount"] = data.pop("cents") // 100
        yield Stored("Converted", data)


@dataclass(frozen=True)
class Seen:
    """The state: nothing here folds."""


@dataclass(frozen=True)
class Touch(Command[None]):
    """A processor has a command."""


class Sample(Processor[Seen]):
    """Has every shape among its events."""

    name = "sample"
    adapters = (_Cents(),)

    def init(self, persist_id: str) -> Seen:
        return Seen()

    @command
    def touch(self, ctx: Context[Seen], cmd: Touch) -> None:
        """Persists nothing."""

    @event
    def flat(self, state: Seen, event: Flat) -> Seen:
        return state

    @event
    def nested(self, state: Seen, event: Nested) -> Seen:
        return state

    @event
    def listed(self, state: Seen, event: Listed) -> Seen:
        return state

    @event
    def planted(self, state: Seen, event: Planted) -> Seen:
        return state

    @event
    def renewed(self, state: Seen, event: Renewed) -> Seen:
        return state

    @event
    def converted(self, state: Seen, event: Converted) -> Seen:
        return state


def _node(data: dict[str, Any]) -> Node:
    following = data["next"]
    return Node(
        data["value"],
        None if following is None else _node(following),
        tuple([_node(child) for child in data["children"]]),
    )


class Shape(NamedTuple):
    """One row: an event, how a bare reader makes it, and what wrote it if not today's code."""

    title: str
    event: Any
    make: Callable[[dict[str, Any]], Any]
    older: dict[str, Any] | None = None  # a schema, and the datum it wrote
    datum: dict[str, Any] | None = None


def _older(name: str, first: str) -> dict[str, Any]:
    fields = [(first, "long"), ("who", "string"), ("rate", "double")]
    listed = [{"name": field, "type": kind} for field, kind in fields]
    return {"type": "record", "name": name, "namespace": "sample", "fields": listed}


_AT = datetime.datetime(2024, 5, 1, 12, 30, 15, 123456, datetime.UTC)
_TREE = Node(1, Node(2, Node(3, Node(4))), (Node(5, None, (Node(6), Node(7))), Node(8)))

SHAPES = [
    Shape("flat, three fields", Flat(5, "alice", 2.5), lambda d: Flat(**d)),
    Shape(
        "nested, Decimal and datetime",
        Nested(7, Money(Decimal("12.50"), "EUR"), _AT),
        lambda d: Nested(d["number"], Money(**d["price"]), d["at"]),
    ),
    Shape(
        "a list of ten records",
        Listed(7, tuple(Line(f"article-{i}", i) for i in range(10))),
        lambda d: Listed(d["number"], tuple([Line(**line) for line in d["lines"]])),
    ),
    Shape("recursive, eight nodes", Planted(_TREE), lambda d: Planted(_node(d["tree"]))),
    Shape(
        "an older schema, resolved",
        Renewed(5, "alice", 2.5),
        lambda d: Renewed(**d),
        _older("Renewed", "amount"),
        {"amount": 5, "who": "alice", "rate": 2.5},
    ),
    Shape(
        "an older schema, through an adapter",
        Converted(5, "alice", 2.5),
        lambda d: Converted(d["cents"] // 100, d["who"], d["rate"]),
        _older("Converted", "cents"),
        {"cents": 500, "who": "alice", "rate": 2.5},
    ),
]


class Row(NamedTuple):
    """One shape's figures, in microseconds per event."""

    title: str
    bytes: int
    bare_us: float
    kstate_us: float
    ratio: float  # kstate by bare: above 1, kstate takes longer


class Pair:
    """Both readers of a shape, after they were seen to give the same event."""

    def __init__(self, shape: Shape, codec: AvroCodec) -> None:
        self.shape = shape
        if shape.older is None:
            self.value = codec.encode_event(shape.event)
            entry = codec.book.find(self.value[2:10])
            written: Any = parse_schema(entry.schema, {})
        else:
            codec.book.add(shape.older, "event", shape.older["name"])
            written = parse_schema(shape.older, {})
            out = io.BytesIO()
            schemaless_writer(out, written, shape.datum)
            self.value = header(shape.older) + out.getvalue()
        # what a program would do that knows its reader's schema, too
        reader = None
        if shape.title == "an older schema, resolved":
            own = next(e for e in codec.schemas() if e.type_name == type(shape.event).__name__)
            reader = parse_schema(own.schema, {})
        make, buffer = shape.make, io.BytesIO

        def bare(value: bytes) -> Any:
            return make(schemaless_reader(buffer(value[10:]), written, reader))  # type: ignore[arg-type]

        self.bare: Callable[[bytes], Any] = bare
        self.kstate: Callable[[bytes], Any] = codec.decode_event
        for title, read in (("bare", bare), ("kstate", self.kstate)):
            found = read(self.value)
            if found != shape.event:
                raise SystemExit(f"{shape.title}: {title} reads {found!r}, not {shape.event!r}")

    def measure(self, rounds: int, each: int) -> Row:
        """Times both by turns, the first one in turn first."""
        pairs = []
        for number in range(rounds):
            if number % 2:
                bare = _timed(self.bare, self.value, each)
                kstate = _timed(self.kstate, self.value, each)
            else:
                kstate = _timed(self.kstate, self.value, each)
                bare = _timed(self.bare, self.value, each)
            pairs.append((bare, kstate))
        return Row(
            self.shape.title,
            len(self.value),
            statistics.median(bare for bare, _ in pairs),
            statistics.median(kstate for _, kstate in pairs),
            statistics.median(kstate / bare for bare, kstate in pairs),
        )


def _timed(read: Callable[[bytes], Any], value: bytes, each: int) -> float:
    clock, turns = time.perf_counter, range(each)
    begin = clock()
    for _ in turns:
        read(value)
    return (clock() - begin) / each * 1e6


def measure(rounds: int, each: int) -> list[Row]:
    """One row per shape."""
    codec = AvroCodec(definition_of(Sample), Book())
    return [Pair(shape, codec).measure(rounds, each) for shape in SHAPES]


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| event | bytes | bare, µs | kstate, µs | kstate / bare |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += (
        f"| {row.title} | {row.bytes} | {row.bare_us:.2f} | {row.kstate_us:.2f} | {row.ratio:.2f} |"
        for row in rows
    )
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a look whether it runs, no figures")
    short = parser.parse_args().short
    rounds, each = (SHORT_ROUNDS, SHORT_EACH) if short else (ROUNDS, EACH)
    print(f"{machine()}; {rounds} rounds of {each:,} events each, by turns; medians\n")
    print(table(measure(rounds, each)))


if __name__ == "__main__":
    main()
