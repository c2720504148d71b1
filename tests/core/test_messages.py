"""Progress as it stands in a commit's metadata."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kstate.core.messages import ImportMark, Progress

OFFSETS = st.integers(-1, 2**62)


@given(OFFSETS, OFFSETS, OFFSETS, OFFSETS, st.text())
def test_progress_is_read_back_as_it_was_written(
    offset: int, low_water: int, source: int, entities: int, instance: str
) -> None:
    progress = Progress(offset, low_water, source, entities)
    assert Progress.parse(offset, progress.metadata(instance)) == (progress, instance)


def test_the_metadata_are_these_bytes() -> None:
    assert Progress(9, 5, 8, 2).metadata("bank-x-0") == "1;5;8;2;bank-x-0"


@pytest.mark.parametrize(
    "metadata",
    ["", "1", "1;5;8;2", "2;5;8;2;i", "1;five;8;2;i", "1;;8;2;i", ";5;8;2;i", "offset=5"],
)
def test_other_metadata_are_not_taken_for_progress(metadata: str) -> None:
    assert Progress.parse(1, metadata) is None


@given(st.integers(0, 2**62), st.uuids(), OFFSETS, OFFSETS, OFFSETS)
def test_a_mark_of_an_import_is_read_back_as_it_was_written_and_is_no_progress(
    offset: int, archive: uuid.UUID, position: int, low_water: int, entities: int
) -> None:
    mark = ImportMark(offset, archive.hex, position, low_water, entities)
    assert ImportMark.parse(offset, mark.metadata()) == mark
    assert ImportMark.parse_note(mark.note()) == mark
    assert Progress.parse(offset, mark.metadata()) is None
    assert Progress.parse_note(mark.note()) is None


@pytest.mark.parametrize(
    "note", [b"", b"import", b"import;a;1;2;3", b"1;5;8;2", b"import;a;1;b;3;0"]
)
def test_other_notes_are_not_taken_for_a_mark(note: bytes) -> None:
    assert ImportMark.parse_note(note) is None
