"""The part of a generated decoder that reads scalars, and the rules of what matches what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kstate.codec import wire
from kstate.codec.shapes import (
    Array,
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
)
from kstate.codec.source import Source
from kstate.codec.writers import Written


class Mode:
    """What to make of data when no type of today's code asks for it."""

    def __init__(self, name: str) -> None:
        self.name = name


GENERIC: Final = Mode("generic")
"""Plain Python: dicts, lists, scalars, with logical types applied."""
SKIP: Final = Mode("skip")
"""Read to get past it."""

Target = Shape | Mode

_PROMOTIONS = {
    "null": ("null",), "boolean": ("boolean",), "int": ("long", "double"),
    "long": ("long", "double"), "float": ("double",), "double": ("double",),
    "string": ("string", "bytes"), "bytes": ("bytes", "string"),
}  # fmt: skip
_EXACT = {"int": "long", "float": "double"}


class Scalars:
    """Reading of numbers, text and bytes, with promotion and logical types."""

    generic = GENERIC
    skip = SKIP

    def __init__(self, written: Written, source: Source) -> None:
        self.written = written
        self.src = source
        self.kind = written.kind

    def title(self, schema: Any) -> str:
        """A written type in words."""
        schema = self.written.follow(schema)
        logical = self.written.logical(schema)
        if logical == "decimal":
            return f"decimal({schema['precision']}, {schema.get('scale', 0)})"
        kind = self.kind(schema)
        name = schema.get("name") if isinstance(schema, dict) else None
        return logical or (name.rpartition(".")[2] if name else kind)

    def alike(self, schema: Any, shape: Shape) -> bool:
        """Whether data of the written type can become one of today's, seen from outside."""
        kind, logical = self.kind(schema), self.written.logical(schema)
        match shape:
            case Plain(base):
                return logical is None and base in _PROMOTIONS.get(kind, ())
            case Choice():
                return kind == "string" and logical is None
            case Stamp():
                return logical in ("timestamp-micros", "timestamp-millis")
            case Day():
                return logical == "date"
            case Uuid():
                return logical == "uuid"
            case Scaled(scale, precision):
                return (
                    logical == "decimal"
                    and schema.get("scale", 0) == scale
                    and schema["precision"] <= precision
                )
            case Enumerated():
                return kind == "enum" and _same_name(schema, shape)
            case Record():
                return kind == "record" and _same_name(schema, shape)
            case Array():
                return kind == "array"
            case Table():
                return kind == "map"
            case Union(branches):
                return any(self.alike(schema, branch) for branch in branches)
        raise AssertionError(shape)

    def choose(self, schema: Any, union: Union) -> Shape | None:
        """The branch for data of the written type: the same type before a promoted one."""
        kind = self.kind(schema)
        exact = Plain(_EXACT.get(kind, kind))  # type: ignore[arg-type]
        candidates = [branch for branch in union.branches if self.alike(schema, branch)]
        return next((b for b in candidates if b == exact), candidates[0] if candidates else None)

    @contextmanager
    def blocks(self, least: int) -> Iterator[None]:
        """The two loops around the items of an array or a map."""
        src, count, each = self.src, self.src.fresh("n"), self.src.fresh("i")
        self.number(count)
        with src.block(f"while {count}:"):
            src.line(f"{count}, pos = block(data, pos, {count}, {least})")
            with src.block(f"for {each} in range({count}):"):
                yield
            self.number(count)

    def number(self, out: str) -> None:
        """A long into ``out``: one byte as a rule or two, so these cases are written out."""
        src, more = self.src, self.src.fresh()
        src.line(f"{out} = data[pos]; pos += 1")
        with src.block(f"if {out} > 127:"):
            src.line(f"{more} = data[pos]")
            with src.block(f"if {more} < 128:"):
                src.line(f"{out} += ({more} << 7) - 128; pos += 1")
            with src.block("else:"):
                src.line(f"{out}, pos = varint(data, pos, {out})")
        src.line(f"{out} = ({out} >> 1) ^ -({out} & 1)")

    def octets(self, size: int | None = None) -> str:
        """Bytes with their length before them, or of a fixed size."""
        out = self.src.fresh()
        if size is None:
            self.number(out)
        self.src.line(f"{out}, pos = slice_at(data, pos, {out if size is None else size})")
        return out

    def text(self) -> str:
        out, end = self.src.fresh(), self.src.fresh()
        self.number(out)
        src = self.src
        src.line(f"{end} = pos + {out}")
        with src.block(f"if {out} < 0 or {end} > len(data):"):
            src.line("raise Malformed('a length is beyond the end', 'truncated')")
        src.line(f"{out} = data[pos:{end}].decode(); pos = {end}")
        return out

    def scalar(self, kind: str, schema: Any, target: Target, path: str) -> str:
        src = self.src
        match kind:
            case "null":
                return "None"
            case "boolean":
                out = src.fresh()
                src.line(f"{out} = data[pos]; pos += 1")
                with src.block(f"if {out} > 1:"):
                    src.line("raise Malformed('a boolean is neither 0 nor 1')")
                return f"({out} == 1)"
            case "int" | "long":
                out = src.fresh()
                self.number(out)
                return self.from_number(out, schema, target)
            case "float" | "double":
                out = src.fresh()
                src.line(
                    f"({out},) = unpack_{kind}(data, pos); pos += {4 if kind[0] == 'f' else 8}"
                )
                return out
            case "string":
                return self.from_text(self.text(), schema, target, path)
            case "bytes":
                return self.from_octets(self.octets(), schema, target)
            case "fixed":
                return self.from_octets(self.octets(schema["size"]), schema, target)
        raise AssertionError(kind)

    def from_number(self, var: str, schema: Any, target: Target) -> str:
        logical = self.written.logical(schema)
        if target is not SKIP and logical is not None:
            convert = {
                "timestamp-micros": f"to_stamp({var})",
                "timestamp-millis": f"to_stamp({var} * 1000)",
                "date": f"to_day({var})",
            }[logical]
            self.src.line(f"{var} = {convert}")
        elif target == Plain("double"):
            return f"float({var})"
        return var

    def from_text(self, var: str, schema: Any, target: Target, path: str) -> str:
        if target == Plain("bytes"):
            return f"{var}.encode()"
        if isinstance(target, Choice):
            choices = self.src.bind(frozenset(target.choices))
            with self.src.block(f"if {var} not in {choices}:"):
                words = f"{path} is none of {', '.join(map(repr, target.choices))}"
                self.src.line(f"raise Malformed({words!r})")
        elif target is not SKIP and self.written.logical(schema) == "uuid":
            return f"UUID({var})"
        return var

    def from_octets(self, var: str, schema: Any, target: Target) -> str:
        if target == Plain("string"):
            return f"{var}.decode()"
        if target is not SKIP and self.written.logical(schema) == "decimal":
            read = wire.decimal_reader(schema.get("scale", 0), schema["precision"])
            return f"{self.src.bind(read)}({var})"
        return var


def _same_name(schema: Any, shape: Enumerated | Record) -> bool:
    """Equal in the last part, as the specification has it: a processor may be renamed."""
    written = schema["name"].rpartition(".")[2]
    return any(written == name.rpartition(".")[2] for name in (shape.name, *shape.aliases))


def title_of(shape: Shape) -> str:
    """A shape in words."""
    match shape:
        case Plain(base):
            return base
        case Choice():
            return "string"
        case Stamp():
            return "timestamp-micros"
        case Day():
            return "date"
        case Uuid():
            return "uuid"
        case Scaled(scale, precision):
            return f"decimal({precision}, {scale})"
        case Enumerated() | Record():
            return shape.name.rpartition(".")[2]
        case Array(item):
            return f"array of {title_of(item)}"
        case Table(value):
            return f"map of {title_of(value)}"
        case Union(branches):
            return " or ".join(title_of(branch) for branch in branches)
    raise AssertionError(shape)
