"""Where bugs that are planted on purpose are registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Plant = Callable[[], AbstractContextManager[object]]
PLANTS: dict[str, Plant] = {}


def plant(function: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
    """Registers a bug under its name."""
    PLANTS[function.__name__.replace("_", " ")] = contextmanager(function)
    return function
