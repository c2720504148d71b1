"""Plain data to dataclass: what an adapter gives becomes an event or a state of today's code.

The data is as `kstate.core.adapters.Stored` has it.  A builder is made once per type; it checks
types and ranges as an encoder does, for an adapter is the user's code.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from kstate.codec import wire
from kstate.codec.construction import construct
from kstate.codec.scalars import title_of
from kstate.codec.shapes import (
    INT64_MAX,
    INT64_MIN,
    Array,
    Choice,
    Day,
    Enumerated,
    Field,
    Plain,
    Record,
    Scaled,
    Shape,
    Stamp,
    Table,
    Union,
    Uuid,
    exact_types,
)
from kstate.codec.source import Source
from kstate.errors import EncodeError

Build = Callable[[Any, str], Any]
"""From plain data, and the path to it for errors; raises `EncodeError`."""


def compile_builder(shape: Shape) -> Build:
    """A function that builds values of a shape."""
    return _Builders().of(shape)


def field_names(record: Record) -> frozenset[str]:
    """The names under which data may have a record's fields, former ones included."""
    return frozenset(name for each in record.fields for name in (each.name, *each.aliases))


class _Builders:
    def __init__(self) -> None:
        self._records: dict[int, Build] = {}  # by identity: a record may hold itself

    def of(self, shape: Shape) -> Build:
        match shape:
            case Record():
                return self._record(shape)
            case Union():
                return self._union(shape)
            case Array():
                return self._array(shape)
            case Table():
                return self._table(shape)
            case Enumerated():
                return _enum(shape)
            case Plain("double"):
                return _double
            case Plain("bytes"):
                return _bytes
            case Plain("string"):
                return _text
            case Plain("long"):
                return _long
        return _scalar(shape)

    def _record(self, record: Record) -> Build:
        if id(record) in self._records:
            return lambda data, path: self._records[id(record)](data, path)
        self._records[id(record)] = self._made(record)
        return self._records[id(record)]

    def _made(self, record: Record) -> Build:
        title = record.cls.__name__
        self._records[id(record)] = lambda data, path: made(data, path)  # for its own fields
        src = Source(wrong=wire.wrong, Mapping=Mapping, new=object.__new__, refused=_refused)
        values = {}
        with src.block("def made(data, path):"):
            with src.block("if type(data) is not dict and not isinstance(data, Mapping):"):
                src.line(f"raise wrong(path, {f'a dict with the fields of {title}'!r}, data)")
            for item in record.fields:
                values[item.name] = self._field(src, item, f"{title}.{item.name}")
            src.line(f"return {construct(src, record, values)}")
        made: Build = src.function("made")
        return made

    def _field(self, src: Source, item: Field, where: str) -> str:
        """Writes how a field gets its value; the commonest types are checked without a call."""
        out, build = src.fresh(), self.of(item.shape)
        with src.block("try:"):
            src.line(f"{out} = data[{item.name!r}]")
        with src.block("except KeyError:"):
            src.line(f"{out} = {src.bind(_absent(item, build, where))}(data)")
        with src.block("else:"):
            convert = f"{out} = {src.bind(build)}({out}, {where!r})"
            usual = _USUAL.get(item.shape) if isinstance(item.shape, Plain) else None
            if usual is None:
                src.line(convert)
            else:
                with src.block(f"if {usual.format(out)}:"):
                    src.line(convert)
        return out

    def _array(self, shape: Array) -> Build:
        build, finish = self.of(shape.item), _container(shape.container)

        def made(data: Any, path: str) -> Any:
            if not isinstance(data, list | tuple):
                raise wire.wrong(path, "a list", data)
            return finish([build(each, f"{path}[…]") for each in data])

        return made

    def _table(self, shape: Table) -> Build:
        build, finish = self.of(shape.value), _container(shape.container)

        def made(data: Any, path: str) -> Any:
            if not isinstance(data, Mapping) or any(type(key) is not str for key in data):
                raise wire.wrong(path, "a dict of texts", data)
            return finish({key: build(each, f"{path}[…]") for key, each in data.items()})

        return made

    # -- unions ------------------------------------------------------------------------------

    def _union(self, union: Union) -> Build:
        enums = [each for each in union.branches if isinstance(each, Enumerated)]
        records = [each for each in union.branches if isinstance(each, Record)]
        tables = [each for each in union.branches if isinstance(each, Table)]
        by_name = {
            name.rpartition(".")[2]: each for each in records for name in (*each.aliases, each.name)
        }
        by_type: dict[type, Build] = {}
        for branch in union.branches:
            if not isinstance(branch, Record | Table | Enumerated):
                types = (list, tuple) if isinstance(branch, Array) else exact_types(branch)
                by_type |= dict.fromkeys(types, self.of(branch))
        if float in by_type:
            by_type.setdefault(int, by_type[float])

        def mapping(data: Mapping[str, Any]) -> tuple[Shape, Any] | None:
            if len(data) == 1:
                (name,) = data
                if name in by_name and isinstance(data[name], Mapping):
                    return by_name[name], data[name]
            fitting = [each for each in records if _has_fields_of(each, data)]
            if len(fitting) == 1:
                return fitting[0], data
            return (tables[0], data) if tables and not fitting else None

        def made(data: Any, path: str) -> Any:
            build = by_type.get(type(data))
            for enum in enums:
                named = type(data) is str and data in enum.cls.__members__
                if named or type(data) is enum.cls:
                    build = self.of(enum)
            if build is not None:
                return build(data, path)
            chosen = mapping(data) if isinstance(data, Mapping) else None
            if chosen is None:
                raise wire.wrong(path, title_of(union), data)
            return self.of(chosen[0])(chosen[1], path)

        return made


_USUAL = {
    Plain("boolean"): "type({0}) is not bool",
    Plain("double"): "type({0}) is not float",
    Plain("long"): f"type({{0}}) is not int or not {INT64_MIN} <= {{0}} <= {INT64_MAX}",
    Plain("string"): "type({0}) is not str or not {0}.isascii()",
}
"""What is true of a value that needs a closer look."""


def _absent(item: Field, build: Build, where: str) -> Callable[[Mapping[str, Any]], Any]:
    """What a field is when the data does not have its name."""

    def found(data: Mapping[str, Any]) -> Any:
        for alias in item.aliases:
            if alias in data:
                return build(data[alias], where)
        if item.default is None:
            raise EncodeError(f"{where} is missing and has no default")
        return item.default.make()

    return found


def _refused(title: str, error: Exception) -> EncodeError:
    return EncodeError(f"{title} refuses its data: {type(error).__name__}: {error}")


def _has_fields_of(record: Record, data: Mapping[str, Any]) -> bool:
    """Whether the data has every field that is needed, and none that the record has not."""
    needed = all(
        item.default is not None or any(name in data for name in (item.name, *item.aliases))
        for item in record.fields
    )
    return needed and data.keys() <= field_names(record)


def _container(name: str) -> Callable[[Any], Any]:
    match name:
        case "tuple":
            return tuple
        case "mapping":
            return MappingProxyType
        case "immutables":
            import immutables  # optional: imported only for an annotation that names it

            return immutables.Map
        case "pvector":
            import pyrsistent

            return pyrsistent.pvector
        case "pmap":
            import pyrsistent

            return pyrsistent.pmap
    return lambda made: made


def _enum(shape: Enumerated) -> Build:
    members = {member.name: member for member in shape.members}

    def made(data: Any, path: str) -> Any:
        if type(data) is shape.cls:
            return data
        member = members.get(data) if type(data) is str else None
        if member is None and type(data) is str:
            member = shape.default
        if member is None:
            raise wire.wrong(path, f"the name of a member of {shape.cls.__name__}", data)
        return member

    return made


def _long(data: Any, path: str) -> int:
    if type(data) is not int:
        raise wire.wrong(path, "an int", data)
    if not INT64_MIN <= data <= INT64_MAX:
        raise EncodeError(f"{path} is beyond 64 bits")
    return data


def _double(data: Any, path: str) -> float:
    return data if type(data) is float else wire.as_float(data, path)


def _scalar(shape: Shape) -> Build:
    """Values that stay as they are; what their types leave open is checked as encoders do."""
    (expected,) = exact_types(shape)
    check: Build | None = None
    match shape:
        case Stamp():
            check = wire.stamp
        case Scaled(scale, precision):
            check = wire.decimal_writer(scale, precision)
        case Choice(choices):

            def one_of(data: Any, path: str) -> None:
                if data not in choices:
                    raise EncodeError(f"{path} is none of {', '.join(map(repr, choices))}")

            check = one_of
        case Plain() | Day() | Uuid():
            pass

    def made(data: Any, path: str) -> Any:
        if type(data) is not expected:
            raise wire.wrong(path, f"a {expected.__name__}", data)
        if check is not None:
            check(data, path)
        return data

    def moment(data: Any, path: str) -> Any:
        return made(data, path).astimezone(datetime.UTC)

    return moment if isinstance(shape, Stamp) else made


def _bytes(data: Any, path: str) -> bytes:
    if type(data) is str:  # Avro reads a string as bytes, too, and the other way round
        return _text(data, path).encode()
    if type(data) is not bytes:
        raise wire.wrong(path, "bytes", data)
    return data


def _text(data: Any, path: str) -> str:
    if type(data) is bytes:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise EncodeError(f"{path} is not UTF-8") from error
    if type(data) is not str:
        raise wire.wrong(path, "a str", data)
    try:
        data.encode()
    except UnicodeEncodeError as error:
        raise wire.utf8(path) from error
    return data
