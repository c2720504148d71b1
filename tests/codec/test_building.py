"""Plain data, as adapters see it, becomes what was encoded; made-up data becomes something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, make_dataclass
from typing import Any, ClassVar

import pytest
from codec_samples import (
    Colour,
    Deposited,
    Everything,
    Line,
    Money,
    Node,
    Planted,
    bank_codec,
    everything,
    records,
)
from hypothesis import HealthCheck, given, settings

from kstate import EventAdapter, Stored
from kstate.codec.building import compile_builder
from kstate.codec.decoders import compile_decoder
from kstate.codec.derive import shape_of
from kstate.codec.encoders import compile_encoder
from kstate.codec.samples import MAX_SAMPLES, samples, words_of
from kstate.codec.scalars import GENERIC
from kstate.codec.shapes import schema_of
from kstate.codec.writers import parse
from kstate.errors import EncodeError


def rebuilt(cls: Any, value: Any) -> Any:
    """A value that was encoded, read as plain data and built anew."""
    shape = shape_of(cls, "t")
    plain = compile_decoder(parse(schema_of(shape)), GENERIC, "it").read
    return compile_builder(shape)(plain(compile_encoder(shape, "it")(value), 0), "it")


def test_a_string_is_read_as_bytes_and_the_other_way_round() -> None:
    texts = make_dataclass("Texts", [("a", str), ("b", bytes)], frozen=True)
    assert build(texts, {"a": b"x", "b": "y"}) == texts("x", b"y")
    with pytest.raises(EncodeError, match=r"Texts.a is not UTF-8"):
        build(texts, {"a": b"\xff", "b": b""})


def build(cls: Any, data: Any) -> Any:
    return compile_builder(shape_of(cls, "t"))(data, "it")


slow = settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@slow
@given(records())
def test_what_was_encoded_is_built_again_from_plain_data(made: tuple[type, Any]) -> None:
    cls, value = made
    assert rebuilt(cls, value) == value


def test_every_type_there_is_is_built_again() -> None:
    assert rebuilt(Everything, everything()) == everything()


@slow
@given(records())
def test_made_up_data_is_data_of_its_schema(made: tuple[type, Any]) -> None:
    shape = shape_of(made[0], "t")
    found = samples(parse(schema_of(shape)), words_of([shape]))
    assert 1 <= len(found) <= MAX_SAMPLES
    encode = compile_encoder(shape, "it")
    for data in found:
        encode(compile_builder(shape)(data, "it"))


def test_made_up_data_has_every_branch_and_every_symbol() -> None:
    found = samples(parse(schema_of(shape_of(Everything, "t"))))
    assert {each["colour"] for each in found} == {member.name for member in Colour}
    assert {type(each["either"]).__name__ for each in found} == {"int", "str", "dict", "NoneType"}
    assert {next(iter(e["either"])) for e in found if isinstance(e["either"], dict)} == {
        "Money", "Line",
    }  # fmt: skip


def test_made_up_data_of_a_type_that_holds_itself_comes_to_an_end() -> None:
    assert 1 <= len(samples(parse(schema_of(shape_of(Node, "t"))))) <= MAX_SAMPLES


@dataclass(frozen=True)
class Leaf:
    size: int


@dataclass(frozen=True)
class Tree:
    left: Tree | Leaf
    right: Tree | Leaf


def test_made_up_data_of_a_tree_whose_leaves_are_records_comes_to_an_end() -> None:
    shape = shape_of(Tree, "t")
    found = samples(parse(schema_of(shape)))
    assert {next(iter(each["left"])) for each in found} == {"Tree", "Leaf"}
    assert all(isinstance(compile_builder(shape)(each, "it"), Tree) for each in found)


def test_there_is_no_made_up_data_of_a_type_that_would_be_without_end_or_bound() -> None:
    def record(name: str, *types: Any) -> Any:
        fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
        return {"type": "record", "name": name, "fields": fields}

    doubled = record("D30", "null")
    for level in reversed(range(30)):
        doubled = record(f"D{level}", doubled, f"D{level + 1}")
    chain = record("T", *(record(f"C{n}", f"C{n - 1}" if n else "long") for n in range(900)))
    for schema in (record("N", "N"), doubled, chain):
        assert samples(parse(schema)) == []
    endless = record("N", [record("M", ["N", "M"]), "N"])
    of_none = samples(parse(record("T", {"type": "array", "items": endless})))
    assert of_none == [{"f0": []}] * 2


@dataclass(frozen=True)
class Renamed:
    avro_aliases: ClassVar[tuple[str, ...]] = ("Former",)
    value: int


@dataclass(frozen=True)
class Holder:
    one: Renamed | Money | None = None
    rate: float = 0.0
    colour: Colour | str = Colour.RED
    lines: tuple[Line, ...] = ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, Holder()),
        ({"one": {"Renamed": {"value": 5}}}, Holder(Renamed(5))),
        ({"one": {"Former": {"value": 5}}}, Holder(Renamed(5))),
        ({"one": {"value": 5}}, Holder(Renamed(5))),
        ({"rate": 2}, Holder(rate=2.0)),
        ({"colour": "GREEN"}, Holder(colour=Colour.GREEN)),
        ({"colour": Colour.GREEN}, Holder(colour=Colour.GREEN)),
        ({"colour": "PINK"}, Holder(colour="PINK")),
        ({"lines": []}, Holder()),
    ],
)
def test_an_adapter_may_give_the_shorter_forms(data: Any, expected: Holder) -> None:
    assert build(Holder, data) == expected


@pytest.mark.parametrize(
    ("cls", "data", "sentence"),
    [
        (Holder, {"rate": "2"}, "Holder.rate is to be a float"),
        (Holder, {"one": {"unknown": 5}}, "Holder.one is to be"),
        (Holder, {"lines": {"a": 1}}, "Holder.lines is to be a list"),
        (Holder, {"lines": [5]}, r"Holder.lines\[…\] is to be a dict with the fields of Line"),
        (Holder, [], "it is to be a dict with the fields of Holder"),
        (Renamed, {}, "Renamed.value is missing and has no default"),
        (Renamed, {"value": True}, "Renamed.value is to be an int"),
        (Renamed, {"value": 2**63}, "Renamed.value is beyond 64 bits"),
        (Money, {"amount": 5}, "Money.amount is to be a Decimal"),
        (Line, {"article": "\ud800"}, "Line.article holds a lone surrogate"),
    ],
)
def test_data_that_does_not_fit_is_refused_by_the_name_of_its_field(
    cls: Any, data: Any, sentence: str
) -> None:
    with pytest.raises(EncodeError, match=sentence):
        build(cls, data)


class PassesOn(EventAdapter):
    """Sees every stored event and changes none."""

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        yield stored


@pytest.mark.parametrize("event", [Deposited(5), Planted(Node(1, Node(2))), everything()])
def test_an_event_that_passes_an_adapter_unchanged_is_the_event(event: Any) -> None:
    codec = bank_codec(adapters=(PassesOn(),))
    assert codec.decode_event(codec.encode_event(event)) == event
