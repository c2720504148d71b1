"""docs/queries.md and docs/replay.md are true: their blocks are run, and print what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import Shell, blocks
from reading_page import ROOT, run

PAGES = ("queries.md", "replay.md")


@pytest.mark.parametrize("name", PAGES)
def test_every_block_does_what_the_page_says(name: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    try:
        assert run(blocks(ROOT / "docs" / name), tmp_path, shell) > 5
    finally:
        shell.close()
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_every_block_is_one_that_the_test_runs(name: str) -> None:
    page = ROOT / "docs" / name
    fences = re.findall(r"^```\w+", page.read_text("utf-8"), re.M)
    assert len(fences) == len(blocks(page))
