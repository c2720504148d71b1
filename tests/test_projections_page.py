"""docs/projections.md is true: its blocks are run in their order, and print what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import Shell, blocks, check_blocks, check_types, follow

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "projections.md"
BLOCKS = blocks(PAGE)

pytestmark = pytest.mark.timeout(300)


def test_every_block_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    assert follow(BLOCKS, tmp_path, shell) > 15
    for name in ("worker.log", "shelves.log", "rebuild.log", "notices.log"):
        assert "Traceback" not in (tmp_path / name).read_text(), name


def test_every_block_is_one_that_the_test_runs() -> None:
    check_blocks(PAGE, {"python", "console"})


def test_every_python_block_is_typed(tmp_path: Path) -> None:
    check_types(BLOCKS, tmp_path)
