"""Fixtures for projections: a database of each kind, and processes in threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage
from tally import Sums
from world import World

from kstate.testing.plugin import without
from kstate.testing.postgres_local import NoPostgres, fresh_database, postgres


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The embedded log: what differs on Kafka has tests of its own."""
    return f"sqlite:{tmp_path}/log.db?sync=normal"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL, one for the whole run; without one the tests are skipped, or fail in CI."""
    try:
        with postgres() as found:
            yield found
    except NoPostgres as error:
        without(error)


@pytest.fixture
def postgres_url(server: str) -> Iterator[str]:
    """An empty PostgreSQL database."""
    with fresh_database(server) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rows.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def stage(world: World, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Projections of a world in a database."""
    monkeypatch.setattr("kstate.projection.runner.LOOK_S", 0.02)
    monkeypatch.setattr("kstate.projection.runner.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("kstate.projection.following.POLL_S", 0.02)
    monkeypatch.setattr("kstate.projection.following.RETRY_S", 0.02)
    monkeypatch.setattr(Sums, "bad", set())
    made = Stage(world, database)
    try:
        yield made
    finally:
        made.close()
