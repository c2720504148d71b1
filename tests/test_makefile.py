"""What ``make setup`` says where it cannot work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A Python that finds itself too old for what it is asked, whatever that is."""
    python = tmp_path / "python3.10"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    return python


@pytest.mark.parametrize("missing", [False, True])
def test_a_python_that_is_too_old_or_missing_is_refused_in_one_sentence(
    old: Path, tmp_path: Path, missing: bool
) -> None:
    python = tmp_path / "nowhere" if missing else old
    venv = tmp_path / "venv"
    done = subprocess.run(
        ["make", "setup", f"PYTHON={python}", f"VENV={venv}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        # not as a part of the make that runs the tests
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )
    assert done.returncode != 0
    assert done.stdout.splitlines() == [
        (
            f"{python} is no Python 3.11 or newer, which kstate needs: name another one with "
            "PYTHON=/path/to/python"
        )
    ]
    assert not venv.exists()
