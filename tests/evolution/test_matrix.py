"""The matrix of docs/schema-evolution.md says what happens when each change is performed."""

from __future__ import annotations

from pathlib import Path

import pytest
from matrix_changes import CHANGES, Change
from matrix_page import perform, rows_written, text_of, words_written, written

AGAIN = "write it anew: python tests/evolution/matrix_page.py"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.title)
def test_a_change_does_what_the_page_says(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.worker.IDLE_S", 0.05)
    monkeypatch.setattr("kstate.replies.WAIT_S", 0.02)
    monkeypatch.setattr("kstate.query.scan.WAIT_S", 0.02)
    monkeypatch.setattr("kstate.query.tail.WAIT_S", 0.02)
    row = perform(change, tmp_path)
    assert rows_written().get(change.title) == row.cells(), AGAIN
    assert words_written().get(change.title, {}) == row.words, AGAIN


def test_what_frames_the_rows_is_what_the_page_has() -> None:
    for line in text_of([]).splitlines():
        assert line in written().splitlines(), AGAIN


def test_the_page_has_the_changes_there_are_and_no_others() -> None:
    assert list(rows_written())[1:] == [change.title for change in CHANGES], AGAIN
    assert words_written().keys() <= {change.title for change in CHANGES}, AGAIN
