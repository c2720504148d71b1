"""Dataclass to Avro bytes, by a function generated per type.

What is accepted reads back equal; everything else is an `EncodeError` that names the field.
The checks are on exact types (``type(v) is int``): a subclass would come back as its base.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kstate.codec import wire
from kstate.codec.shapes import (
    BASE_TYPES,
    Array,
    Base,
    Choice,
    Day,
    Enumerated,
    Plain,
    Record,
    Scaled,
    Shape,
    Stamp,
    Table,
    Union,
    Uuid,
    array_types,
    endless,
    exact_types,
    table_types,
)
from kstate.codec.source import Source
from kstate.errors import EncodeError

_WORDS = {
    "null": "None", "boolean": "a bool", "long": "an int", "double": "a float",
    "string": "a str", "bytes": "bytes",
}  # fmt: skip


def compile_encoder(shape: Shape, title: str, head: bytes = b"") -> Callable[[Any], bytes]:
    """A function from a value of the shape to ``head`` and its bytes; raises `EncodeError`.

    ``title`` is the name of the value in errors.
    """
    return _Encoder(shape, title).compile(shape, title, head)


class _Encoder:
    def __init__(self, shape: Shape, title: str) -> None:
        self.src = Source(
            SMALL=wire.SMALL, long=wire.long, length=wire.length, wrong=wire.wrong, utf8=wire.utf8,
            as_float=wire.as_float, double=wire.pack_double, stamp=wire.stamp, day=wire.day,
            uuid=wire.uuid_text, join=b"".join, EncodeError=EncodeError,
        )  # fmt: skip
        self.endless = endless(shape)
        self.functions: dict[str, str] = {}
        self.waiting: list[Record] = []
        self.depth = "0"  # the expression of the depth in the function being written

    def compile(self, shape: Shape, title: str, head: bytes) -> Callable[[Any], bytes]:
        src = self.src
        prefix = [src.bind(head, "head")] if head else []
        with src.block("def top(o):"):
            if isinstance(shape, Record) and shape.name not in self.endless:
                self.record_body(shape, prefix)
            else:
                src.line(f"return {_joined(prefix + self.value(shape, 'o', title))}")
        while self.waiting:
            record = self.waiting.pop()
            deep = record.name in self.endless
            with src.block(f"def {self.functions[record.name]}(o{', depth' if deep else ''}):"):
                if deep:
                    with src.block(f"if depth > {wire.MAX_DEPTH}:"):
                        text = f"{record.cls.__name__} nests more than {wire.MAX_DEPTH} deep"
                        src.line(f"raise EncodeError({text!r})")
                self.depth = "depth" if deep else "0"
                self.record_body(record, [])
        return src.function("top")

    def record_body(self, record: Record, prefix: list[str]) -> None:
        src, title = self.src, record.cls.__name__
        self.check_type("o", record.cls, title, f"a {title}")
        parts = list(prefix)
        for item in record.fields:
            var = src.fresh()
            src.line(f"{var} = o.{item.name}")
            parts += self.value(item.shape, var, f"{title}.{item.name}")
        src.line(f"return {_joined(parts)}")

    def check_type(self, var: str, cls: type, path: str, words: str) -> None:
        with self.src.block(f"if type({var}) is not {self.name_of(cls)}:"):
            self.src.line(f"raise wrong({path!r}, {words!r}, {var})")

    def name_of(self, cls: type) -> str:
        if cls in (bool, int, float, str, bytes, list, tuple, dict):
            return cls.__name__
        return self.src.bind(cls, "cls")

    def value(self, shape: Shape, var: str, path: str, checked: bool = False) -> list[str]:
        """Writes what turns ``var`` into bytes; the expressions of those, in order.

        ``checked``: the type of ``var`` is known already, from a union.
        """
        src = self.src
        match shape:
            case Plain(base):
                return self.plain(base, var, path, checked)
            case Choice(choices):
                table = {c: wire.length(len(c.encode())) + c.encode() for c in choices}
                name, out = src.bind(table), src.fresh()
                src.line(f"{out} = {name}.get({var}) if type({var}) is str else None")
                with src.block(f"if {out} is None:"):
                    words = f"one of {', '.join(map(repr, choices))}"
                    src.line(f"raise wrong({path!r}, {words!r}, {var})")
                return [out]
            case Stamp():
                return [f"stamp({var}, {path!r})"]
            case Day():
                return [f"day({var}, {path!r})"]
            case Uuid():
                return [f"uuid({var}, {path!r})"]
            case Scaled(scale, precision):
                return [f"{src.bind(wire.decimal_writer(scale, precision))}({var}, {path!r})"]
            case Enumerated(cls=cls, members=members):
                if not checked:
                    self.check_type(var, cls, path, f"a {cls.__name__}")
                symbols = {m.name: wire.length(i) for i, m in enumerate(members)}
                return [f"{src.bind(symbols)}[{var}._name_]"]
            case Record():
                return [self.call(shape, var)]
            case Array(item, container):
                return self.array(item, container, var, path)
            case Table(inner, container):
                return self.table(inner, container, var, path)
            case Union(branches):
                return self.union(branches, var, path)
        raise AssertionError(shape)

    def plain(self, base: Base, var: str, path: str, checked: bool) -> list[str]:
        src, out = self.src, self.src.fresh()
        words = _WORDS[base]
        match base:
            case "null":
                if not checked:
                    with src.block(f"if {var} is not None:"):
                        src.line(f"raise wrong({path!r}, {words!r}, {var})")
                return []
            case "boolean":
                src.line(f"{out} = b'\\x01' if {var} is True else b'\\0'")
                if not checked:
                    with src.block(f"if {var} is not True and {var} is not False:"):
                        src.line(f"raise wrong({path!r}, {words!r}, {var})")
                return [out]
            case "double":
                with src.block(f"if type({var}) is not float:"):
                    src.line(f"{var} = as_float({var}, {path!r})")
                return [f"double({var})"]
        if not checked:
            self.check_type(var, BASE_TYPES[base], path, words)
        if base == "long":
            return [f"SMALL.get({var}) or long({var}, {path!r})"]
        if base == "string":
            with src.block("try:"):
                src.line(f"{out} = {var}.encode()")
            with src.block("except UnicodeEncodeError as error:"):
                src.line(f"raise utf8({path!r}) from error")
            var = out
        return [f"length(len({var}))", var]

    def call(self, record: Record, var: str) -> str:
        if record.name not in self.functions:
            self.functions[record.name] = self.src.fresh("write")
            self.waiting.append(record)
        depth = f", {self.depth} + 1" if record.name in self.endless else ""
        return f"{self.functions[record.name]}({var}{depth})"

    def check_container(self, types: tuple[type, ...], var: str, path: str) -> None:
        names = [self.name_of(cls) for cls in types]
        test = " and ".join(f"type({var}) is not {name}" for name in names)
        with self.src.block(f"if {test}:"):
            words = "a " + " or ".join(cls.__name__ for cls in types)
            self.src.line(f"raise wrong({path!r}, {words!r}, {var})")

    def array(self, item: Shape, container: str, var: str, path: str) -> list[str]:
        src, out, each = self.src, self.src.fresh(), self.src.fresh()
        self.check_container(array_types(container), var, path)
        src.line(f"{out} = [length(len({var}))] if {var} else []")
        with src.block(f"for {each} in {var}:"):
            for part in self.value(item, each, f"{path}[…]"):
                src.line(f"{out}.append({part})")
        src.line(f"{out}.append(b'\\0')")
        return [f"join({out})"]

    def table(self, inner: Shape, container: str, var: str, path: str) -> list[str]:
        src, out = self.src, self.src.fresh()
        key, each = src.fresh(), src.fresh()
        self.check_container(table_types(container), var, path)
        src.line(f"{out} = [length(len({var}))] if len({var}) else []")
        items = f"{var}.items()"
        if container in ("immutables", "pmap"):
            with src.block(f"for {key} in {var}:"):
                self.check_type(key, str, f"a key of {path}", "a str")
            # their own order is that of hashes, which is another in each process
            items = f"[(k, {var}[k]) for k in sorted({var})]"
        with src.block(f"for {key}, {each} in {items}:"):
            for part in self.value(Plain("string"), key, f"a key of {path}"):
                src.line(f"{out}.append({part})")
            for part in self.value(inner, each, f"{path}[…]"):
                src.line(f"{out}.append({part})")
        src.line(f"{out}.append(b'\\0')")
        return [f"join({out})"]

    def union(self, branches: tuple[Shape, ...], var: str, path: str) -> list[str]:
        src, out, kind = self.src, self.src.fresh(), self.src.fresh()
        src.line(f"{kind} = type({var})")
        words = " or ".join(_words(branch) for branch in branches)
        for index, branch in enumerate(branches):
            types = exact_types(branch)
            if branch == Plain("double") and Plain("long") not in branches:
                types += (int,)  # a whole number may stand for a float if nothing else takes it
            names = [self.name_of(cls) for cls in types]
            test = " or ".join(f"{kind} is {name}" for name in names)
            if branch == Plain("null"):
                test = f"{var} is None"
            with src.block(f"{'if' if index == 0 else 'elif'} {test}:"):
                marker = [repr(wire.length(index))]
                src.line(f"{out} = {_joined(marker + self.value(branch, var, path, True))}")
        with src.block("else:"):
            src.line(f"raise wrong({path!r}, {words!r}, {var})")
        return [out]


def _joined(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"join(({', '.join(parts)}))" if parts else "b''"


def _words(shape: Shape) -> str:
    if isinstance(shape, Plain):
        return _WORDS[shape.base]
    return " or ".join(f"a {cls.__name__}" for cls in exact_types(shape))
