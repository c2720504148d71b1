"""A bank's journal with an index, for the tests of the index's file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import Books


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(f"sqlite:{tmp_path}/log.db?sync=normal", tmp_path, f"t{uuid.uuid4().hex[:8]}-")
    try:
        yield made
    finally:
        made.close()
