"""The dataclasses met in one derivation: their fields now, their defaults once all are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, InitVar
from typing import Any

from kstate.codec.defaults import NoDefaultForm, Unfit, default_json, fits
from kstate.codec.shapes import (
    Day,
    Default,
    Field,
    Plain,
    Record,
    Shape,
    Stamp,
    Union,
    Uuid,
    is_whole,
    takes_no_bytes,
)

Refuse = Callable[[str, str, str], Shape]


class Records:
    """Shapes of dataclasses, each made once, so that recursive ones are possible."""

    def __init__(self) -> None:
        self._by_class: dict[type, Record] = {}
        self._sources: list[tuple[Record, Field, dataclasses.Field[Any]]] = []
        self._lists: list[tuple[Shape, str, Refuse]] = []

    def of(self, cls: type) -> Record | None:
        return self._by_class.get(cls)

    def begin(self, cls: Any, name: str, hints: Mapping[str, Any], refuse: Refuse) -> Record:
        """A record with its fields still without shapes."""
        record = Record(cls, name, aliases=tuple(getattr(cls, "avro_aliases", ())))
        self._by_class[cls] = record
        title = cls.__name__
        for name_, hint in hints.items():
            if isinstance(hint, InitVar) or hint is InitVar:
                refuse(f"{title}.{name_}", "an InitVar is not kept", "make it a field")
        for source in dataclasses.fields(cls):
            path = f"{title}.{source.name}"
            if not source.init:
                refuse(
                    path, "a field with init=False cannot be read back",
                    "make it a property, or let the constructor take it",
                )  # fmt: skip
                continue
            if not source.name.isascii():
                refuse(path, "no Avro name", "use letters of ASCII, digits and _")
            item = Field(source.name, Plain("null"), keyword=bool(source.kw_only))
            record.fields.append(item)
            self._sources.append((record, item, source))
        return record

    def later(self, item: Shape, path: str, refuse: Refuse) -> None:
        """Notes a list, to be checked when the records in it are complete."""
        self._lists.append((item, path, refuse))

    def settle(self, mistakes: list[str]) -> None:
        """Puts the default's branch first in its union, then writes the defaults down."""
        for item, path, refuse in self._lists:
            if is_whole(item) and takes_no_bytes(item):
                refuse(
                    path, "a list of what takes no bytes has no bound in its size",
                    "use an int that counts them",
                )  # fmt: skip
        self._endless(mistakes)
        found = [
            (record, item, default)
            for record, item, source in self._sources
            if is_whole(item.shape) and (default := _default(record, source, mistakes)) is not None
        ]
        for _, entry, default in found:
            entry.shape = _default_first(entry.shape, default())
        for record, entry, default in found:
            _write_down(record, entry, default, mistakes)

    def _endless(self, mistakes: list[str]) -> None:
        """A record that always holds another of its kind has no finite value."""
        for record in self._by_class.values():
            if _always_holds(record, record, set()):
                mistakes.append(
                    f"{record.cls.__name__}: it always holds another of its kind, without end; "
                    "make one of the fields on the way optional, or a tuple"
                )


def _always_holds(shape: Shape, target: Record, seen: set[int]) -> bool:
    if not isinstance(shape, Record) or id(shape) in seen:
        return False
    seen.add(id(shape))
    return any(
        item.shape is target or _always_holds(item.shape, target, seen) for item in shape.fields
    )


def _default(
    record: Record, source: dataclasses.Field[Any], mistakes: list[str]
) -> Callable[[], Any] | None:
    if source.default is not MISSING:
        constant = source.default
        return lambda: constant
    if source.default_factory is MISSING:
        return None
    try:
        source.default_factory()
    except Exception as error:  # noqa: BLE001 -- the factory is the user's and may raise anything
        mistakes.append(
            f"{record.cls.__name__}.{source.name}: its default_factory raised "
            f"{type(error).__name__} ({error}); make it give a value"
        )
        return None
    return source.default_factory


def _default_first(shape: Shape, value: Any) -> Shape:
    if not isinstance(shape, Union):
        return shape
    first = [branch for branch in shape.branches if fits(branch, value)]
    return Union((*first, *(branch for branch in shape.branches if branch not in first)))


def _write_down(record: Record, item: Field, make: Callable[[], Any], mistakes: list[str]) -> None:
    value, again = make(), make()
    constant = value is again
    try:
        if not constant and (value != again or _of_the_moment(item.shape)):
            return  # uuid4 and now: not one value, so not one that a schema could state
        item.default = Default(make, constant, default_json(item.shape, value))
    except NoDefaultForm:
        return
    except (Unfit, AttributeError, UnicodeEncodeError):
        mistakes.append(
            f"{record.cls.__name__}.{item.name}: its default {value!r} is not of its type; "
            "correct one of them"
        )


def _of_the_moment(shape: Shape) -> bool:
    branches = shape.branches if isinstance(shape, Union) else (shape,)
    return any(isinstance(branch, Stamp | Day | Uuid) for branch in branches)
