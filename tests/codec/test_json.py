"""Commands as JSON, fields from the shell, and data as JSON."""

from __future__ import annotations

import datetime
import json
import math
import uuid
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import pytest
from codec_samples import (
    Colour,
    Deposit,
    Everything,
    Line,
    Money,
    Node,
    Order,
    Pair,
    Plant,
    Positive,
    bank_codec,
    everything,
    typed,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kstate.codec.decoders import compile_decoder
from kstate.codec.derive import Scale, derive
from kstate.codec.jsonform import encode_json, to_jsonable
from kstate.codec.scalars import GENERIC
from kstate.codec.texts import from_text, parse_json
from kstate.codec.writers import parse
from kstate.core.messages import Command, GetState
from kstate.core.messages import GetState as ReservedGetState
from kstate.errors import BadCommand

CODEC = bank_codec()
JSON = "application/json"


def refusal(text: str | bytes, type_name: str | None = "Order") -> BadCommand:
    value = text.encode() if isinstance(text, str) else text
    with pytest.raises(BadCommand) as caught:
        CODEC.decode_command(value, JSON, type_name)
    return caught.value


def test_a_command_may_come_as_json() -> None:
    text = """{"lines": [{"article": "a", "count": 2,
                          "price": {"amount": "1.50", "currency": "USD"}}],
               "at": "2024-05-01T12:00:00+02:00", "note": null}"""
    expected = Order(
        (Line("a", 2, Money(Decimal("1.50"), "USD")),),
        None,
        datetime.datetime(2024, 5, 1, 10, tzinfo=datetime.UTC),
    )
    assert CODEC.decode_command(text.encode(), JSON, "Order") == expected


def test_a_field_with_a_default_may_be_left_out() -> None:
    assert CODEC.decode_command(b'{"lines": []}', JSON, "Order") == Order(())


@pytest.mark.parametrize("name", ["Deposit", "bank.Deposit"])
def test_the_type_is_given_by_short_or_full_name(name: str) -> None:
    assert CODEC.decode_command(b'{"amount": 5}', JSON, name) == Deposit(5)


def test_the_content_type_may_have_parameters() -> None:
    value = CODEC.decode_command(b'{"amount": 5}', "Application/JSON; charset=utf-8", "Deposit")
    assert value == Deposit(5)


def test_the_reserved_command_may_come_as_json() -> None:
    assert CODEC.decode_command(b"{}", JSON, "kstate.GetState") == GetState()


@pytest.mark.parametrize("name", [None, "", "Nothing", "Deposited", "x" * 500])
def test_an_unknown_type_is_told_the_known_ones(name: str | None) -> None:
    error = refusal(b"{}", name)
    assert error.code == "unknown-type"
    assert "Deposit, Erase, GetState, Order" in str(error)
    assert len(str(error)) < 300


def test_no_value_is_no_json() -> None:
    assert refusal(b"").code == "no-value"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no value"), ("{", "cannot be read"), ("[]", "is to be an object"),
        ('{"lines": []} x', "cannot be read"), ('{"lines": [], "lines": []}', "'lines' twice"),
        ('{"lines": [{"article": "a", "article": "b"}]}', "'article' twice"),
        ('{"lines": [], "note": NaN}', "NaN is no JSON number"),
        ('{"lines": [], "note": -Infinity}', "-Infinity is no JSON number"),
        ('{"lines": [], "more": 1}', "more is no field of Order; those are at, lines, note"),
        ("{}", "lines is missing"), ('{"lines": {}}', "lines is to be an array"),
        ('{"lines": [], "note": 5}', "note is to be one of null, string"),
        ('{"lines": [], "note": "\\ud800"}', "note is to be one of"),
        ('{"lines": [5]}', "lines[0] is to be an object"),
        ('{"lines": [], "at": "2024-05-01T12:00:00"}', "at is to be one of null, timestamp-micros"),
        ("\ufeff{}", "cannot be read"), ("[" * 100_000, "nested too deep"),
        ('{"a":' * 50_000, "nested too deep"),
    ],
)  # fmt: skip
def test_json_that_does_not_fit_is_refused_with_the_fields_name(text: str, words: str) -> None:
    error = refusal(text)
    assert error.code in ("bad-json", "no-value")
    assert words in str(error)


def line_with(**changes: Any) -> str:
    line = {"article": "a", "count": 1, "price": {"amount": "1"}, **changes}
    return json.dumps({"lines": [line]})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (line_with(count=1.5), "lines[0].count is to be an integer"),
        (line_with(count=1.0), "lines[0].count is to be an integer"),
        (line_with(count=True), "lines[0].count is to be an integer"),
        (line_with(count="1"), "lines[0].count is to be an integer"),
        (line_with(count=2**63), "lines[0].count is beyond 64 bits"),
        (line_with(count=10**4000), "beyond 64 bits"),
        (line_with(article=None), "lines[0].article is to be a string"),
        (line_with(price={"amount": 1}), 'amount is to be a decimal in a string, such as "12.50"'),
        (line_with(price={"amount": "1.234"}), "more than 2 digits"),
        (line_with(price={"amount": "1e5"}), "is to be a decimal"),
        (line_with(price={"amount": "1..5"}), "is not a decimal"),
        (line_with(price={"amount": "NaN"}), "is to be a decimal"),
        (line_with(price={}), "lines[0].price.amount is missing"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(text: str, words: str) -> None:
    error = refusal(text)
    assert error.code == "bad-json"
    assert words in str(error)


def test_json_that_is_not_utf8_is_refused() -> None:
    assert "not UTF-8" in str(refusal('{"lines": []}'.encode("utf-16")))


def test_a_literal_of_another_value_is_refused() -> None:
    error = refusal(line_with(price={"amount": "1", "currency": "GBP"}))
    assert "is none of 'EUR', 'USD'" in str(error)


def test_a_command_that_refuses_its_data_says_so() -> None:
    error = refusal('{"amount": 0}', "Positive")
    assert error.code == "invalid-value"
    assert "amount must be positive" in str(error)
    assert CODEC.decode_command(b'{"amount": 1}', JSON, "Positive") == Positive(1)


def test_json_nests_as_deep_as_avro_may() -> None:
    text = '{"value": 1, "next": ' * 98 + '{"value": 1}' + "}" * 98
    plant = CODEC.decode_command(f'{{"tree": {text}}}'.encode(), JSON, "Plant")
    assert isinstance(plant, Plant)
    deeper = '{"value": 1, "next": ' * 120 + '{"value": 1}' + "}" * 120
    assert refusal(f'{{"tree": {deeper}}}', "Plant").code == "too-deep"


def test_json_far_deeper_is_refused_as_well() -> None:
    text = '{"value": 1, "next": ' * 300 + '{"value": 1}' + "}" * 300
    assert refusal(f'{{"tree": {text}}}', "Plant").code == "too-deep"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40))
def test_random_json_gives_a_command_or_one_error(text: str | bytes) -> None:
    value = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    for name in ("Order", "Deposit", "Plant"):
        with suppress(BadCommand):
            CODEC.decode_command(value, JSON, name)


def jsons() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    keys = st.sampled_from(["lines", "note", "at", "article", "count", "price", "amount", "tree",
                            "value", "next", "children"])  # fmt: skip
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
    )


@settings(max_examples=400, deadline=None)
@given(jsons(), st.sampled_from(["Order", "Deposit", "Plant"]))
def test_json_of_any_shape_gives_a_command_or_one_error(value: Any, name: str) -> None:
    with suppress(BadCommand):
        CODEC.decode_command(json.dumps(value).encode(), JSON, name)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), typed())
def test_a_datum_turned_into_json_turns_back_into_the_same_bytes(
    data: st.DataObject, drawn: Any
) -> None:
    annotation, values = drawn
    pair = Pair(annotation)
    encoded = pair.encode(data.draw(values))
    generic = compile_decoder(parse(pair.schema), GENERIC, "x").read(encoded, 0)
    text = json.dumps(to_jsonable(generic))
    assume("Infinity" not in text)
    assert encode_json(pair.schema, parse_json(text.encode())) == encoded


def test_every_type_has_its_json_form() -> None:
    pair = Pair(Everything)
    encoded = pair.encode(everything())
    found = to_jsonable(compile_decoder(parse(pair.schema), GENERIC, "x").read(encoded, 0))
    assert found == {
        "flag": True, "whole": -5, "real": 1.5, "text": "zoë", "raw": "AP8=", "price": "1.2345",
        "moment": "2024-05-01T12:30:15.123456+00:00", "day": "1969-12-31",
        "ident": "00000000-0000-0000-0000-000000000007", "colour": "GREEN", "size": "LARGE",
        "maybe": None,
        "either": {"Line": {"article": "a", "count": 2,
                            "price": {"amount": "12.50", "currency": "EUR"}}},
        "listed": [1, 2**40],
        "many": [{"article": "a", "count": 1, "price": {"amount": "12.50", "currency": "EUR"}},
                 {"article": "b", "count": 2, "price": {"amount": "12.50", "currency": "EUR"}}],
        "sequence": ["x", ""], "table": {"a": 0.5}, "mapping": {"k": [1, 2]},
        "lasting": {"a": 2, "b": 1}, "vector": ["p", "q"],
        "pmap": {"y": {"amount": "12.50", "currency": "EUR"},
                 "z": {"amount": "12.50", "currency": "EUR"}},
    }  # fmt: skip


def test_floats_without_a_json_form_become_strings() -> None:
    assert to_jsonable([math.nan, math.inf, -math.inf]) == ["NaN", "Infinity", "-Infinity"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (datetime.datetime, "2024-05-01T12:00:00Z",
         datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)),
        (datetime.date | str, "2024-05-01", datetime.date(2024, 5, 1)),
        (datetime.date | str, "tomorrow", "tomorrow"),
        (Colour | str, "RED", Colour.RED), (Colour | str, "BLUE", "BLUE"),
        (bytes | str, "AP8=", "AP8="), (bytes, "AP8=", b"\0\xff"),
        (uuid.UUID, "00000000-0000-0000-0000-000000000007", uuid.UUID(int=7)),
        (float, 5, 5.0), (float | int, 5, 5), (float | int, 5.0, 5.0), (int | None, None, None),
        (Annotated[Decimal, Scale(2)], "12.5", Decimal("12.50")),
        (Money | Node, {"Node": {"value": 1}}, Node(1)),
    ],
)  # fmt: skip
def test_a_json_value_becomes_the_narrowest_type(
    annotation: Any, value: Any, expected: Any
) -> None:
    pair = Pair(annotation)
    found = pair.decode(encode_json(pair.schema, value))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (datetime.datetime, "2024-05-01T12:00:00"), (datetime.datetime, "now"),
        (datetime.datetime, 5),
        (datetime.date, "2024-13-01"), (uuid.UUID, "x"), (bytes, "AP8"), (bytes, "ä"),
        (Colour, "BLUE"),
        (float, "1.5"), (float, math.inf), (float, 2**53 + 1), (float, True), (bool, 1), (None, 0),
        (dict[str, int], []), (Money | Node, {"value": 1}), (Money | Node, {"Node": {}}),
    ],
)  # fmt: skip
def test_a_json_value_that_is_none_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(BadCommand) as caught:
        encode_json(derive(annotation, "t"), value)
    assert caught.value.code == "bad-json"


# -- the shell --------------------------------------------------------------------------------


def test_fields_of_the_shell_are_typed_by_the_schema() -> None:
    schema = derive(Line, "bank")
    price = '{"amount": "1.50"}'
    found = from_text(schema, {"article": "5", "count": "5", "price": price})
    assert found == {"article": "5", "count": 5, "price": {"amount": "1.50"}}


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "-5", -5), (float, "5", 5.0), (float, "1e3", 1000.0), (bool, "true", True),
        (str, "true", "true"),
        (int | None, "null", None), (str, "null", "null"), (str | int, "5", 5),
        (str | int, "x", "x"),
        (list[int], "[1, 2]", [1, 2]), (bool, "yes", "yes"), (int, "x", "x"),
        (Annotated[Decimal, Scale(2)], "1.50", "1.50"),
    ],
)  # fmt: skip
def test_a_text_becomes_what_the_schema_has(annotation: Any, text: str, value: Any) -> None:
    schema = {
        "type": "record",
        "name": "T",
        "fields": [{"name": "f", "type": derive(annotation, "t")}],
    }
    found = from_text(schema, {"f": text})["f"]
    assert found == value
    assert type(found) is type(value)


def test_a_field_that_does_not_exist_is_told_the_others() -> None:
    with pytest.raises(BadCommand, match="sum is no field of Deposit; its fields are amount"):
        from_text(derive(Deposit, "bank"), {"sum": "5"})


def test_a_users_type_comes_before_the_reserved_one_of_that_name() -> None:
    @dataclass(frozen=True)
    class GetState(Command[int]):  # a name that kstate uses too, in a namespace of its own
        since: int

    codec = bank_codec(commands={GetState: int})
    assert codec.decode_command(b'{"since": 5}', JSON, "GetState") == GetState(5)
    assert codec.decode_command(b"{}", JSON, "kstate.GetState") == ReservedGetState()
