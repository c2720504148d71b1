"""mypy knows what a call returns, and refuses what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent


def test_mypy_says_of_the_snippet_what_its_comments_say(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYPYPATH", f"{HERE.parents[1]}:{HERE.parent}")
    monkeypatch.chdir(HERE.parents[1])
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("mypy")
    snippet = HERE / "snippet.py"
    out, err, _ = api.run(["--strict", "--no-error-summary", f"--cache-dir={cache}", str(snippet)])
    said = {
        (int(line), code)
        for line, code in re.findall(r"snippet\.py:(\d+): error: .*\[([a-z-]+)\]", out)
    }
    wanted = {
        (number, code)
        for number, line in enumerate(snippet.read_text().splitlines(), 1)
        for code in re.findall(r"# E: ([a-z-]+)", line)
    }
    assert wanted
    assert said == wanted, out + err
