"""docs/projections.md is true: its blocks are run in their order, and print what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import Shell, blocks, follow

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "projections.md"
BLOCKS = blocks(PAGE)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.close()


def test_every_block_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    assert follow(BLOCKS, tmp_path, shell) > 15
    for name in ("worker.log", "shelves.log", "rebuild.log", "notices.log"):
        assert "Traceback" not in (tmp_path / name).read_text(), name


def test_every_block_is_one_that_the_test_runs() -> None:
    fences = re.findall(r"^```\w+", PAGE.read_text("utf-8"), re.M)
    assert len(fences) == len(BLOCKS)
    assert {language for language, _ in BLOCKS} == {"python", "console"}


def test_every_python_block_is_typed(tmp_path: Path) -> None:
    files = []
    for language, text in BLOCKS:
        if language == "python":
            files.append(text.split()[1])
            (tmp_path / files[-1]).write_text(text)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *files],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_what_it_links_to_is_there() -> None:
    for each in re.findall(r"\]\(([^)#]+)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / each).exists(), each
