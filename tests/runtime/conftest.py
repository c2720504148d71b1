"""Fixtures of the worker's tests: they run on the embedded log, whose file they can reach into."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The embedded log, whatever else other tests run on."""
    return f"sqlite:{tmp_path}/log.db?sync=normal"
