"""JSON to Avro and Avro to JSON, by a schema alone.

==================  ============================================================================
Avro                JSON
==================  ============================================================================
null, boolean       null, true and false
int, long           a number without fraction or exponent, of 32 and 64 bits
float, double       a number; NaN and the infinities have no form (out: a string)
string              a string
bytes, fixed        a string: base64
decimal             a string: ``"12.50"``, with at most the digits of the scale
timestamp           a string: ISO 8601 with an offset, ``"2024-05-01T12:00:00+02:00"`` or ``…Z``
date                a string: ``"2024-05-01"``
uuid                a string, in the usual form
enum                a string: the member's name
array, map          an array; an object
record              an object with exactly the record's fields; those with a default may be left out
union               the plain value.  The branches are tried strictly by type, the narrow ones
                    first: enum, timestamp, date, decimal and uuid before string, string before
                    bytes, long before double; of several records, each is ``{"Name": {…}}``
==================  ============================================================================

Whatever does not fit is a `BadCommand` with the code ``bad-json``, whose sentence names the field.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import math
import re
import struct
import uuid
from collections.abc import Mapping
from typing import Any

from kstate.codec import wire
from kstate.codec.limits import MAX_JSON_RETRIES
from kstate.codec.shapes import EPOCH, MAX_NESTING
from kstate.codec.texts import bad, listed, short_name
from kstate.codec.wire import MAX_DEPTH, length, zigzag
from kstate.codec.writers import Written, parse
from kstate.errors import BadCommand, DecodeError, EncodeError


def encode_json(schema: Any, value: Any) -> bytes:
    """The Avro datum (without a header) of a parsed JSON value; raises `BadCommand`.

    ``schema`` is JSON-able or already `Written`.
    """
    written = schema if isinstance(schema, Written) else parse(schema)
    out: list[bytes] = []
    try:
        _Json(written).write(written.schema, value, "", out, 0)
    except RecursionError as error:  # lists in lists in records: frames that no depth here counts
        raise BadCommand("the JSON is nested too deep", "too-deep") from error
    return b"".join(out)


class _Json:
    def __init__(self, written: Written) -> None:
        self.written = written
        self.kind = written.kind
        self.steps = 0  # values written, in vain or not
        self.vain = 0  # those written for a branch that did not fit in the end

    def write(self, schema: Any, value: Any, path: str, out: list[bytes], depth: int) -> None:
        self.steps += 1
        kind, schema = self.kind(schema), self.written.follow(schema)
        match kind:
            case "union":
                self.union(schema, value, path, out, depth)
            case "record":
                self.record(schema, value, path, out, depth + 1)
            case "array":
                if type(value) is not list:
                    bad(path, "is to be an array")
                if value:
                    out.append(length(len(value)))
                for index, each in enumerate(value):
                    self.write(schema["items"], each, f"{path}[{index}]", out, depth)
                out.append(b"\0")
            case "map":
                if type(value) is not dict:
                    bad(path, "is to be an object")
                if value:
                    out.append(length(len(value)))
                for key, each in value.items():
                    out.append(_text(key, f"a key of {path}"))
                    self.write(schema["values"], each, f"{path}[{key[:40]!r}]", out, depth)
                out.append(b"\0")
            case _:
                out.append(scalar(self.written, kind, schema, value, path))

    def record(self, schema: Any, value: Any, path: str, out: list[bytes], depth: int) -> None:
        if type(value) is not dict:
            bad(path, f"is to be an object, with the fields of {short_name(schema)}")
        if depth > MAX_DEPTH + MAX_NESTING:  # the decoder says exactly; this protects the stack
            raise BadCommand(f"{path[:80]}… is nested too deep", "too-deep")
        names = {item["name"] for item in schema["fields"]}
        for name in value:
            if name not in names:
                bad(_at(path, name[:80]), f"is no field of {short_name(schema)}; those are "
                    f"{listed(names)}")  # fmt: skip
        for item in schema["fields"]:
            name = item["name"]
            where = _at(path, name)
            if name in value:
                self.write(item["type"], value[name], where, out, depth)
            elif "default" in item:
                plain = default_to_json(self.written, item["type"], item["default"])
                self.write(item["type"], plain, where, out, depth)
            else:
                bad(where, "is missing")

    def union(self, branches: Any, value: Any, path: str, out: list[bytes], depth: int) -> None:
        several = sum(self.kind(branch) == "record" for branch in branches) > 1
        failure: BadCommand | None = None
        order = sorted(range(len(branches)), key=lambda i: _breadth(self.written, branches[i]))
        for index in order:
            branch, inner = branches[index], value
            if several and self.kind(branch) == "record":
                name = short_name(self.written.follow(branch))
                if type(value) is not dict or list(value) != [name]:
                    continue
                inner = value[name]
            attempt: list[bytes] = [length(index)]
            before = self.steps
            try:
                self.write(branch, inner, path, attempt, depth)
            except BadCommand as error:
                if error.code != "bad-json":
                    raise
                self.vain += self.steps - before
                if self.vain > MAX_JSON_RETRIES:  # a map or a record, and so at each level
                    raise BadCommand(
                        f"{path[:80]} may be a map or a record, and so may what is in it: "
                        f"{MAX_JSON_RETRIES:,} values were tried (MAX_JSON_RETRIES); send it as "
                        "Avro",
                        "ambiguous",
                    ) from error
                # a record's own complaint says more than "none of these"
                if self.kind(branch) in ("record", "array", "map") and isinstance(
                    value, dict | list
                ):
                    failure = failure or error
                continue
            out += attempt
            return
        if failure is not None:
            raise failure
        bad(path, f"is to be one of {', '.join(self.title(branch) for branch in branches)}")

    def title(self, schema: Any) -> str:
        definition = self.written.follow(schema)
        name = definition.get("name") if isinstance(definition, dict) else None
        return self.written.logical(schema) or name or self.kind(schema)


def _breadth(written: Written, schema: Any) -> int:
    """Narrow types first: what can be read as a date is not tried as a string before."""
    kind = written.kind(schema)
    if written.logical(schema) is not None or kind == "enum":
        return 0
    return {"float": 2, "double": 2, "string": 3, "bytes": 4, "fixed": 4}.get(kind, 1)


def scalar(written: Written, kind: str, schema: Any, value: Any, path: str) -> bytes:
    """The datum of a JSON scalar; raises `BadCommand`."""
    logical = written.logical(schema)
    try:
        match logical or kind:
            case "null" if value is None:
                return b""
            case "boolean" if type(value) is bool:
                return b"\1" if value else b"\0"
            case "int" | "long" if type(value) is int:
                bits = 31 if kind == "int" else 63
                if not -(2**bits) <= value < 2**bits:
                    bad(path, f"is beyond {bits + 1} bits")
                return zigzag(value)
            case "float" | "double" if type(value) in (int, float):
                number = wire.as_float(value, path) if type(value) is int else value
                if not math.isfinite(number):
                    bad(path, "is too large for a double")
                return struct.pack("<f" if kind == "float" else "<d", number)
            case "timestamp-micros" | "timestamp-millis" if type(value) is str:
                return _stamp(str(logical), value, path)
            case "date" if type(value) is str:
                return wire.day(datetime.date.fromisoformat(value), path)
            case "uuid" if type(value) is str:
                return wire.uuid_text(uuid.UUID(value), path)
            case "decimal" if type(value) is str and re.fullmatch(r"[+-]?[0-9.]{1,400}", value):
                return _decimal(kind, schema, value, path)
            case "string" if type(value) is str:
                return _text(value, path)
            case "enum" if type(value) is str:
                if value not in schema["symbols"]:
                    bad(path, f"is to be one of {listed(schema['symbols'])}")
                return length(schema["symbols"].index(value))
            case "bytes" | "fixed" if type(value) is str:
                return _octets(kind, schema, base64.b64decode(value, validate=True), path)
    except (ValueError, OverflowError, binascii.Error, decimal.DecimalException, struct.error):
        bad(path, f"is not {_WORDS.get(logical or kind, kind)}")
    except EncodeError as error:
        raise BadCommand(str(error), "bad-json") from error
    raise BadCommand(f"{path or 'the value'} is to be {_WORDS.get(logical or kind)}", "bad-json")


_WORDS = {
    "null": "null", "boolean": "true or false", "int": "an integer", "long": "an integer",
    "float": "a number", "double": "a number", "string": "a string", "enum": "a string",
    "bytes": "base64 in a string", "fixed": "base64 in a string",
    "decimal": "a decimal in a string, such as \"12.50\"",
    "date": "a date in a string, such as \"2024-05-01\"", "uuid": "a UUID in a string",
    "timestamp-micros": "a time with an offset in a string, such as \"2024-05-01T12:00:00Z\"",
    "timestamp-millis": "a time with an offset in a string, such as \"2024-05-01T12:00:00Z\"",
}  # fmt: skip


def _text(value: str, path: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        bad(path, "holds a lone surrogate")
    return length(len(data)) + data


def _stamp(logical: str, value: str, path: str) -> bytes:
    moment = datetime.datetime.fromisoformat(value)
    if moment.utcoffset() is None:
        bad(path, "is a time without an offset; add Z, or one such as +02:00")
    if logical == "timestamp-micros":
        return wire.stamp(moment, path)
    return zigzag((moment - EPOCH) // datetime.timedelta(milliseconds=1))


def _decimal(kind: str, schema: Any, value: str, path: str) -> bytes:
    write = wire.decimal_writer(schema.get("scale", 0), schema["precision"])
    data = write(decimal.Decimal(value), path)
    if kind == "bytes":
        return data
    size, pos = wire.read_long(data, 0)
    number = int.from_bytes(data[pos : pos + size], "big", signed=True)
    return number.to_bytes(schema["size"], "big", signed=True)


def _octets(kind: str, schema: Any, data: bytes, path: str) -> bytes:
    if kind == "bytes":
        return length(len(data)) + data
    if len(data) != schema["size"]:
        bad(path, f"is to be {schema['size']} bytes")
    return data


def default_to_json(written: Written, schema: Any, default: Any) -> Any:
    """A default as a schema states it, in this module's form."""
    kind, definition = written.kind(schema), written.follow(schema)
    if kind == "union":
        value = default_to_json(written, definition[0], default)
        several = sum(written.kind(branch) == "record" for branch in definition) > 1
        if several and written.kind(definition[0]) == "record":
            return {short_name(written.follow(definition[0])): value}
        return value
    if kind == "array":
        return [default_to_json(written, definition["items"], each) for each in default]
    if kind == "map":
        inner = definition["values"]
        return {key: default_to_json(written, inner, each) for key, each in default.items()}
    if kind == "record":
        types = {item["name"]: item["type"] for item in definition["fields"]}
        return {key: default_to_json(written, types[key], each) for key, each in default.items()}
    return to_jsonable(_scalar_default(written, kind, definition, default))


def _scalar_default(written: Written, kind: str, schema: Any, default: Any) -> Any:
    match written.logical(schema):
        case "timestamp-micros":
            return wire.to_stamp(default)
        case "timestamp-millis":
            return wire.to_stamp(default * 1000)
        case "date":
            return wire.to_day(default)
        case "decimal":
            read = wire.decimal_reader(schema.get("scale", 0), schema["precision"])
            return read(default.encode("latin-1"))
    return default.encode("latin-1") if kind in ("bytes", "fixed") else default


# -- Avro to JSON ------------------------------------------------------------------------------


def to_jsonable(datum: Any) -> Any:
    """A generic datum (see `kstate.codec.generic`) as what `json.dumps` takes.

    Raises `DecodeError` for one nested deeper than Python's calls go.
    """
    try:
        return _jsonable(datum)
    except RecursionError as error:
        raise DecodeError("the value is nested too deep for JSON") from error


def _jsonable(datum: Any) -> Any:
    if isinstance(datum, Mapping):
        return {key: _jsonable(value) for key, value in datum.items()}
    if isinstance(datum, list | tuple):
        return [_jsonable(each) for each in datum]
    if isinstance(datum, datetime.date):  # datetimes too
        return datum.isoformat()
    if isinstance(datum, bytes):
        return base64.b64encode(datum).decode()
    if isinstance(datum, decimal.Decimal):
        return format(datum, "f")
    if isinstance(datum, uuid.UUID):
        return str(datum)
    if isinstance(datum, float) and not math.isfinite(datum):
        return "NaN" if math.isnan(datum) else ("Infinity" if datum > 0 else "-Infinity")
    return datum


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
