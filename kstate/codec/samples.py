"""Made-up data of a schema, to try adapters with: every branch of a union and every symbol once."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kstate.codec.shapes import EPOCH, Array, Choice, Record, Shape, Table, Union
from kstate.codec.writers import Written

MAX_SAMPLES = 16
MAX_NESTED = 3
"""How deep records of a type that can nest without end lie in one another in a sample."""

Make = Callable[[], Any]
_NO_WORDS: Mapping[str, Sequence[str]] = {}


def samples(written: Written, words: Mapping[str, Sequence[str]] = _NO_WORDS) -> list[Any]:
    """A few data, as plain Python (see `kstate.core.adapters.Stored`).

    ``words`` are the texts that a field of a name takes: a schema does not tell them (`words_of`).
    The first one has the first choice everywhere, the second one the second, and so on, until
    every choice was made: optional parts are there and are not, numbers are small, large and
    negative.
    """
    count = 1
    found: list[Any] = []
    while len(found) < min(count, MAX_SAMPLES):
        maker = _Maker(written, len(found), words)
        found.append(maker.value(written.schema, 0))
        count = max(count, maker.choices)
    return found


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
    def __init__(self, written: Written, number: int, words: Mapping[str, Sequence[str]]) -> None:
        self.words = words
        self.name = ""  # of the field it is at
        self.written = written
        self.number = number
        self.choices = 1

    def value(self, schema: Any, depth: int) -> Any:
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
                return self.collection(depth, lambda: [self.value(schema["items"], depth)], [])
            case "map":
                inner = schema["values"]
                return self.collection(depth, lambda: {"key": self.value(inner, depth)}, {})
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

    def collection(self, depth: int, full: Make, empty: Any) -> Any:
        self.choices = max(self.choices, 2)
        return empty if self.number % 2 or depth > MAX_NESTED else full()

    def union(self, branches: Sequence[Any], depth: int) -> Any:
        self.choices = max(self.choices, len(branches))
        records = [each for each in branches if self.written.kind(each) == "record"]
        branch = branches[self.number % len(branches)]
        if depth > MAX_NESTED:
            branch = next((each for each in branches if each not in records), branch)
        made = self.value(branch, depth)
        if branch in records and len(records) > 1:
            return {self.written.follow(branch)["name"].rpartition(".")[2]: made}
        return made


def _decimal(schema: Any) -> decimal.Decimal:
    return decimal.Decimal((0, (1,), -schema.get("scale", 0)))


def _fixed(schema: Any) -> bytes:
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
