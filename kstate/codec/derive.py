"""Annotations to Avro schemas: which Python types have an Avro form, and which do not.

Pure, and without fastavro: it runs when a processor class is defined, so that every mistake in
its messages is reported there, at once and in words that name the field and the cure.

=============================  ==========================================================
annotation                     Avro
=============================  ==========================================================
int, float, bool, str, bytes   long, double, boolean, string, bytes
None                           null
Annotated[Decimal, Scale(2)]   bytes, decimal of that scale and precision (38 by default)
datetime (aware)               long, timestamp-micros; the same instant comes back, in UTC
date, UUID                     int, date; string, uuid
Enum                           enum of the member names; see `Aliases`
Literal["a", "b"]              string
X | Y, Optional[X]             union
list[T]                        array, back as list
tuple[T, ...], Sequence[T]     array, back as tuple (and only tuples are accepted)
dict[str, T]                   map, back as dict
Mapping[str, T]                map, back as types.MappingProxyType: read-only, equal to a dict
immutables.Map, PMap, PVector  map, map, array, back as what they were
frozen dataclass               record ``<processor>.<class name>``
=============================  ==========================================================
"""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import types
import typing
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from kstate.codec import shapes
from kstate.codec.cures import CURES
from kstate.codec.hints import resolve_hints
from kstate.codec.mutability import mutable_places
from kstate.codec.records import Records
from kstate.codec.shapes import Shape
from kstate.core.messages import RESERVED_COMMANDS, RESERVED_EVENTS, RESERVED_NAMESPACE

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class NoAvroForm(Exception):
    """A type that cannot be written as Avro; each reason names the place, the type and the cure."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a Decimal: ``Annotated[Decimal, Scale(2)]`` has two digits after the point.

    ``precision`` is the number of digits in all.  Both are part of the type: a schema's
    fingerprint does not cover them, so they cannot change later.
    """

    scale: int
    precision: int = 38

    def __post_init__(self) -> None:
        if not 0 <= self.scale <= self.precision or self.precision < 1:
            raise ValueError(
                f"a scale is from 0 to the precision, which is at least 1: not {self.scale} "
                f"of {self.precision}"
            )


class Aliases:
    """Former names of a field: ``Annotated[int, Aliases("cents")]`` reads data of that name.

    Former names of a record stand in its class: ``avro_aliases: ClassVar = ("MoneyIn",)``; those of
    an Enum, in which every plain name is a member, as ``__avro_aliases__ = ("Color",)``.  An Enum's
    ``__avro_default__ = "OTHER"`` names the member that a stored one becomes which is gone.
    """

    __slots__ = ("names",)

    def __init__(self, *names: str) -> None:
        self.names = names


def namespace_of(processor: str) -> str:
    """The Avro namespace of a processor's types: what Avro does not allow becomes ``_``.

    >>> namespace_of("money-transfer")
    'money_transfer'
    """
    parts = (re.sub(r"[^A-Za-z0-9_]", "_", part) for part in processor.split("."))
    return ".".join(part if NAME.fullmatch(part) else f"_{part}" for part in parts)


def derive(
    annotation: Any,
    namespace: str,
    localns: Mapping[str, Any] | None = None,
    names: dict[str, type] | None = None,
) -> Any:
    """The Avro schema of an annotation, as plain JSON-able data.

    ``localns`` are the names visible where the class was defined; ``names`` is shared by all
    derivations of one processor, so that two classes of one name are found.  Raises `NoAvroForm`
    with every mistake found.
    """
    return shapes.schema_of(shape_of(annotation, namespace, localns, names))


def shape_of(
    annotation: Any,
    namespace: str,
    localns: Mapping[str, Any] | None = None,
    names: dict[str, type] | None = None,
) -> Shape:
    """Like `derive`, for those who need more than the schema."""
    walk = _Walk(namespace, localns, {} if names is None else names)
    shape = walk.shape(annotation, _title(annotation))
    walk.records.settle(walk.mistakes)
    if walk.mistakes:
        raise NoAvroForm(*dict.fromkeys(walk.mistakes))
    return shape


def mutable_parts(
    annotation: Any, namespace: str, localns: Mapping[str, Any] | None = None
) -> list[str]:
    """What in a state could change in place, each with its cure; empty for a usable state.

    Raises `NoAvroForm` like `derive`.
    """
    shape = shape_of(annotation, namespace, localns)
    return list(dict.fromkeys(mutable_places(shape, _title(annotation))))


class _Walk:
    """One derivation: collects mistakes instead of stopping at the first."""

    def __init__(
        self, namespace: str, localns: Mapping[str, Any] | None, names: dict[str, type]
    ) -> None:
        self.namespace = namespace_of(namespace)
        self.localns = localns
        self.names = names
        self.mistakes: list[str] = []
        self.records = Records()

    def refuse(self, path: str, what: str, cure: str) -> Shape:
        self.mistakes.append(f"{path}: {what}; {cure}")
        return shapes.REFUSED

    def shape(self, annotation: Any, path: str, extra: tuple[Any, ...] = ()) -> Shape:
        """The shape of one annotation; ``extra`` is what `Annotated` says of it."""
        if isinstance(annotation, typing.NewType):
            return self.shape(annotation.__supertype__, path, extra)
        if type(annotation).__name__ == "TypeAliasType":  # Python 3.12's ``type X = …``
            return self.shape(annotation.__value__, path, extra)
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            inner, *metadata = typing.get_args(annotation)
            return self.shape(inner, path, (*extra, *metadata))
        if origin is typing.Final or origin is typing.ClassVar:
            return self.shape(typing.get_args(annotation)[0], path, extra)
        if annotation is decimal.Decimal:
            return self._decimal(path, extra)
        if annotation in (None, type(None)):
            return shapes.Plain("null")
        if isinstance(annotation, type) and origin is None:
            return self._class(annotation, path)
        if origin in (typing.Union, types.UnionType):
            return self._union(typing.get_args(annotation), path)
        if origin is typing.Literal:
            return self._literal(typing.get_args(annotation), path)
        if origin is not None:
            return self._generic(origin, typing.get_args(annotation), annotation, path)
        return self._unknown(annotation, path)

    def _decimal(self, path: str, extra: tuple[Any, ...]) -> Shape:
        scales = [each for each in extra if isinstance(each, Scale)]
        if len(scales) != 1:
            return self.refuse(
                path, "a Decimal without a scale has no Avro form",
                "write Annotated[Decimal, Scale(2)]",
            )  # fmt: skip
        return shapes.Scaled(scales[0].scale, scales[0].precision)

    def _class(self, cls: type, path: str) -> Shape:
        if cls in _SIMPLE:
            return _SIMPLE[cls]
        if issubclass(cls, enum.Enum):
            return self._enum(cls, path)
        if is_dataclass(cls):
            return self._record(cls, path)
        cure = CURES.get(cls)
        if cure is None and cls.__module__.split(".")[0] in ("immutables", "pyrsistent"):
            cure = f"say what is in it, as in {cls.__name__}[…]"
        if cure is None:
            cure = "make it a @dataclass(frozen=True), or use a type that has one"
        return self.refuse(path, f"{cls.__qualname__} has no Avro form", cure)

    def _enum(self, cls: type[enum.Enum], path: str) -> Shape:
        full = self._full_name(cls, path)
        members = tuple(cls)
        if issubclass(cls, enum.Flag):
            return self.refuse(
                path, f"{cls.__name__} is a Flag, whose combinations have no names",
                "use int, or a tuple of an Enum",
            )  # fmt: skip
        if not members:
            return self.refuse(path, f"{cls.__name__} has no members", "give it one")
        for member in members:
            if not NAME.fullmatch(member.name):
                return self.refuse(
                    path, f"{cls.__name__}.{member.name} is no Avro name",
                    "use letters of ASCII, digits and _",
                )  # fmt: skip
        default = getattr(cls, "__avro_default__", None)
        if default is not None and default not in cls.__members__:
            return self.refuse(
                path, f"{cls.__name__}.__avro_default__ is {default!r}, which is no member",
                "give the name of one",
            )  # fmt: skip
        aliases = tuple(getattr(cls, "__avro_aliases__", ()))
        chosen = None if default is None else cls[default]
        return shapes.Enumerated(cls, full, members, chosen, aliases)

    def _record(self, cls: Any, path: str) -> Shape:
        known = self.records.of(cls)
        if known is not None:
            return known
        title = cls.__name__
        full = self._full_name(cls, path)
        where = title if path == title else f"{path} ({title})"
        if not cls.__dataclass_params__.frozen or "__dataclass_fields__" not in vars(cls):
            return self.refuse(
                where, f"{title} is not frozen", "write @dataclass(frozen=True) above the class"
            )
        try:
            hints = resolve_hints(cls, self.localns)
        except NameError as error:
            return self.refuse(
                where, str(error), "define or import the name where the class can see it"
            )
        record = self.records.begin(cls, full, hints, self.refuse)
        for item in record.fields:
            hint, extra = hints[item.name], ()
            item.aliases = tuple(
                name
                for each in getattr(hint, "__metadata__", extra)
                if isinstance(each, Aliases)
                for name in each.names
            )
            item.shape = self.shape(hint, f"{title}.{item.name}")
        return record

    def _full_name(self, cls: type, path: str) -> str:
        name = cls.__name__
        reserved = cls in RESERVED_COMMANDS or cls in RESERVED_EVENTS
        full = f"{RESERVED_NAMESPACE if reserved else self.namespace}.{name}"
        if not NAME.fullmatch(name):
            self.refuse(path, f"{name} is no Avro name", "use letters of ASCII, digits and _")
        other = self.names.setdefault(full, cls)
        if other is not cls:
            self.refuse(
                path,
                f"two classes are called {name}, {other.__module__}.{other.__qualname__} and "
                f"{cls.__module__}.{cls.__qualname__}",
                "rename one: a type's name is its identity in the journal",
            )
        return full

    def _union(self, options: tuple[Any, ...], path: str) -> Shape:
        branches: list[Shape] = []
        for option in options:
            shape = self.shape(option, path)
            branches += shape.branches if isinstance(shape, shapes.Union) else (shape,)
        taken: dict[str, Shape] = {}
        for branch in branches:
            if branch is shapes.REFUSED:
                return branch
            base = shapes.base_type(branch)
            if base in taken and taken[base] != branch:
                return self.refuse(
                    path,
                    f"a union cannot tell two branches apart that are both Avro's {base} "
                    f"({' | '.join(_title(each) for each in options)})",
                    "use one of them, or wrap one in a @dataclass(frozen=True)",
                )
            taken[base] = branch
        unique = tuple(taken.values())
        return unique[0] if len(unique) == 1 else shapes.Union(unique)

    def _literal(self, choices: tuple[Any, ...], path: str) -> Shape:
        if not all(type(choice) is str for choice in choices):
            return self.refuse(
                path, "a Literal of anything but strings has no Avro form",
                "use an Enum, or write None beside it: Literal['a'] | None",
            )  # fmt: skip
        if any("\ud800" <= character <= "\udfff" for text in choices for character in text):
            return self.refuse(path, "a choice has a lone surrogate", "write it as UTF-8 text")
        return shapes.Choice(choices)

    def _generic(self, origin: Any, args: tuple[Any, ...], annotation: Any, path: str) -> Shape:
        name = _container(origin)
        if name is not None and path.endswith("[…]" * shapes.MAX_NESTING):
            return self.refuse(
                path, f"lists and maps are nested more than {shapes.MAX_NESTING} deep",
                "put the inner ones into a @dataclass(frozen=True)",
            )  # fmt: skip
        if name in ("dict", "mapping", "immutables", "pmap"):
            if len(args) != 2 or _bare(args[0]) is not str:
                return self.refuse(
                    path, f"{_title(annotation)}: the keys of an Avro map are strings",
                    "use str keys, or a tuple of a small @dataclass(frozen=True)",
                )  # fmt: skip
            return shapes.Table(self.shape(args[1], f"{path}[…]"), typing.cast(Any, name))
        if name == "tuple" and origin is tuple and (len(args) != 2 or args[1] is not Ellipsis):
            return self.refuse(
                path, f"{_title(annotation)}: a tuple of fixed length has no Avro form",
                "use tuple[T, ...], or a @dataclass(frozen=True) that names the parts",
            )  # fmt: skip
        if name in ("list", "tuple", "pvector"):
            item = self.shape(args[0], f"{path}[…]")
            self.records.later(item, path, self.refuse)
            return shapes.Array(item, typing.cast(Any, name))
        if isinstance(origin, type) and is_dataclass(origin):
            return self.refuse(
                path, f"{_title(annotation)}: a generic dataclass has no single Avro form",
                "derive a class from it, or write the types into its fields",
            )  # fmt: skip
        return self._unknown(annotation if name is None else origin, path)

    def _unknown(self, annotation: Any, path: str) -> Shape:
        bare = typing.get_origin(annotation) or annotation
        cure = CURES.get(bare) if isinstance(bare, typing.Hashable) else None
        return self.refuse(
            path, f"{_title(annotation)} has no Avro form",
            cure or "name the type that is stored",
        )  # fmt: skip


def _container(origin: Any) -> str | None:
    known = _CONTAINERS.get(origin)
    if known is None and isinstance(origin, type):
        package = origin.__module__.split(".")[0]
        known = _OPTIONAL.get((package, origin.__name__))
    return known


def _bare(annotation: Any) -> Any:
    """The type under aliases: what decides whether a key is a string."""
    while True:
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        else:
            return annotation


def _title(annotation: Any) -> str:
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


_SIMPLE: dict[Any, Shape] = {
    bool: shapes.Plain("boolean"),
    int: shapes.Plain("long"),
    float: shapes.Plain("double"),
    str: shapes.Plain("string"),
    bytes: shapes.Plain("bytes"),
    datetime.datetime: shapes.Stamp(),
    datetime.date: shapes.Day(),
    uuid.UUID: shapes.Uuid(),
}
_CONTAINERS: dict[Any, str] = {
    list: "list",
    tuple: "tuple",
    dict: "dict",
    typing.get_origin(typing.Sequence[int]): "tuple",
    typing.get_origin(typing.Mapping[str, int]): "mapping",
}
_OPTIONAL = {
    ("immutables", "Map"): "immutables",
    ("pyrsistent", "PMap"): "pmap",
    ("pyrsistent", "PVector"): "pvector",
}
