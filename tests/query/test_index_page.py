"""What docs say of an index is true: the blocks are run, and print what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

from pages import ROOT, Block, Shell, blocks, follow

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


def test_every_block_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "processors", tmp_path / "processors")
    page = [Block("console", BEFORE), *blocks(ROOT / "docs" / "queries-index.md")]
    assert follow(page, tmp_path, shell) == 7
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
