"""A store of a user's own is named by its entry point."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from counter import Add, Counter, Save
from world import World

CODE = """
from kstate.store.memory import MemoryStore

opened = []


class Cupboard(MemoryStore):
    def __init__(self, directory, shelf="lowest"):
        super().__init__(directory)
        opened.append((directory, shelf))
"""


@pytest.fixture
def cupboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A distribution with a store, as pip leaves it."""
    (tmp_path / "own_cupboard.py").write_text(CODE)
    installed = tmp_path / "own_cupboard-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-cupboard\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[kstate.stores]\ncupboard = own_cupboard:Cupboard\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_cupboard", raising=False)
    return importlib.import_module("own_cupboard")


def test_a_worker_keeps_its_snapshots_where_its_setting_says(world: World, cupboard: Any) -> None:
    world.run(Counter, partitions=1, store="cupboard?shelf=upper")
    world.call(Counter, "a", Add(3))
    world.call(Counter, "a", Save())
    assert world.call(Counter, "a", Add(1)) == 4
    ((directory, shelf),) = cupboard.opened
    assert shelf == "upper"
    assert directory.is_relative_to(world.data)
