"""A machine without Docker, Java and PostgreSQL, and an engine that answers all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine, serving
from testcontainers.core.config import testcontainers_config

from kstate.testing import broker, postgres_local, registry_local


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that tests could run on is there."""
    for module in (broker, postgres_local, registry_local):
        monkeypatch.delenv(module.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres_local, "_PLACES", ())


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, bare: None) -> Iterator[FakeEngine]:
    """A Docker engine, and nothing else."""
    with serving(FakeEngine()) as made:
        monkeypatch.setenv("DOCKER_HOST", made.url)
        monkeypatch.setattr(broker, "docker_runs", lambda: True)
        monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
        yield made
