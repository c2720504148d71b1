"""docs/verify.md is true: its blocks are run in their order, and it tells of every kind."""

from __future__ import annotations

from pathlib import Path

from pages import Shell, blocks, check_blocks, follow

from kstate.verify.check import PATIENCE_S
from kstate.verify.findings import KINDS, NOTES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verify.md"
TEXT = PAGE.read_text("utf-8")


def test_every_block_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    assert follow(blocks(PAGE), tmp_path, shell) > 6
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_every_block_is_one_that_the_test_runs() -> None:
    check_blocks(PAGE, {"python", "console"})


def test_every_kind_stands_in_its_table() -> None:
    damages, notes = TEXT.split("These two are notes.")
    for kind in KINDS:
        assert f"| `{kind}` |" in (notes if kind in NOTES else damages), kind


def test_the_patience_is_the_one_that_the_page_tells() -> None:
    assert f"The default, {PATIENCE_S:g}," in TEXT
