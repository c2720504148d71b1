"""Progress as it stands in a commit's metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kstate.core.messages import Progress

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
