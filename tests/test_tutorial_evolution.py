"""docs/tutorial-evolution.md is true: its blocks are run in their order, and print what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import Shell, blocks, follow, steps

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial-evolution.md"
BLOCKS = blocks(PAGE)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.close()


def checks() -> list[str]:
    """What each ``kstate schema check`` of the page prints."""
    found = [step for each in BLOCKS if each.language == "console" for step in steps(each.text)]
    return [step.output for step in found if step.command.startswith("kstate schema check")]


def test_every_block_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    assert follow(BLOCKS, tmp_path, shell) > 15
    worker = (tmp_path / "worker.log").read_text()
    assert "Traceback" not in worker
    assert "unreadable" not in worker, "the snapshot of the first day is read by its adapter"
    schemas = {path.name.partition(".")[0] for path in (tmp_path / "schemas" / "bank").iterdir()}
    assert schemas == {"Account", "Deposit", "Deposited", "Received"}


def test_the_check_refuses_each_change_before_it_is_content() -> None:
    verdicts = [re.findall(r"^(incompatible|missing) ", printed, re.M) for printed in checks()]
    assert verdicts == [["incompatible"], [], ["missing"], ["incompatible"], []]


def test_every_block_is_one_that_the_test_runs() -> None:
    fences = re.findall(r"^```\w+", PAGE.read_text("utf-8"), re.M)
    assert len(fences) == len(BLOCKS)
    assert {language for language, _ in BLOCKS} == {"python", "console"}


def test_the_code_of_the_last_day_is_typed(tmp_path: Path) -> None:
    names = set()
    for language, text in BLOCKS:
        if language == "python":
            names.add(name := text.split()[1])
            (tmp_path / name).write_text(text)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *sorted(names)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", PAGE.read_text("utf-8"))
    assert links
    for each in links:
        assert (PAGE.parent / each).exists(), each
