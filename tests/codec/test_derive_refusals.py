"""Annotations, defaults and classes that have no Avro form, each refused with a cure."""

from __future__ import annotations

import datetime
import enum
import typing
import uuid
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, NewType, TypeVar

import immutables
import pytest
from codec_samples import Colour, Money, Node

from kstate.codec.derive import NoAvroForm, Scale, derive
from kstate.core.messages import Noted

T = TypeVar("T")
Cents = NewType("Cents", int)


def mistakes_of(annotation: Any, **scope: Any) -> str:
    with pytest.raises(NoAvroForm) as caught:
        derive(annotation, "bank", scope)
    return "\n".join(caught.value.reasons)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Decimal, "write Annotated[Decimal, Scale(2)]"),
        (Decimal | None, "write Annotated[Decimal, Scale(2)]"),
        (Any, "Any has no Avro form; name the type"),
        (object, "object has no Avro form; name the type"),
        (set[int], "use a tuple[T, ...]"), (frozenset, "use a tuple[T, ...]"),
        (bytearray, "use bytes"), (complex, "use two floats"),
        (datetime.timedelta, "use an int of microseconds"),
        (list, "list[T]"), (dict, "dict[str, T]"), (tuple, "tuple[T, ...]"),
        (Mapping, "Mapping[str, T]"),
        (dict[int, str], "keys of an Avro map are strings; use str keys"),
        (Mapping[bytes, str], "keys of an Avro map are strings"),
        (tuple[int, str], "a tuple of fixed length"), (tuple[int], "a tuple of fixed length"),
        (str | uuid.UUID, "both Avro's string"), (int | datetime.datetime, "both Avro's long"),
        (list[int] | tuple[str, ...], "both Avro's array"),
        (dict[str, int] | Mapping[str, str], "both Avro's map"),
        (bytes | Annotated[Decimal, Scale(2)], "both Avro's bytes"),
        (list[None], "takes no bytes"), (tuple[Noted, ...], "takes no bytes"),
        (typing.Literal[1, 2], "a Literal of anything but strings"),
        (T, "has no Avro form"), (typing.Callable[[], int], "has no Avro form"),
        (immutables.Map, "say what is in it"), (enum.Enum, "has no members"),
    ],
)  # fmt: skip
def test_a_type_without_an_avro_form_is_refused_with_a_cure(annotation: Any, words: str) -> None:
    assert words in mistakes_of(annotation)


def test_a_union_of_two_records_is_fine() -> None:
    assert len(derive(Money | Node | Colour, "bank")) == 3


def test_all_mistakes_are_told_at_once_each_with_its_field() -> None:
    @dataclass(frozen=True)
    class Inner:
        deep: set[int]

    @dataclass(frozen=True)
    class Outer:
        first: Any
        inner: tuple[Inner, ...]
        price: Decimal
        late: int = "x"  # type: ignore[assignment]

    reasons = mistakes_of(Outer, Inner=Inner).splitlines()
    assert [reason.partition(":")[0] for reason in reasons] == [
        "Outer.first", "Inner.deep", "Outer.price", "Outer.late",
    ]  # fmt: skip


def test_a_dataclass_that_is_not_frozen_is_refused() -> None:
    @dataclass
    class Loose:
        number: int

    assert "write @dataclass(frozen=True)" in mistakes_of(Loose)


def test_a_plain_class_derived_from_a_dataclass_is_refused() -> None:
    class Derived(Money):
        more: int

    assert "write @dataclass(frozen=True)" in mistakes_of(Derived)


def test_a_class_that_is_no_dataclass_is_refused() -> None:
    class Thing:
        pass

    assert "make it a @dataclass(frozen=True)" in mistakes_of(Thing)


def test_a_field_that_the_constructor_does_not_take_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        number: int
        twice: int = field(init=False, default=0)

    assert "Odd.twice: a field with init=False" in mistakes_of(Odd)


def test_an_init_var_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        number: int
        hint: InitVar[int]

    assert "Odd.hint: an InitVar is not kept" in mistakes_of(Odd)


def test_two_classes_of_one_name_are_a_mistake_in_one_processor() -> None:
    def another() -> type:
        @dataclass(frozen=True)
        class Money:
            cents: int

        return Money

    names: dict[str, type] = {}
    derive(Money, "bank", None, names)
    derive(Money, "bank", None, names)
    with pytest.raises(NoAvroForm, match="two classes are called Money"):
        derive(another(), "bank", None, names)


def test_a_generic_dataclass_is_refused() -> None:
    @dataclass(frozen=True)
    class Box(Generic[T]):
        content: T

    assert "a generic dataclass has no single Avro form" in mistakes_of(Box[int])


def test_a_flag_is_refused() -> None:
    class Rights(enum.Flag):
        READ = 1
        WRITE = 2

    assert "is a Flag" in mistakes_of(Rights)


def test_names_that_avro_does_not_allow_are_refused() -> None:
    class Farbe(enum.Enum):
        GRÜN = 1

    @dataclass(frozen=True)
    class Größe:
        länge: int

    assert "Farbe.GRÜN is no Avro name" in mistakes_of(Farbe)
    reasons = mistakes_of(Größe)
    assert "Größe is no Avro name" in reasons
    assert "Größe.länge" in reasons


def test_a_record_that_always_holds_itself_is_refused() -> None:
    @dataclass(frozen=True)
    class Endless:
        inner: Endless

    assert "without end" in mistakes_of(Endless, Endless=Endless)


@pytest.mark.parametrize(("scale", "precision"), [(-1, 5), (6, 5), (0, 0)])
def test_a_scale_that_cannot_be_is_refused(scale: int, precision: int) -> None:
    with pytest.raises(ValueError, match="a scale is from 0 to the precision"):
        Scale(scale, precision)


@pytest.mark.parametrize("text", ["\ud800"])
def test_a_default_that_is_no_unicode_text_is_a_mistake(text: str) -> None:
    @dataclass(frozen=True)
    class Wrong:
        name: str = text
        table: Mapping[str, int] = field(default_factory=lambda: {text: 1})

    assert len(mistakes_of(Wrong).splitlines()) == 2
    assert "lone surrogate" in mistakes_of(typing.Literal["\ud800"])
