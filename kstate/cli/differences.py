"""What distinguishes one state from another, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kstate.cli.output import jsonable, plain

_ABSENT = object()


class Change(NamedTuple):
    """One field that differs; a value that is not there is `None` in ``before`` or ``after``."""

    path: str  # fields and keys, with dots; "" for the value as a whole
    before: Any
    after: Any

    def __str__(self) -> str:
        name = f"{self.path}: " if self.path else ""
        return f"{name}{plain(self.before)} → {plain(self.after)}"


def changes(before: Any, after: Any) -> list[Change]:
    """The fields of two states that differ, in the order of the first."""
    return list(_changes("", jsonable(before), jsonable(after)))


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            inner = f"{path}.{name}" if path else name
            yield from _changes(inner, before.get(name, _ABSENT), after.get(name, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for number in range(max(len(before), len(after))):
            pair = (each[number] if number < len(each) else _ABSENT for each in (before, after))
            yield from _changes(f"{path}[{number}]", *pair)
    elif before != after:
        yield Change(path, *(None if each is _ABSENT else each for each in (before, after)))
