"""Text to JSON values: a document, or the fields given in a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from kstate.codec.writers import Written, parse
from kstate.errors import BadCommand


def bad(path: str, problem: str) -> NoReturn:
    """Refuses a JSON value at a place."""
    raise BadCommand(f"{path or 'the value'} {problem}", "bad-json")


def parse_json(data: bytes) -> Any:
    """A JSON document, more strictly than `json.loads`: no duplicate keys, no NaN, UTF-8 only.

    Raises `BadCommand`.
    """
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer
        )
    except UnicodeDecodeError as error:
        raise BadCommand("the JSON is not UTF-8", "bad-json") from error
    except RecursionError as error:
        raise BadCommand("the JSON is nested too deep", "bad-json") from error
    except ValueError as error:
        raise BadCommand(f"the JSON cannot be read: {error}", "bad-json") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = ""
        for twice, _ in pairs:
            if twice in seen:
                break
            seen.add(twice)
        raise ValueError(f"an object has the key {twice[:80]!r} twice")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError("an integer is beyond 64 bits")
    return int(text)


def from_text(schema: Any, fields: Mapping[str, str]) -> dict[str, Any]:
    """``{"amount": "5"}`` of a shell as the JSON of a record: ``{"amount": 5}``.

    Strings stand for themselves; numbers, true, false and null are recognised where the schema
    has them; arrays, maps and records are written as JSON.  Raises `BadCommand`.
    """
    written = parse(schema)
    definition = written.follow(written.schema)
    if written.kind(definition) != "record":
        bad("", "is no record: it has no fields to set")
    types = {item["name"]: item["type"] for item in definition["fields"]}
    found = {}
    for name, text in fields.items():
        if name not in types:
            bad(name, f"is no field of {short_name(definition)}; its fields are {listed(types)}")
        found[name] = _typed(written, types[name], text, name)
    return found


def _typed(written: Written, schema: Any, text: str, path: str) -> Any:
    branches = written.follow(schema) if written.kind(schema) == "union" else [schema]
    kinds = {written.kind(branch) for branch in branches}
    if "null" in kinds and text == "null":
        return None
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    plain = {written.kind(branch) for branch in branches if written.logical(branch) is None}
    if plain & {"int", "long"} and re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        return int(text)
    if plain & {"float", "double"} and re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
        try:
            return float(text)
        except ValueError:
            bad(path, f"is no number: {text[:60]!r}")
    if kinds & {"record", "array", "map"} and text[:1] in "[{":
        try:
            return parse_json(text.encode())
        except BadCommand as error:
            bad(path, f"is no JSON: {error}")
    return text


def short_name(schema: Any) -> str:
    return str(schema["name"].rpartition(".")[2])


def listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
