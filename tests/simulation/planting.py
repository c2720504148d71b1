"""How bugs are planted on purpose, and registered with the checks that must find them.

A bug that no longer fits the code would be found as the `TypeError` it makes.  So what is put in
the place of something must take the same arguments, and set only what is there: `PlantUnfit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from inspect import Parameter, signature
from typing import Any, NamedTuple
from unittest.mock import patch

from sim_plan import Plan


class PlantUnfit(Exception):
    """A bug cannot be planted any more: the code has changed under it."""


class Plant(NamedTuple):
    """A bug."""

    planted: Callable[[], AbstractContextManager[object]]
    found_by: tuple[str, ...]
    """The checks that must find it, all of them; behind a colon: what the violation must say."""
    where: Callable[[Plan], bool]
    """Whether a plan may meet it: other seeds are passed over."""


PLANTS: dict[str, Plant] = {}


Bug = Callable[[], Iterator[None]]


def anywhere(plan: Plan) -> bool:
    """Any plan."""
    return True


def with_days_gone_by(plan: Plan) -> bool:
    """Where offsets and tombstones expire."""
    return any(each.kind == "idle" and each.fields["days"] > 7 for each in plan.actions)


def with_an_old_store(plan: Plan) -> bool:
    """Where a local store may have what was erased so long ago that no tombstone tells of it."""
    erases = any(each.kind == "idle" and each.fields["erases"] for each in plan.actions)
    return erases and plan.settings.kept and with_days_gone_by(plan)


def plant(*found_by: str, where: Callable[[Plan], bool] = anywhere) -> Callable[[Bug], Bug]:
    """Registers a bug under its name."""

    def register(function: Bug) -> Bug:
        name = function.__name__.replace("_", " ")
        PLANTS[name] = Plant(contextmanager(function), found_by, where)
        return function

    return register


def broken(owner: Any, name: str, function: Callable[..., Any]) -> AbstractContextManager[object]:
    """Puts a function in the place of another one that is called the same way."""
    real = getattr(owner, name, None)
    where = f"{getattr(owner, '__name__', owner)}.{name}"
    if real is None:
        raise PlantUnfit(f"there is no {where}")
    if misfit := _misfit(real, function):
        raise PlantUnfit(
            f"{where}{signature(real)} is called otherwise than what is put in its place, "
            f"{signature(function)}: {misfit}"
        )
    return patch.object(owner, name, function)


def change(owner: Any, **values: object) -> None:
    """Sets attributes that are there."""
    for name, value in values.items():
        if not hasattr(owner, name):
            raise PlantUnfit(f"{type(owner).__name__} has no {name}")
        setattr(owner, name, value)


def _misfit(real: Callable[..., Any], function: Callable[..., Any]) -> str:
    """Why one may not stand for the other; empty when it may."""
    wanted, told = signature(real).parameters.values(), signature(function)
    for needed in (False, True):
        given = [each for each in wanted if not needed or each.default is Parameter.empty]
        by_place = [each.name for each in given if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
        by_name = [each.name for each in given if each.kind is Parameter.KEYWORD_ONLY]
        try:
            bound = told.bind(*by_place, **{name: name for name in by_name})
        except TypeError as error:
            return str(error)
        for name, value in bound.arguments.items():
            if isinstance(value, str) and value != name:
                return f"{value} would be its {name}"
    return ""
