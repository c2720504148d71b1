"""docs/backup.md is true: its blocks are run in their order, and print what it says."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pages import Shell, blocks, check_blocks, check_links, follow
from world import PATIENCE_S

from kstate.testing.broker import administrator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "backup.md"
BLOCKS = blocks(PAGE)
BROKER = "kafka://localhost:9092"


@pytest.fixture
def prefix(bootstrap: str) -> Iterator[str]:
    """A prefix on the broker of the tests, whose topics go afterwards."""
    made = f"t{uuid.uuid4().hex[:8]}-"
    yield made
    admin = administrator(urlsplit(f"kafka://{bootstrap}").netloc)
    there = [name for name in admin.list_topics().topics if name.startswith(made)]
    for deleted in admin.delete_topics(there).values():
        deleted.result(PATIENCE_S)


def test_every_block_does_what_the_page_says(
    shell: Shell, tmp_path: Path, bootstrap: str, prefix: str
) -> None:
    shell.type(f"export KSTATE_PREFIX={prefix}")
    here = [
        each._replace(text=each.text.replace(BROKER, f"kafka://{bootstrap}")) for each in BLOCKS
    ]
    assert follow(here, tmp_path, shell) > 20
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_every_block_is_one_that_the_test_runs() -> None:
    check_blocks(PAGE, {"python", "console"})


def test_what_it_links_to_is_there() -> None:
    check_links(PAGE)
