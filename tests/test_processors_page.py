"""docs/processors.md is true: its blocks are run in their order, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

from pages import Shell, blocks, check_types, follow

import kstate
from kstate.core.context import Context
from kstate.processor import Processor

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "processors.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = blocks(PAGE)


def test_every_block_does_what_the_page_says(shell: Shell, tmp_path: Path) -> None:
    assert follow(BLOCKS, tmp_path, shell) > 5
    worker = (tmp_path / "worker.log").read_text()
    assert "Traceback" not in worker


def test_every_python_block_is_run_by_a_command_of_the_page() -> None:
    commands = "".join(text for language, text in BLOCKS if language == "console")
    for language, text in BLOCKS:
        assert language in ("python", "console")
        if language == "python":
            module = text.split()[1].removesuffix(".py")
            assert re.search(rf"\b{module}(:|\.py\b)", commands), module


def test_every_python_block_is_typed(tmp_path: Path) -> None:
    check_types(BLOCKS, tmp_path)


def test_everything_public_of_a_context_is_in_its_table() -> None:
    names = [name for name in dir(Context) if not name.startswith("_")]
    told = re.findall(r"^\| (`.*?) \|", TEXT, re.M)
    for name in names:
        assert any(re.search(rf"`{name}[(`]", row) for row in told), name


def test_every_setting_of_a_processor_is_in_its_table() -> None:
    for name in Processor.__annotations__.keys() - {"name", "__kstate__"}:
        assert f"| `{name}` |" in TEXT


def test_the_table_of_errors_names_what_the_package_offers() -> None:
    table = TEXT.partition("### What a client raises")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", table, re.M))
    offered = {
        name
        for name in kstate.__all__
        if isinstance(found := getattr(kstate, name), type)
        and issubclass(found, kstate.KStateError)
    }
    assert told == offered - {"KStateError", "DefinitionError"}
