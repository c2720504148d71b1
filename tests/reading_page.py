"""Pages whose commands and programs are run in their order; ``…`` stands for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pages import Block, Shell, steps

ROOT = Path(__file__).resolve().parents[1]


def matches(expected: str, found: str) -> bool:
    """Whether the lines are as the page has them; a line ``…`` is any number of lines."""
    pattern = re.escape(expected).replace(re.escape("…"), ".*")
    return re.fullmatch(pattern, found, re.S if expected == "…\n" else 0) is not None


def run(page: Sequence[Block], directory: Path, shell: Shell) -> int:
    """Runs every block, and looks at what it prints; how many commands and programs there were."""
    shutil.copytree(ROOT / "processors", directory / "processors")
    count = 0
    printed = ""
    for language, text in page:
        if language == "console":
            for command, expected in steps(text):
                found = shell.type(command)
                assert matches(expected, found), f"$ {command}\n{found}\nexpected\n{expected}"
                count += 1
        elif language == "python":
            printed = _python(text, directory)
            count += 1
        else:
            assert language == "output"
            assert printed == text
    return count


def _python(text: str, directory: Path) -> str:
    program = f'LOG = "sqlite:kstate.db"\n{text}'
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
