"""How far long work is, where standard error is no terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kstate.cli.progress import progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("kstate.cli.progress.time", SimpleNamespace(monotonic=made))
    return made


def told(clock: Clock, capsys: Any, total: int, *steps: int) -> list[str]:
    """What is said of work that takes 5 s for each step."""
    with progress("records", total) as shown:
        for step in steps:
            clock.now += 5.0
            shown.advance(step)
    captured = capsys.readouterr()
    assert captured.out == ""
    return list(captured.err.splitlines())


def test_each_line_says_how_much_time_is_left(clock: Clock, capsys: Any) -> None:
    assert told(clock, capsys, 100_000, 10_000, 30_000) == [
        "records: 10,000 of about 100,000 (2,000/s, about 45 s left)",
        "records: 40,000 of about 100,000 (4,000/s, about 15 s left)",
    ]


def test_what_is_longer_than_it_was_thought_says_nothing_of_its_end(
    clock: Clock, capsys: Any
) -> None:
    assert told(clock, capsys, 10, 10, 10) == [
        "records: 10 of about 10 (2/s)",
        "records: 20 of about 10 (2/s)",
    ]


def test_nothing_done_has_no_end_in_sight(clock: Clock, capsys: Any) -> None:
    assert told(clock, capsys, 10, 0) == ["records: 0 of about 10 (0/s)"]


def test_short_work_says_nothing(clock: Clock, capsys: Any) -> None:
    with progress("records", 10) as shown:
        clock.now += 4.9
        shown.advance(10)
    assert capsys.readouterr() == ("", "")
