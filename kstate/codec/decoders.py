"""Avro bytes to dataclass, by a function generated per pair of written schema and today's shape.

Written schema and shape may be the same type of the same day, or years apart: the rules of the
Avro specification ("Schema Resolution") are applied while the function is generated, so that old
data costs no more than new.  What cannot be resolved becomes a `Problem`, and the function raises
where the data comes to that place.

The bytes are not trusted: every length, count, index and depth is checked, work and memory are
bounded by the number of bytes, and the only errors are those in `FAULTS`.  Nor is the written
schema: for one beyond `kstate.codec.limits` no function is generated.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from kstate.codec import limits, wire
from kstate.codec.construction import construct
from kstate.codec.scalars import Scalars, Target, title_of
from kstate.codec.shapes import Array, Enumerated, Field, Record, Shape, Table, Union, schema_of
from kstate.codec.source import Source
from kstate.codec.wire import Malformed
from kstate.codec.writers import Written, parse
from kstate.errors import SchemaError

FAULTS = (IndexError, ValueError, OverflowError, struct.error)
"""What a generated function raises for bytes that are no datum; see `malformed`."""


def malformed(error: BaseException) -> Malformed:
    """The fault as one sentence and a code."""
    if isinstance(error, Malformed):
        return error
    if isinstance(error, IndexError | struct.error):
        return Malformed("the data ends too early", "truncated")
    if isinstance(error, UnicodeDecodeError):
        return Malformed("a string is not UTF-8")
    return Malformed(f"a value is out of range ({error})")


class Problem(NamedTuple):
    """A place where the written schema and today's type do not go together."""

    path: str
    reason: str
    cure: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; {self.cure}"


@dataclass(frozen=True, slots=True)
class Decoder:
    """``read(data, pos)`` gives the datum from ``pos`` to the end; raises one of `FAULTS`."""

    read: Callable[[bytes, int], Any]
    problems: tuple[Problem, ...]


def compile_decoder(written: Written, target: Target, title: str) -> Decoder:
    """Generates the function; ``target`` may also be `GENERIC`: plain dicts, lists and scalars.

    A written schema beyond a limit is a `Problem`, and its data is refused; a type of today's code
    with such a schema raises `SchemaError`: what is written could not be read.
    """
    try:
        checked = limits.check(written)
    except limits.Beyond as error:
        return _beyond(written, target, Problem(title, f"of its schema, {error}", _LESS))
    maker = _Maker(written, checked)
    read = maker.compile(target, title)
    return Decoder(read, tuple(dict.fromkeys(maker.problems)))


_LESS = "have it written with a schema within the limits"


def _beyond(written: Written, target: Target, problem: Problem) -> Decoder:
    if isinstance(target, Shape) and parse(schema_of(target)).schema == written.schema:
        raise SchemaError(str(problem))

    def read(data: bytes, pos: int) -> Any:
        raise Malformed(str(problem), "schema-limit")

    return Decoder(read, (problem,))


def _refused(title: str, error: Exception) -> Malformed:
    return Malformed(f"{title} refuses its data: {type(error).__name__}: {error}", "invalid-value")


class _Maker(Scalars):
    def __init__(self, written: Written, checked: limits.Checked) -> None:
        super().__init__(
            written,
            Source(
                varint=wire.varint, block=wire.block, slice_at=wire.slice_at, Malformed=Malformed,
                unpack_double=wire.unpack_double, unpack_float=wire.unpack_float,
                to_stamp=wire.to_stamp, to_day=wire.to_day, UUID=uuid.UUID, new=object.__new__,
                refused=_refused, read_only=MappingProxyType,
            ),
        )  # fmt: skip
        self.problems: list[Problem] = []
        self.endless, self.grows, self.bare = checked
        self.functions: dict[tuple[str, int], str] = {}
        self.waiting: list[tuple[Any, Target, str]] = []
        self.depth = "0"

    def compile(self, target: Target, title: str) -> Callable[[bytes, int], Any]:
        src = self.src
        schema = self.written.follow(self.written.schema)
        plain = self.kind(schema) == "record" and schema["name"] not in self.endless
        with src.block("def top(data, pos):"):
            if self.grows:
                most = limits.MAX_DATUM_BYTES
                with src.block(f"if len(data) > {most}:"):
                    text = f"the value has more than {most:,} bytes (MAX_DATUM_BYTES)"
                    src.line(f"raise Malformed({text!r}, 'too-large')")
            if plain and isinstance(target, Record) and self.alike(schema, target):
                value = self.record_body(schema, target)
            else:
                value = self.value(schema, target, title)
            with src.block("if pos != len(data):"):
                src.line("raise Malformed('there are bytes after the datum', 'trailing')")
            src.line(f"return {value}")
        while self.waiting:
            schema, inner, name = self.waiting.pop()
            deep = schema["name"] in self.endless
            with src.block(f"def {name}(data, pos{', depth' if deep else ''}):"):
                if deep:
                    with src.block(f"if depth > {wire.MAX_DEPTH}:"):
                        text = f"{schema['name']} nests more than {wire.MAX_DEPTH} deep"
                        src.line(f"raise Malformed({text!r}, 'too-deep')")
                self.depth = "depth" if deep else "0"
                src.line(f"return {self.record_body(schema, inner)}, pos")
        return src.function("top")

    def problem(self, path: str, reason: str, cure: str) -> str:
        """Notes it; the data may never come here (a branch of a union), so it raises late."""
        found = Problem(path, reason, cure)
        self.problems.append(found)
        self.src.line(f"raise Malformed({str(found)!r}, 'unresolved')")
        return "None"

    def value(self, schema: Any, target: Target, path: str) -> str:
        """Writes the reading of one datum; the expression of what was read."""
        kind = self.kind(schema)
        schema = self.written.follow(schema)
        if kind == "union":
            return self.union(schema, target, path)
        if isinstance(target, Union):
            chosen = self.choose(schema, target)
            if chosen is None:
                return self.mismatch(schema, target, path)
            target = chosen
        if isinstance(target, Shape) and not self.alike(schema, target):
            return self.mismatch(schema, target, path)
        match kind:
            case "record":
                return self.call(schema, target)
            case "enum":
                return self.enum(schema, target, path)
            case "array":
                return self.array(schema, target, path)
            case "map":
                return self.table(schema, target, path)
        return self.scalar(kind, schema, target, path)

    def mismatch(self, schema: Any, target: Shape, path: str) -> str:
        return self.problem(
            path,
            f"it was {self.title(schema)} and is {title_of(target)} now",
            self.cure(schema, target),
        )

    def cure(self, schema: Any, target: Shape) -> str:
        keep = "keep the old type and add a field of another name"
        kind = self.kind(schema)
        branches = target.branches if isinstance(target, Union) else (target,)
        for branch in branches:
            if isinstance(branch, Record) and kind == "record":
                where = "avro_aliases"
            elif isinstance(branch, Enumerated) and kind == "enum":
                where = "__avro_aliases__"
            else:
                continue
            names = f"{self.title(schema)} in {where} of {title_of(branch)}"
            return f"if it was renamed, name {names}; or {keep}"
        return keep

    def call(self, schema: Any, target: Target) -> str:
        key = (schema["name"], id(target))
        name = self.functions.get(key)
        if name is None:
            name = self.functions[key] = self.src.fresh("read")
            self.waiting.append((schema, target, name))
        out = self.src.fresh()
        depth = f", {self.depth} + 1" if schema["name"] in self.endless else ""
        self.src.line(f"{out}, pos = {name}(data, pos{depth})")
        return out

    def record_body(self, schema: Any, target: Target) -> str:
        if not isinstance(target, Record):
            short = schema["name"].rpartition(".")[2]
            items = [
                (item["name"], self.value(item["type"], target, f"{short}.{item['name']}"))
                for item in schema["fields"]
            ]
            return "{" + ", ".join(f"{name!r}: {var}" for name, var in items) + "}"
        title = target.cls.__name__
        by_name = {item.name: item for item in target.fields}
        former = {alias: item for item in target.fields for alias in item.aliases}
        values: dict[str, str] = {}
        for item in schema["fields"]:
            field = by_name.get(item["name"]) or former.get(item["name"])
            if field is None or field.name in values:
                self.value(item["type"], self.skip, f"{title}.{item['name']}")
            else:
                path = f"{title}.{field.name}"
                values[field.name] = self.value(item["type"], field.shape, path)
        for field in target.fields:
            if field.name not in values:
                values[field.name] = self.missing(field, title)
        return construct(self.src, target, values)

    def missing(self, field: Field, title: str) -> str:
        """A field that did not exist when the data was written."""
        if field.default is None:
            return self.problem(
                f"{title}.{field.name}",
                "it is not in the stored data and has no default",
                f"give {field.name} a default, or name its former name with Aliases",
            )
        if field.default.constant:
            return self.src.bind(field.default.make(), "default")
        return f"{self.src.bind(field.default.make, 'make')}()"

    def index(self, count: int, what: str) -> str:
        """An index below ``count``; a zigzag number is even when it is not negative."""
        src, out = self.src, self.src.fresh("i")
        src.line(f"{out} = data[pos]; pos += 1")
        with src.block(f"if {out} > 127:"):
            src.line(f"{out}, pos = varint(data, pos, {out})")
        with src.block(f"if {out} & 1 or {out} >= {2 * count}:"):
            src.line(f"raise Malformed({f'an index is beyond the {what}'!r})")
        src.line(f"{out} >>= 1")
        return out

    def union(self, branches: list[Any], target: Target, path: str) -> str:
        src, out = self.src, self.src.fresh()
        tagged = target is self.generic and sum(self.kind(b) == "record" for b in branches) > 1
        number = self.index(len(branches), "branches of a union")
        for index, branch in enumerate(branches):
            with src.block(f"{'elif' if index else 'if'} {number} == {index}:"):
                value = self.value(branch, target, path)
                if tagged and self.kind(branch) == "record":
                    name = self.written.follow(branch)["name"].rpartition(".")[2]
                    value = f"{{{name!r}: {value}}}"
                src.line(f"{out} = {value}")
        return out

    def enum(self, schema: Any, target: Target, path: str) -> str:
        src, symbols, out = self.src, schema["symbols"], self.src.fresh()
        number = self.index(len(symbols), "symbols of an enum")
        if not isinstance(target, Enumerated):
            return f"{src.bind(tuple(symbols))}[{number}]"
        members = {member.name: member for member in target.members}
        table = src.bind(tuple(members.get(symbol, target.default) for symbol in symbols))
        src.line(f"{out} = {table}[{number}]")
        gone = [symbol for symbol in symbols if symbol not in members]
        if gone and target.default is None:
            with src.block(f"if {out} is None:"):
                self.problem(
                    path,
                    f"{target.cls.__name__} has no member {', '.join(gone)} any more",
                    "put it back, or name the member to read instead in __avro_default__",
                )
        return out

    def array(self, schema: Any, target: Target, path: str) -> str:
        src, out = self.src, self.src.fresh()
        inner = target.item if isinstance(target, Array) else target
        least = 0 if self.takes_no_bytes(schema["items"]) else 1
        src.line(f"{out} = []")
        with self.blocks(least):
            src.line(f"{out}.append({self.value(schema['items'], inner, f'{path}[…]')})")
        if not isinstance(target, Array) or target.container == "list":
            return out
        if target.container == "tuple":
            return f"tuple({out})"
        import pyrsistent

        return f"{src.bind(pyrsistent.pvector)}({out})"

    def takes_no_bytes(self, schema: Any) -> bool:
        kind, schema = self.kind(schema), self.written.follow(schema)
        if kind == "record":
            return schema["name"] in self.bare
        return kind == "null" or (kind == "fixed" and schema["size"] == 0)

    def table(self, schema: Any, target: Target, path: str) -> str:
        src, out = self.src, self.src.fresh()
        inner = target.value if isinstance(target, Table) else target
        src.line(f"{out} = {{}}")
        with self.blocks(1):
            key = self.text()
            src.line(f"{out}[{key}] = {self.value(schema['values'], inner, f'{path}[…]')}")
        container = target.container if isinstance(target, Table) else "dict"
        if container == "immutables":
            import immutables

            return f"{src.bind(immutables.Map)}({out})"
        if container == "pmap":
            import pyrsistent

            return f"{src.bind(pyrsistent.pmap)}({out})"
        return f"read_only({out})" if container == "mapping" else out
