"""docs/queries.md and docs/replay.md are true: their blocks are run, and print what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pages import ROOT, Shell, blocks, check_blocks, follow

PAGES = ("queries.md", "replay.md")


@pytest.mark.parametrize("name", PAGES)
def test_every_block_does_what_the_page_says(name: str, shell: Shell, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "processors", tmp_path / "processors")
    assert follow(blocks(ROOT / "docs" / name), tmp_path, shell) > 5
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_every_block_is_one_that_the_test_runs(name: str) -> None:
    check_blocks(ROOT / "docs" / name, {"python", "output", "console"})
