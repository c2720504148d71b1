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


def said(old: Version, new: Version, directory: Path) -> str:
    """The sentence about the event after the old one was frozen."""
    freeze(AvroCodec(definition_of(of_events(old, ()))), directory)
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
