"""What docs say of an index is true: the blocks are run, and print what they say."""

from __future__ import annotations

from pathlib import Path

from pages import Block, Shell, blocks
from reading_page import ROOT, run

BEFORE = """\
$ kstate run processors.bank:Bank > worker.log 2>&1 &
$ kstate call bank acct-1 Deposit amount=500
500
$ kstate call bank acct-1 Deposit amount=20000
20500
$ kstate call bank acct-2 Deposit amount=70
70
"""
"""How the page on queries, of which this is a section, begins."""


def test_every_block_does_what_the_page_says(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    try:
        page = [Block("console", BEFORE), *blocks(ROOT / "docs" / "queries-index.md")]
        assert run(page, tmp_path, shell) == 7
    finally:
        shell.close()
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
