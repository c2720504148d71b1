"""Fixtures for export and import: a log to copy to beside the one of the world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transfer_tools import Copies
from world import World


@pytest.fixture
def copies(
    world: World, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Copies]:
    """The world that is copied from, and others to copy to."""
    monkeypatch.setattr("kstate.transfer.reading.WAIT_S", 0.02)
    monkeypatch.setattr("kstate.transfer.seat.POLL_S", 0.02)
    made = Copies(world, request, tmp_path)
    try:
        yield made
    finally:
        made.close()
