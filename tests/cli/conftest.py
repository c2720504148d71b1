"""Fixtures for the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from shells import Processes, Shell, shell_on
from shop import Shop
from world import World


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, where the command line is used."""
    there = tmp_path / "here"
    there.mkdir()
    monkeypatch.chdir(there)
    for name in list(os.environ):
        if name.startswith("KSTATE_") and not name.startswith("KSTATE_TEST"):
            monkeypatch.delenv(name)
    return there


@pytest.fixture
def shell(world: World, directory: Path) -> Shell:
    """A shell whose log has a worker of the shop."""
    world.run(Shop)
    return shell_on({"KSTATE_LOG": world.url, "KSTATE_PREFIX": world.prefix})


@pytest.fixture
def reading(shop: World, directory: Path) -> Shell:
    """A shell whose log has the shop that the tests of a module only read."""
    return shell_on({"KSTATE_LOG": shop.url, "KSTATE_PREFIX": shop.prefix})


@pytest.fixture
def processes(directory: Path) -> Iterator[Processes]:
    """``kstate`` in processes of its own."""
    made = Processes(directory)
    try:
        yield made
    finally:
        made.close()
