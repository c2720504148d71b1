"""The bytes are Avro's, by the reference implementation and by fastavro."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import io
import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import avro.io
import avro.schema
import fastavro
import pyrsistent
import pytest
from codec_samples import (
    Everything,
    Pair,
    Three,
    bank_codec,
    everything,
    records,
    texts,
    typed,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kstate.codec.derive import derive
from kstate.codec.writers import canonical, fingerprint

slow = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def plain(value: Any) -> Any:
    """A value as plain Python data."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | pyrsistent.PVector):
        return [plain(each) for each in value]
    return value


def as_reference(value: Any) -> Any:
    """Plain, with UUIDs as strings: the reference for Python does not convert them."""
    if isinstance(value, dict):
        return {key: as_reference(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_reference(each) for each in value]
    return str(value) if isinstance(value, uuid.UUID) else value


def by_avro(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    writer = avro.io.DatumWriter(avro.schema.parse(json.dumps(schema)))
    writer.write(value, avro.io.BinaryEncoder(out))
    return out.getvalue()


def read_by_avro(schema: Any, data: bytes) -> Any:
    source = io.BytesIO(data)
    reader = avro.io.DatumReader(avro.schema.parse(json.dumps(schema)))
    found = reader.read(avro.io.BinaryDecoder(source))
    assert source.read() == b""
    return found


@slow
@given(
    st.integers(-(2**63), 2**63 - 1), texts, st.floats(allow_nan=False), st.binary(), st.booleans()
)
def test_primitives_are_written_as_the_reference_writes_them(
    whole: int, text: str, real: float, raw: bytes, flag: bool
) -> None:
    for annotation, value in ((int, whole), (str, text), (float, real), (bytes, raw), (bool, flag)):
        pair = Pair(annotation)
        assert pair.encode(value) == by_avro(pair.schema, value)


@pytest.mark.parametrize("number", ["0", "1.27", "1.28", "-1.28", "-1.29", "-0.01", "99999.99"])
def test_decimals_are_written_as_the_reference_writes_them(number: str) -> None:
    from typing import Annotated

    from kstate.codec.derive import Scale

    pair = Pair(Annotated[Decimal, Scale(2)])
    exact = Decimal(number).quantize(Decimal("0.01"))
    assert pair.encode(Decimal(number)) == by_avro(pair.schema, exact)


def test_an_event_is_the_marker_the_fingerprint_and_the_datum_of_the_reference() -> None:
    event = Three(-300, "zoë", 0.1)
    schema = derive(Three, "bank")
    parsed = avro.schema.parse(json.dumps(schema))
    expected = b"\xc3\x01" + parsed.fingerprint() + by_avro(schema, plain(event))
    assert bank_codec().encode_event(event) == expected


def test_a_record_of_every_type_is_written_as_the_reference_writes_it() -> None:
    pair = Pair(Everything)
    value = everything(
        either=None, pmap=pyrsistent.pmap({}), lasting=everything().lasting.delete("b")
    )
    assert pair.encode(value) == by_avro(pair.schema, as_reference(plain(value)))


@slow
@given(st.data(), typed())
def test_the_reference_reads_whatever_is_written(data: st.DataObject, drawn: Any) -> None:
    annotation, values = drawn
    value = data.draw(values)
    pair = Pair(annotation)
    assert read_by_avro(pair.schema, pair.encode(value)) == as_reference(plain(value))


@slow
@given(records())
def test_fastavro_reads_whatever_is_written(drawn: tuple[type, Any]) -> None:
    cls, value = drawn
    pair = Pair(cls)
    source = io.BytesIO(pair.encode(value))
    assert fastavro.schemaless_reader(source, pair.schema, None) == plain(value)
    assert source.read() == b""


@slow
@given(records())
def test_the_fingerprint_is_that_of_the_reference(drawn: tuple[type, Any]) -> None:
    schema = derive(drawn[0], "bank")
    parsed = avro.schema.parse(json.dumps(simple(schema)))
    assert fingerprint(schema) == parsed.fingerprint()
    assert canonical(schema) == parsed.canonical_form


def simple(schema: Any) -> Any:
    """Without logical types, and ``"long"`` for ``{"type": "long"}``.

    The specification (rules PRIMITIVES and STRIP) and Java do both; the reference for Python does
    the second first and leaves ``{"type": "long"}``.
    """
    if isinstance(schema, list):
        return [simple(each) for each in schema]
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: simple(each) for key, each in schema.items()}
    return schema


def test_the_fingerprint_of_the_specification_is_found_in_little_endian() -> None:
    assert fingerprint("int") == (0x7275D51A3F395C8F).to_bytes(8, "little")


def test_an_instant_is_written_in_microseconds_since_1970_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    value = datetime.datetime(1970, 1, 1, 2, 0, 0, 1, zone)
    assert Pair(datetime.datetime).encode(value) == b"\x02"
