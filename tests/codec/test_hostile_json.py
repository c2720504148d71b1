"""JSON made to harm: bounded time, and the codec's own refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from codec_samples import Node, Pair, Plant, bank_codec

from kstate.codec.jsonform import encode_json, to_jsonable
from kstate.codec.limits import MAX_JSON_RETRIES
from kstate.errors import BadCommand, DecodeError

CODEC = bank_codec()
JSON = "application/json"


@dataclass(frozen=True)
class Tree:
    """An object of JSON may be its map or its record, at every level."""

    kids: dict[str, Tree] | Tree | None = None


@dataclass(frozen=True)
class Deep:
    """A record of its kind is eight lists away."""

    lists: list[list[list[list[list[list[list[list[Deep]]]]]]]]


def refusal(pair: Pair, value: Any) -> BadCommand:
    with pytest.raises(BadCommand) as caught:
        encode_json(pair.schema, value)
    return caught.value


def kids(levels: int, leaf: Any) -> Any:
    value = leaf
    for _ in range(levels):
        value = {"kids": value}
    return value


def test_an_object_that_is_a_map_or_a_record_is_read_as_what_fits() -> None:
    pair = Pair(Tree)
    assert pair.decode(encode_json(pair.schema, {"kids": {"kids": None}})) == Tree(Tree())
    assert pair.decode(encode_json(pair.schema, {"kids": {"a": {}}})) == Tree({"a": Tree()})


@pytest.mark.parametrize("levels", [60, 90])
def test_readings_that_double_with_each_level_are_given_up(levels: int) -> None:
    refused = refusal(Pair(Tree), kids(levels, "bad"))
    assert refused.code == "ambiguous"
    assert f"{MAX_JSON_RETRIES:,} values were tried (MAX_JSON_RETRIES)" in str(refused)


def test_a_long_list_of_objects_that_are_no_maps_is_read() -> None:
    pair = Pair(list[dict[str, int] | Tree])
    assert pair.decode(encode_json(pair.schema, [{"kids": None}] * 20_000)) == [Tree()] * 20_000


def nested_lists(levels: int) -> Any:
    value: Any = {"lists": []}
    for _ in range(levels):
        inner: Any = value
        for _ in range(8):
            inner = [inner]
        value = {"lists": inner}
    return value


def test_lists_in_lists_in_records_are_refused_when_they_are_too_deep() -> None:
    pair = Pair(Deep)
    assert encode_json(pair.schema, nested_lists(5))
    assert refusal(pair, nested_lists(107)).code == "too-deep"


def test_a_datum_too_deep_for_json_is_told_so() -> None:
    assert to_jsonable(nested_lists(5)) == nested_lists(5)
    with pytest.raises(DecodeError, match="too deep for JSON"):
        to_jsonable(nested_lists(100))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"[" * 1_000_000, "bad-json"),
        (b'{"tree":' * 200_000, "bad-json"),
        (b'{"tree":{"value":1,"next":' + b'{"value":1,"next":' * 150 + b"null" + b"}" * 152,
         "too-deep"),
        (b'{"tree":{"value":' + b"1" * 1_000_000 + b"}}", "bad-json"),
        (b'{"tree":{"value":9223372036854775808}}', "bad-json"),
        (b'{"tree":{"value":1e400}}', "bad-json"),
        (b'{"tree":{"value":NaN}}', "bad-json"),
        (b'{"tree":{"value":1,"value":2}}', "bad-json"),
        (b'{"tree":{"value":1,"next":' + b'{"value":1}' + b"}", "bad-json"),
        (b'\xff\xfe{"tree":1}', "bad-json"),
    ],
    ids=["arrays", "objects", "records", "digits", "65 bits", "infinite", "NaN", "twice", "cut",
         "UTF-16"],
)  # fmt: skip
def test_a_hostile_document_is_refused_with_a_code(text: bytes, code: str) -> None:
    with pytest.raises(BadCommand) as caught:
        CODEC.decode_command(text, JSON, "Plant")
    assert caught.value.code == code
    assert len(str(caught.value)) < 1_000


def test_the_same_type_is_read_when_it_is_well_meant() -> None:
    text = b'{"tree":{"value":1,"next":{"value":2}}}'
    assert CODEC.decode_command(text, JSON, "Plant") == Plant(Node(1, Node(2)))
