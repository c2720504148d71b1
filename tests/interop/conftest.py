"""Fixtures for programs that are not ours: a bank on a real Kafka, and Java."""

from __future__ import annotations

import shutil
from pathlib import Path

import java_programs
import pytest
from interop_tools import PARTITIONS
from java_programs import Java, NoJars
from world import World

from kstate.testing.plugin import without
from processors.bank import Bank


@pytest.fixture
def url(bootstrap: str) -> str:
    """Foreign programs speak to Kafka alone."""
    return f"kafka://{bootstrap}"


@pytest.fixture
def bank(world: World) -> World:
    """A world with a worker of the bank."""
    world.run(Bank, partitions=PARTITIONS)
    return world


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> Java:
    """Java with the programs compiled; where there is none, a test is skipped with the reason."""
    problem = java_programs.problem()
    if problem is not None:
        without(f"no Java to test with: {problem}")
    try:
        return Java(tmp_path_factory.mktemp("classes"))
    except NoJars as error:
        without(error)


@pytest.fixture(scope="session")
def kcat() -> str:
    """The program; Debian's package has its name."""
    found = shutil.which("kcat")
    if found is None:
        without("no kcat to test with: it is not installed")
    return found


@pytest.fixture
def schemas() -> Path:
    """The frozen schemas of the bank."""
    return Path(__file__).parents[2] / "schemas" / "bank"
