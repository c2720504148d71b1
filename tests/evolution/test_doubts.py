"""What ``check`` asks about though Avro resolves it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from matrix_changes import Version, entry
from matrix_run import of_events

from kstate import Aliases
from kstate.codec.avro import AvroCodec
from kstate.codec.schemas import check, freeze
from kstate.processor import definition_of

OLD = entry(("cents", int), ("note", str, ""), cents=5)


def said(old: Version, new: Version, directory: Path, *between: Version) -> str:
    """The sentence about the event after the old ones were frozen."""
    for each in (old, *between):
        freeze(AvroCodec(definition_of(of_events(each, ()))), directory)
    findings = check(AvroCodec(definition_of(of_events(new, ()))), directory)
    (found,) = [each for each in findings if each.type_name == "Entry"]
    assert found.verdict == "ok"
    return found.sentence


def test_a_field_that_went_while_one_of_its_type_came_may_have_been_renamed(
    tmp_path: Path,
) -> None:
    new = entry(("note", str, ""), ("amount", int, 0))
    assert 'if it was renamed, write Annotated[…, Aliases("cents")]' in said(OLD, new, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        (("note", str, ""),),
        (("cents", int), ("note", str, ""), ("amount", int, 0)),
        (("note", str, ""), ("rate", float, 0.0)),
        (("note", str, ""), ("amount", Annotated[int, Aliases("cents")], 0)),
    ],
)
def test_there_is_no_doubt_about_other_changes(fields: Any, tmp_path: Path) -> None:
    assert "renamed" not in said(OLD, entry(*fields), tmp_path)


def with_note(default: str, *more: Any) -> Version:
    return entry(("cents", int), ("note", Annotated[str, Aliases("text")], default), *more)


def test_a_default_that_changed_is_another_value_of_data_without_the_field(tmp_path: Path) -> None:
    words = said(entry(("cents", int)), with_note("y"), tmp_path, with_note("x"))
    assert 'stored data without note was read with "x" and is read with "y" now' in words


@pytest.mark.parametrize(
    "old",
    [
        entry(("cents", int), ("note", str)),
        entry(("cents", int), ("text", str)),
        with_note("z"),
    ],
)
def test_there_is_no_doubt_about_a_default_where_all_data_has_the_field(
    old: Version, tmp_path: Path
) -> None:
    words = said(old, with_note("y"), tmp_path, with_note("x"))
    assert "was read with" not in words


def test_there_is_no_doubt_about_a_default_that_stayed(tmp_path: Path) -> None:
    new = with_note("x", ("more", int, 0))
    words = said(entry(("cents", int)), new, tmp_path, with_note("x"))
    assert "was read with" not in words
