"""Which annotations have an Avro form, and what is said of those that have none."""

from __future__ import annotations

import datetime
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar, NewType, TypeVar

import immutables
import pytest
from codec_samples import Account, Colour, Everything, Money, Node, Pair

from kstate.codec.derive import Aliases, NoAvroForm, Scale, derive, mutable_parts, namespace_of
from kstate.codec.hints import NoReplyType, reply_annotation, resolve_hints
from kstate.core.messages import Command, Deleted, GetState, Noted

T = TypeVar("T")
Cents = NewType("Cents", int)


def fields_of(cls: type, **scope: Any) -> dict[str, Any]:
    return {item["name"]: item for item in derive(cls, "bank", scope)["fields"]}


def mistakes_of(annotation: Any, **scope: Any) -> str:
    with pytest.raises(NoAvroForm) as caught:
        derive(annotation, "bank", scope)
    return "\n".join(caught.value.reasons)


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (int, "long"), (float, "double"), (bool, "boolean"), (str, "string"), (bytes, "bytes"),
        (None, "null"), (Cents, "long"), (typing.Literal["a"], "string"),
        (datetime.datetime, {"type": "long", "logicalType": "timestamp-micros"}),
        (datetime.date, {"type": "int", "logicalType": "date"}),
        (uuid.UUID, {"type": "string", "logicalType": "uuid"}),
        (Annotated[Decimal, Scale(2)],
         {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}),
        (Annotated[Decimal, Scale(0, precision=18)],
         {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 0}),
        (Colour, {"type": "enum", "name": "Colour", "namespace": "bank",
                  "symbols": ["RED", "GREEN"]}),
        (int | None, ["long", "null"]), (typing.Optional[str], ["string", "null"]),  # noqa: UP045
        (typing.Union[int, str, int], ["long", "string"]),  # noqa: UP007
        (list[int], {"type": "array", "items": "long"}),
        (tuple[int, ...], {"type": "array", "items": "long"}),
        (Sequence[str], {"type": "array", "items": "string"}),
        (typing.Sequence[str], {"type": "array", "items": "string"}),
        (dict[str, int], {"type": "map", "values": "long"}),
        (Mapping[str, int], {"type": "map", "values": "long"}),
        (immutables.Map[str, int], {"type": "map", "values": "long"}),
    ],
)  # fmt: skip
def test_an_annotation_has_its_schema(annotation: Any, schema: Any) -> None:
    assert derive(annotation, "bank") == schema


def test_a_record_bears_the_processors_name_and_its_own() -> None:
    schema = derive(Money, "bank")
    assert (schema["namespace"], schema["name"]) == ("bank", "Money")


def test_a_type_that_occurs_twice_is_spelt_out_once() -> None:
    text = str(derive(Everything, "bank"))
    assert text.count("'name': 'Money'") == 1


def test_a_recursive_type_names_itself() -> None:
    assert derive(Node, "bank")["fields"][1]["type"] == ["null", "bank.Node"]


def test_the_reserved_types_have_a_namespace_of_their_own() -> None:
    for cls in (Noted, Deleted, GetState):
        assert derive(cls, "bank")["namespace"] == "kstate"


@pytest.mark.parametrize(
    ("name", "namespace"),
    [("bank", "bank"), ("money-transfer", "money_transfer"), ("a.b-c", "a.b_c"), ("2nd", "_2nd")],
)
def test_a_processor_name_becomes_a_namespace(name: str, namespace: str) -> None:
    assert namespace_of(name) == namespace


# -- defaults ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Defaults:
    plain: int
    number: int = 5
    real: float = 2
    nothing: int | None = None
    something: int | None = 5
    colour: Colour = Colour.GREEN
    raw: bytes = b"\xff"
    price: Annotated[Decimal, Scale(2)] = Decimal("1.50")
    day: datetime.date = datetime.date(1970, 1, 3)
    at: datetime.datetime = datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)
    money: Money = Money(Decimal(1))  # noqa: RUF009 -- frozen
    items: tuple[int, ...] = (1, 2)
    made: list[str] = field(default_factory=list)
    fresh: uuid.UUID = field(default_factory=uuid.uuid4)
    endless: float = float("inf")


def test_a_default_stands_in_the_schema() -> None:
    found = fields_of(Defaults)
    assert {name: item["default"] for name, item in found.items() if "default" in item} == {
        "number": 5, "real": 2.0, "nothing": None, "something": 5, "colour": "GREEN",
        "raw": "\xff", "price": "\x00\x96", "day": 2, "at": 1_000_000,
        "money": {"amount": "d", "currency": "EUR"}, "items": [1, 2], "made": [],
    }  # fmt: skip


def test_the_defaults_branch_comes_first_in_a_union() -> None:
    found = fields_of(Defaults)
    assert found["nothing"]["type"] == ["null", "long"]
    assert found["something"]["type"] == ["long", "null"]


def test_the_reference_accepts_the_defaults() -> None:
    import json

    import avro.schema

    assert avro.schema.parse(json.dumps(derive(Defaults, "bank"))).fullname == "bank.Defaults"


def test_a_default_of_another_type_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Wrong:
        number: int = "5"  # type: ignore[assignment]

    assert (
        mistakes_of(Wrong)
        == "Wrong.number: its default '5' is not of its type; correct one of them"
    )


def test_a_factory_that_raises_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Wrong:
        number: int = field(default_factory=lambda: 1 // 0)

    assert "default_factory raised ZeroDivisionError" in mistakes_of(Wrong)


# -- hints ------------------------------------------------------------------------------------


def test_hints_resolve_with_the_locals_of_the_defining_frame_and_are_remembered() -> None:
    @dataclass(frozen=True)
    class Inner:
        number: int

    @dataclass(frozen=True)
    class Outer:
        inner: Inner | None

    assert "name 'Inner' is not defined" in mistakes_of(Outer)
    assert derive(Outer, "bank", locals())["name"] == "Outer"
    assert derive(Outer, "bank")["name"] == "Outer"


def test_fields_of_a_base_class_come_first() -> None:
    @dataclass(frozen=True)
    class Base:
        first: int
        kind: ClassVar[str] = "x"

    @dataclass(frozen=True)
    class Derived(Base):
        second: str

    assert list(fields_of(Derived)) == ["first", "second"]
    assert Pair(Derived).again(Derived(1, "x")) == Derived(1, "x")


def test_annotated_metadata_of_others_is_passed_over() -> None:
    assert derive(Annotated[int, "metres"], "bank") == "long"


def test_former_names_stand_in_the_schema() -> None:
    @dataclass(frozen=True)
    class Renamed:
        avro_aliases: ClassVar[tuple[str, ...]] = ("OldName",)
        amount: Annotated[int, Aliases("cents")]

    schema = derive(Renamed, "bank")
    assert schema["aliases"] == ["OldName"]
    assert schema["fields"][0]["aliases"] == ["cents"]


def test_the_reply_type_is_found_through_inheritance() -> None:
    class Base(Command["Money | None"]):
        pass

    class Derived(Base):
        pass

    assert reply_annotation(Derived) == Money | None


def test_a_command_without_a_reply_type_is_told_the_cure() -> None:
    class Bare(Command):  # type: ignore[type-arg]
        pass

    with pytest.raises(NoReplyType, match=r"derive it from Command\[T\]"):
        reply_annotation(Bare)


def test_annotations_that_cannot_be_evaluated_are_a_name_error() -> None:
    @dataclass(frozen=True)
    class Odd:
        field: "1 +"  # noqa: F722

    with pytest.raises(NameError):
        resolve_hints(Odd)


# -- states -----------------------------------------------------------------------------------


def test_a_state_of_immutable_parts_is_usable() -> None:
    assert mutable_parts(Account, "bank") == []


def test_each_mutable_part_of_a_state_is_named_with_its_cure() -> None:
    @dataclass(frozen=True)
    class Inner:
        table: dict[str, int]

    @dataclass(frozen=True)
    class State:
        listed: list[int]
        inner: tuple[Inner, ...] = ()
        deep: Mapping[str, list[int]] | None = None

    parts = mutable_parts(State, "bank", locals())
    assert [part.partition(" ")[0] for part in parts] == [
        "State.listed",
        "Inner.table",
        "State.deep[…]",
    ]
    assert "write tuple[T, ...]" in parts[0]
    assert "write Mapping[str, T] or immutables.Map[str, T]" in parts[1]
