"""Defaults of fields, as a schema states them."""

from __future__ import annotations

import decimal
import math
from typing import Any

from kstate.codec.shapes import (
    EPOCH,
    EPOCH_DAY,
    INT64_MAX,
    INT64_MIN,
    MICROSECOND,
    Array,
    Choice,
    Day,
    Enumerated,
    Plain,
    Record,
    Scaled,
    Shape,
    Stamp,
    Table,
    Union,
    Uuid,
    decimal_context,
    exact_types,
    quantum,
)


class Unfit(Exception):
    """A default that is no value of its field's type."""


class NoDefaultForm(Exception):
    """A default that a schema cannot express; the field then has none for old readers."""


def fits(shape: Shape, value: Any) -> bool:
    """Whether the value is, outwardly, of the shape: what picks a union's branch."""
    match shape:
        case Union(branches):
            return any(fits(branch, value) for branch in branches)
        case Plain("double") if type(value) is int:
            return True
    if type(value) not in exact_types(shape):
        return False
    match shape:
        case Choice(choices):
            return value in choices
        case Stamp():
            return value.utcoffset() is not None
        case Scaled():
            return bool(value.is_finite())
    return True


def default_json(shape: Shape, value: Any) -> Any:
    """A default in the form the Avro specification gives it (section "Complex types").

    Raises `Unfit` when the value is not of the shape, `NoDefaultForm` when it has no such form.
    """
    if isinstance(shape, Union):
        if fits(shape.branches[0], value):
            return default_json(shape.branches[0], value)
        if fits(shape, value):
            raise NoDefaultForm
        raise Unfit
    if not fits(shape, value):
        raise Unfit
    match shape:
        case Plain("bytes"):
            return value.decode("latin-1")
        case Plain("double"):
            if not math.isfinite(value):
                raise NoDefaultForm
            return float(value)
        case Plain("long") if not INT64_MIN <= value <= INT64_MAX:
            raise Unfit
        case Stamp():
            return (value - EPOCH) // MICROSECOND
        case Day():
            return value.toordinal() - EPOCH_DAY
        case Uuid():
            return str(value)
        case Scaled():
            return _unscaled(shape, value).decode("latin-1")
        case Enumerated():
            return value.name
        case Plain("string"):
            value.encode()
        case Array(item):
            return [default_json(item, each) for each in value]
        case Table(inner):
            if not all(type(key) is str and key.encode() is not None for key in value):
                raise Unfit
            return {key: default_json(inner, each) for key, each in value.items()}
        case Record():
            return {f.name: default_json(f.shape, getattr(value, f.name)) for f in shape.fields}
    return value


def _unscaled(shape: Scaled, value: decimal.Decimal) -> bytes:
    context = decimal_context(shape.precision)
    try:
        number = int(context.quantize(value, quantum(shape.scale)).scaleb(shape.scale, context))
    except decimal.DecimalException as error:
        raise Unfit from error
    return number.to_bytes((number.bit_length() + 8) >> 3, "big", signed=True)
