"""docs/tutorial-evolution.md is true: its blocks are run in their order, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

from pages import Shell, blocks, check_blocks, check_links, check_types, follow, steps

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial-evolution.md"
BLOCKS = blocks(PAGE)


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
    check_blocks(PAGE, {"python", "console"})


def test_the_code_of_the_last_day_is_typed(tmp_path: Path) -> None:
    check_types(BLOCKS, tmp_path)


def test_what_it_links_to_is_there() -> None:
    check_links(PAGE)
