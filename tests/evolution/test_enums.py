"""Enums that lose members or change their names."""

from __future__ import annotations

from dataclasses import make_dataclass
from enum import Enum
from functools import cache
from typing import Any

import pytest

from kstate.codec.decoders import compile_decoder
from kstate.codec.derive import NoAvroForm, derive, shape_of
from kstate.codec.encoders import compile_encoder
from kstate.codec.shapes import schema_of
from kstate.codec.writers import fingerprint, parse


class Color(Enum):
    RED = 1
    GREEN = 2


class Colour(Enum):
    __avro_aliases__ = ("Color",)
    __avro_default__ = "OTHER"
    RED = 1
    OTHER = 3


@cache
def holder(kind: Any) -> Any:
    return make_dataclass("Holder", [("colour", kind)], frozen=True)


def read_as(new: Any, old: Any, value: Any) -> Any:
    """A member that was written as ``old`` and is read as ``new``."""
    before, now = shape_of(holder(old), "t"), shape_of(holder(new), "t")
    data = compile_encoder(before, "it")(holder(old)(value))
    return compile_decoder(parse(schema_of(before)), now, "it").read(data, 0).colour


def test_a_member_that_is_gone_becomes_the_default() -> None:
    assert read_as(Colour, Color, Color.GREEN) is Colour.OTHER


def test_a_member_that_is_still_there_stays_itself_in_an_enum_of_another_name() -> None:
    assert read_as(Colour, Color, Color.RED) is Colour.RED


def test_an_enum_of_another_name_without_an_alias_is_another_type() -> None:
    before, now = shape_of(holder(Colour), "t"), shape_of(holder(Color), "t")
    (problem,) = compile_decoder(parse(schema_of(before)), now, "it").problems
    assert str(problem).startswith("Holder.colour: it was Colour and is Color now")
    assert "if it was renamed, name Colour in __avro_aliases__ of Color" in str(problem)


def test_an_enum_of_another_name_that_may_be_none_has_the_same_cure() -> None:
    before, now = shape_of(holder(Colour), "t"), shape_of(holder(Color | None), "t")
    (problem,) = compile_decoder(parse(schema_of(before)), now, "it").problems
    assert "if it was renamed, name Colour in __avro_aliases__ of Color" in str(problem)


def test_default_and_aliases_stand_in_the_schema_and_not_in_its_fingerprint() -> None:
    schema = derive(Colour, "t")
    assert (schema["default"], schema["aliases"]) == ("OTHER", ["Color"])
    bare = {key: value for key, value in schema.items() if key not in ("default", "aliases")}
    assert fingerprint(schema) == fingerprint(bare)


def test_neither_of_them_is_a_member() -> None:
    assert [member.name for member in Colour] == ["RED", "OTHER"]


def test_a_default_that_is_no_member_is_refused() -> None:
    class Wrong(Enum):
        __avro_default__ = "OTHER"
        RED = 1

    with pytest.raises(NoAvroForm, match=r"Wrong.__avro_default__ is 'OTHER', which is no member"):
        derive(Wrong, "t")
