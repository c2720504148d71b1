"""Fixtures of the verification."""

from __future__ import annotations

import pytest
from damaging import Scene
from world import World


@pytest.fixture
def scene(world: World) -> Scene:
    """A journal to be damaged, on each log."""
    return Scene(world)
