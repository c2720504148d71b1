"""Made-up data of a schema, to try adapters with: every branch of a union and every symbol once."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kstate.codec.limits import MAX_RECORD_NESTING
from kstate.codec.shapes import EPOCH, Array, Choice, Record, Shape, Table, Union
from kstate.codec.writers import Written

MAX_SAMPLES = 16
MAX_NESTED = 3
"""How deep records of a type that can nest without end lie in one another in a sample."""
MAX_VALUES = 10_000
"""Values of one sample: of a stored schema made to harm there is no sample."""

Make = Callable[[], Any]
_NO_WORDS: Mapping[str, Sequence[str]] = {}


def samples(written: Written, words: Mapping[str, Sequence[str]] = _NO_WORDS) -> list[Any]:
    """A few data, as plain Python (see `kstate.core.adapters.Stored`).

    ``words`` are the texts that a field of a name takes: a schema does not tell them (`words_of`).
    The first one has the first choice everywhere, the second one the second, and so on, until
    every choice was made: optional parts are there and are not, numbers are small, large and
    negative.  There are none of a type whose data has no end, or no bound.
    """
    count = 1
    found: list[Any] = []
    heights = _Heights(written)
    if heights.of(written.schema) is None:
        return []
    while len(found) < min(count, MAX_SAMPLES):
        maker = _Maker(written, len(found), words, heights)
        try:
            found.append(maker.value(written.schema, 0))
        except _TooManyError:
            break
        count = max(count, maker.choices)
    return found


class _TooManyError(Exception):
    """A sample has more than `MAX_VALUES`."""


class _Heights:
    """How many records lie in one another at least in a datum of each type."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._known: dict[str, int] = {}  # record → its height, as far as there is one
        waiting = {name: each for name, each in written.named.items() if "fields" in each}
        for height in range(1, MAX_RECORD_NESTING + 1):
            done = [name for name, each in waiting.items() if self._ends(each)]
            if not done:
                return
            for name in done:
                self._known[name] = height
                del waiting[name]

    def _ends(self, record: Any) -> bool:
        return all(self.of(item["type"]) is not None for item in record["fields"])

    def of(self, schema: Any) -> int | None:
        """Of a datum of this type; None where there is none."""
        kind, schema = self._written.kind(schema), self._written.follow(schema)
        if kind == "union":
            return min((h for h in map(self.of, schema) if h is not None), default=None)
        return self._known.get(schema["name"]) if kind == "record" else 0


def words_of(shapes: Iterable[Shape]) -> dict[str, tuple[str, ...]]:
    """The choices of the fields that are a ``Literal``, by the fields' names."""
    found: dict[str, tuple[str, ...]] = {}
    waiting, seen = [("", shape) for shape in shapes], set()
    while waiting:
        name, shape = waiting.pop()
        match shape:
            case Choice(choices):
                found[name] = choices
            case Array(inner) | Table(inner):
                waiting.append((name, inner))
            case Union(branches):
                waiting += [(name, each) for each in branches]
            case Record() if shape.name not in seen:
                seen.add(shape.name)
                waiting += [
                    (each, item.shape)
                    for item in shape.fields
                    for each in (item.name, *item.aliases)
                ]
    return found


class _Maker:
    def __init__(
        self,
        written: Written,
        number: int,
        words: Mapping[str, Sequence[str]],
        heights: _Heights,
    ) -> None:
        self.words = words
        self.heights = heights
        self.values = 0
        self.name = ""  # of the field it is at
        self.written = written
        self.number = number
        self.choices = 1

    def value(self, schema: Any, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _TooManyError
        kind, logical = self.written.kind(schema), self.written.logical(schema)
        schema = self.written.follow(schema)
        match kind:
            case "record":
                return {item["name"]: self.field(item, depth + 1) for item in schema["fields"]}
            case "union":
                return self.union(schema, depth)
            case "enum":
                return self.one_of(schema["symbols"])
            case "array":
                inner = schema["items"]
                return self.collection(depth, inner, lambda: [self.value(inner, depth)], [])
            case "map":
                inner = schema["values"]
                return self.collection(depth, inner, lambda: {"key": self.value(inner, depth)}, {})
        if kind == "string" and logical is None and self.name in self.words:
            return self.one_of(self.words[self.name])
        return self.one_of(_LOGICAL.get(logical or "", _PLAIN.get(kind, [None])), schema)

    def field(self, item: Any, depth: int) -> Any:
        self.name = item["name"]
        return self.value(item["type"], depth)

    def one_of(self, options: Sequence[Any], schema: Any = None) -> Any:
        self.choices = max(self.choices, len(options))
        chosen = options[self.number % len(options)]
        return chosen(schema) if callable(chosen) else chosen

    def collection(self, depth: int, inner: Any, full: Make, empty: Any) -> Any:
        self.choices = max(self.choices, 2)
        if self.heights.of(inner) is None:
            return empty
        return empty if self.number % 2 or depth > MAX_NESTED else full()

    def union(self, branches: Sequence[Any], depth: int) -> Any:
        heights = {n: h for n, b in enumerate(branches) if (h := self.heights.of(b)) is not None}
        self.choices = max(self.choices, len(heights))
        records = [each for each in branches if self.written.kind(each) == "record"]
        chosen = list(heights)[self.number % len(heights)]
        branch = branches[min(heights, key=heights.__getitem__) if depth > MAX_NESTED else chosen]
        made = self.value(branch, depth)
        if branch in records and len(records) > 1:
            return {self.written.follow(branch)["name"].rpartition(".")[2]: made}
        return made


def _decimal(schema: Any) -> decimal.Decimal:
    return decimal.Decimal((0, (1,), -schema.get("scale", 0)))


def _fixed(schema: Any) -> bytes:
    if schema["size"] > MAX_VALUES:
        raise _TooManyError
    return bytes(schema["size"])


_PLAIN: dict[str, list[Any]] = {
    "null": [None], "boolean": [True, False], "int": [1, 0, -1, 1_000_000],
    "long": [1, 0, -1, 1_000_000], "float": [1.5, 0.0, -1.5], "double": [1.5, 0.0, -1.5],
    "string": ["text", ""], "bytes": [b"bytes", b""], "fixed": [_fixed],
}  # fmt: skip
_LOGICAL: dict[str, list[Any]] = {
    "timestamp-micros": [EPOCH + datetime.timedelta(days=20_000), EPOCH],
    "timestamp-millis": [EPOCH + datetime.timedelta(days=20_000), EPOCH],
    "date": [datetime.date(2024, 5, 1)],
    "uuid": [uuid.UUID(int=1)],
    "decimal": [_decimal],
}
