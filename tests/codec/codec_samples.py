"""Message types and random types for the codec's tests."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal, Optional

import immutables
import pyrsistent
from hypothesis import strategies as st

from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.codec.decoders import compile_decoder
from kstate.codec.derive import Scale, shape_of
from kstate.codec.encoders import compile_encoder
from kstate.codec.shapes import schema_of
from kstate.codec.writers import parse
from kstate.core.definition import Definition
from kstate.core.messages import Command

UTC = datetime.UTC


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Size(enum.StrEnum):
    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True)
class Money:
    amount: Annotated[Decimal, Scale(2)]
    currency: Literal["EUR", "USD"] = "EUR"


@dataclass(frozen=True, slots=True)
class Line:
    article: str
    count: int
    price: Money


@dataclass(frozen=True)
class Node:
    value: int
    next: Node | None = None
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Everything:
    flag: bool
    whole: int
    real: float
    text: str
    raw: bytes
    price: Annotated[Decimal, Scale(4, precision=12)]
    moment: datetime.datetime
    day: datetime.date
    ident: uuid.UUID
    colour: Colour
    size: Size
    maybe: Optional[int]  # noqa: UP045 -- the old spelling is to work too
    either: int | str | Money | Line | None
    listed: list[int]
    many: tuple[Line, ...]
    sequence: Sequence[str]
    table: dict[str, float]
    mapping: Mapping[str, tuple[int, ...]]
    lasting: immutables.Map[str, int]
    vector: pyrsistent.PVector[str]
    pmap: pyrsistent.PMap[str, Money]


@dataclass(frozen=True)
class Account:
    balance: int = 0
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Deposit(Command[int]):
    amount: int


@dataclass(frozen=True)
class Order(Command[Money | None]):
    lines: tuple[Line, ...]
    note: str | None = None
    at: datetime.datetime | None = None


@dataclass(frozen=True)
class Plant(Command[None]):
    tree: Node


@dataclass(frozen=True)
class When(Command[datetime.datetime]):
    pass


@dataclass(frozen=True)
class Positive(Command[None]):
    amount: int

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError("amount must be positive")


@dataclass(frozen=True)
class Deposited:
    amount: int


@dataclass(frozen=True)
class Three:
    amount: int
    who: str
    rate: float


@dataclass(frozen=True)
class Planted:
    tree: Node


REPLIES: dict[type, Any] = {
    Deposit: int,
    Order: Money | None,
    Plant: None,
    When: datetime.datetime,
    Positive: type(None),
}


def definition(**changes: Any) -> Definition:
    """The definition of a processor "bank"; its handlers are never called here."""
    commands = changes.pop("commands", REPLIES)
    folds = changes.pop("folds", (Deposited, Three, Planted, Everything))
    base = Definition(
        name="bank",
        state_type=Account,
        init=lambda persist_id: Account(),
        commands=dict.fromkeys(commands, lambda ctx, command: None),
        replies=dict(commands),
        folds=dict.fromkeys(folds, lambda state, event: state),
        reactions={},
        sends=frozenset({"bank"}),
        adapters=(),
        snapshot_every=100,
        snapshot_version=1,
        on_error="dead_letter",
    )
    return dataclasses.replace(base, **changes)


def bank_codec(book: Book | None = None, **changes: Any) -> AvroCodec:
    return AvroCodec(definition(**changes), book)


def everything(**changes: Any) -> Everything:
    price = Money(Decimal("12.50"))
    base = Everything(
        flag=True, whole=-5, real=1.5, text="zoë", raw=b"\0\xff", price=Decimal("1.2345"),
        moment=datetime.datetime(2024, 5, 1, 12, 30, 15, 123456, UTC),
        day=datetime.date(1969, 12, 31), ident=uuid.UUID(int=7), colour=Colour.GREEN,
        size=Size.LARGE, maybe=None, either=Line("a", 2, price), listed=[1, 2**40],
        many=(Line("a", 1, price), Line("b", 2, price)), sequence=("x", ""), table={"a": 0.5},
        mapping=MappingProxyType({"k": (1, 2)}), lasting=immutables.Map({"b": 1, "a": 2}),
        vector=pyrsistent.pvector(["p", "q"]), pmap=pyrsistent.pmap({"z": price, "y": price}),
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


class Pair:
    """An annotation made into an encoder and a decoder, without a header."""

    def __init__(self, annotation: Any, names: Mapping[str, Any] | None = None) -> None:
        self.shape = shape_of(annotation, "t", names)
        self.schema = schema_of(self.shape)
        self.encode = compile_encoder(self.shape, "the value")
        self.read = compile_decoder(parse(self.schema), self.shape, "the value").read

    def decode(self, data: bytes) -> Any:
        return self.read(data, 0)

    def again(self, value: Any) -> Any:
        return self.decode(self.encode(value))


# -- random types with values -----------------------------------------------------------------

Typed = tuple[Any, st.SearchStrategy[Any]]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
longs = st.integers(-(2**63), 2**63 - 1)
moments = st.datetimes(
    min_value=datetime.datetime(1, 1, 3),
    max_value=datetime.datetime(9999, 12, 29),
    timezones=st.sampled_from([UTC, datetime.timezone(datetime.timedelta(hours=-7))]),
)


def decimals(scale: int, precision: int) -> st.SearchStrategy[Decimal]:
    bound = 10**precision - 1
    return st.integers(-bound, bound).map(lambda n: Decimal(f"{n}e-{scale}"))


SCALARS: list[Typed] = [
    (bool, st.booleans()),
    (int, longs),
    (float, st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)),
    (str, texts),
    (bytes, st.binary(max_size=12)),
    (Annotated[Decimal, Scale(2)], decimals(2, 38)),
    (Annotated[Decimal, Scale(5, precision=5)], decimals(5, 5)),
    (datetime.datetime, moments),
    (datetime.date, st.dates()),
    (uuid.UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Size, st.sampled_from(Size)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Money, st.builds(Money, decimals(2, 38), st.sampled_from(["EUR", "USD"]))),
]
MONEY = SCALARS[-1][1]
lines = st.builds(Line, texts, longs, MONEY)
nodes = st.recursive(
    st.builds(Node, longs),
    lambda inner: st.builds(Node, longs, st.none() | inner, st.lists(inner, max_size=2).map(tuple)),
    max_leaves=6,
)
UNIONS: list[Typed] = [
    (int | str | None, longs | texts | st.none()),
    (float | int, st.floats(allow_nan=False) | longs),
    (Money | Line | Colour, MONEY | lines | st.sampled_from(Colour)),
    (datetime.date | datetime.datetime, st.dates() | moments),
    (bool | bytes | tuple[int, ...],
     st.booleans() | st.binary(max_size=5) | st.lists(longs, max_size=3).map(tuple)),
    (Node | None, nodes | st.none()),
]  # fmt: skip


def containers(inner: Typed) -> list[Typed]:
    annotation, values = inner
    lists = st.lists(values, max_size=4)
    tables = st.dictionaries(texts, values, max_size=4)
    return [
        (list[annotation], lists),
        (tuple[annotation, ...], lists.map(tuple)),
        (Sequence[annotation], lists.map(tuple)),
        (pyrsistent.PVector[annotation], lists.map(pyrsistent.pvector)),
        (dict[str, annotation], tables),
        (Mapping[str, annotation], tables | tables.map(MappingProxyType)),
        (immutables.Map[str, annotation], tables.map(immutables.Map)),
        (pyrsistent.PMap[str, annotation], tables.map(pyrsistent.pmap)),
    ]


@st.composite
def typed(draw: st.DrawFn) -> Typed:
    """An annotation of any depth, and the values it takes."""
    found = draw(st.sampled_from([*SCALARS, *UNIONS, (Node, nodes)]))
    for _ in range(draw(st.integers(0, 2))):
        found = draw(st.sampled_from(containers(found)))
    return found


@st.composite
def records(draw: st.DrawFn) -> tuple[type, Any]:
    """A dataclass made up for the occasion, with or without slots, and one of its instances."""
    fields = [(f"f{i}", *each) for i, each in enumerate(draw(st.lists(typed(), max_size=5)))]
    cls = dataclasses.make_dataclass(
        "Made", [(name, annotation) for name, annotation, _ in fields], frozen=True,
        slots=draw(st.booleans()), kw_only=draw(st.booleans()),
    )  # fmt: skip
    return cls, cls(**{name: draw(values) for name, _, values in fields})
