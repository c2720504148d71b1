"""Avro's binary primitives, and the errors of bytes that are none.

Format: Avro specification, "Binary Encoding".  Nothing here trusts a length or an index.
"""

from __future__ import annotations

import datetime
import decimal
import struct
import uuid
from collections.abc import Callable
from typing import Any

from kstate.codec.shapes import (
    EPOCH,
    EPOCH_DAY,
    INT64_MAX,
    INT64_MIN,
    MICROSECOND,
    decimal_context,
    quantum,
)
from kstate.errors import EncodeError

MAX_DEPTH = 100
"""How many records of types that can nest without end may lie in one another, in and out."""

pack_double = struct.Struct("<d").pack
unpack_double = struct.Struct("<d").unpack_from
unpack_float = struct.Struct("<f").unpack_from


class Malformed(ValueError):
    """Bytes that are no datum of their schema; ``code`` names the kind of fault."""

    def __init__(self, reason: str, code: str = "malformed") -> None:
        self.code = code
        super().__init__(reason)


def zigzag(value: int) -> bytes:
    """A long as bytes; the caller has checked its range."""
    number = (value << 1) ^ (value >> 63)
    if number < 0x4000:
        return bytes((number & 127 | 128, number >> 7)) if number > 127 else bytes((number,))
    if number < 0x200000:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    out = bytearray()
    while number > 127:
        out.append((number & 127) | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


SMALL = {value: zigzag(value) for value in range(-256, 1024)}
"""Ready-made bytes of the numbers that are most common: lengths, counts, small amounts."""


def long(value: int, path: str) -> bytes:
    """A long beyond `SMALL`; raises `EncodeError` for what 64 bits cannot hold."""
    if INT64_MIN <= value <= INT64_MAX:
        return zigzag(value)
    raise EncodeError(f"{path} is beyond 64 bits")


def length(count: int) -> bytes:
    """A length or a count."""
    return SMALL.get(count) or zigzag(count)


def varint(data: bytes, pos: int, first: int) -> tuple[int, int]:
    """The rest of a number whose first byte is over 127: still zigzag, and the next position."""
    number, shift = first & 127, 7
    while True:
        byte = data[pos]
        pos += 1
        number |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise Malformed("a number has more than ten bytes")
    if number >> 64:
        raise Malformed("a number is beyond 64 bits")
    return number, pos


def read_long(data: bytes, pos: int) -> tuple[int, int]:
    """A long and the next position."""
    byte = data[pos]
    pos += 1
    if byte > 127:
        byte, pos = varint(data, pos, byte)
    return (byte >> 1) ^ -(byte & 1), pos


def block(data: bytes, pos: int, count: int, least: int) -> tuple[int, int]:
    """Checks the count of a block of items that take at least ``least`` bytes (0 or 1) each.

    A negative count is followed by the block's size in bytes, of no use here.  Items without
    bytes, which only a foreign schema could have, are refused: their count would have no bound.
    """
    if count < 0:
        count = -count
        size, pos = read_long(data, pos)
        if not 0 <= size <= len(data) - pos:
            raise Malformed("a block's size is beyond the end", "truncated")
    if least * count > len(data) - pos or (count and not least):
        raise Malformed("a list or a map has more items than bytes", "truncated")
    return count, pos


def slice_at(data: bytes, pos: int, size: int) -> tuple[bytes, int]:
    """Exactly ``size`` bytes and the next position."""
    end = pos + size
    if size < 0 or end > len(data):
        raise Malformed("a length is beyond the end", "truncated")
    return data[pos:end], end


# -- what encoders need ------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value for an error: short, and never by a ``__repr__`` of the user's."""
    kind = type(value)
    if kind in (bool, int, float, str, bytes, type(None)):
        try:
            text = repr(value)
        except ValueError:  # an int of thousands of digits
            return "a very long int"
        return text if len(text) <= 60 else f"{text[:57]}…"
    return f"a {kind.__qualname__}"


def wrong(path: str, expected: str, value: Any) -> EncodeError:
    """The error of a value of another type."""
    return EncodeError(f"{path} is to be {expected}, not {shown(value)}")


def utf8(path: str) -> EncodeError:
    """The error of a string that is no Unicode text."""
    return EncodeError(f"{path} holds a lone surrogate, which UTF-8 cannot express")


def as_float(value: Any, path: str) -> float:
    """An int where a float is to be, if it is exactly one: anything else would not read back."""
    if type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            number = float("nan")
        if number == value:
            return number
        raise EncodeError(f"{path} is to be a float; the int given is none exactly")
    raise wrong(path, "a float", value)


_STAMP_MIN = datetime.datetime.min.replace(tzinfo=datetime.UTC) - EPOCH
_STAMP_MAX = datetime.datetime.max.replace(tzinfo=datetime.UTC) - EPOCH


def stamp(value: Any, path: str) -> bytes:
    """An aware datetime as microseconds since 1970."""
    if type(value) is not datetime.datetime:
        raise wrong(path, "a datetime", value)
    if value.utcoffset() is None:
        raise EncodeError(
            f"{path} is a datetime without a time zone; write datetime.now(UTC) or give it a tzinfo"
        )
    delta = value - EPOCH
    if not _STAMP_MIN <= delta <= _STAMP_MAX:
        raise EncodeError(f"{path} is outside the years 1 to 9999 in UTC")
    return length(delta // MICROSECOND)


def day(value: Any, path: str) -> bytes:
    """A date as days since 1970."""
    if type(value) is not datetime.date:
        raise wrong(path, "a date", value)
    return length(value.toordinal() - EPOCH_DAY)


def uuid_text(value: Any, path: str) -> bytes:
    """A UUID as a string."""
    if type(value) is not uuid.UUID:
        raise wrong(path, "a UUID", value)
    return b"\x48" + str(value).encode()


def decimal_writer(scale: int, precision: int) -> Callable[[Any, str], bytes]:
    """A function from a Decimal to its unscaled two's complement with a length before it."""
    context, step = decimal_context(precision), quantum(scale)

    def write(value: Any, path: str) -> bytes:
        if type(value) is not decimal.Decimal:
            raise wrong(path, "a Decimal", value)
        if not value.is_finite():
            raise EncodeError(f"{path} is no finite number")
        try:
            number = int(context.quantize(value, step).scaleb(scale, context))
        except decimal.DecimalException as error:
            raise EncodeError(
                f"{path} has more than {scale} digits after the point or {precision} in all"
            ) from error
        # not the shortest form of some negative numbers, but that of the reference library
        data = number.to_bytes((number.bit_length() + 8) >> 3, "big", signed=True)
        return length(len(data)) + data

    return write


# -- what decoders need ------------------------------------------------------------------------


def to_stamp(micros: int) -> datetime.datetime:
    """Microseconds since 1970 as a datetime in UTC; raises `OverflowError`."""
    return EPOCH + datetime.timedelta(microseconds=micros)


def to_day(days: int) -> datetime.date:
    """Days since 1970 as a date; raises `ValueError` or `OverflowError`."""
    return datetime.date.fromordinal(days + EPOCH_DAY)


def decimal_reader(scale: int, precision: int) -> Callable[[bytes], decimal.Decimal]:
    """The inverse of `decimal_writer`, without the length."""
    context, bound = decimal_context(max(precision, 1)), 10**precision

    def read(data: bytes) -> decimal.Decimal:
        number = int.from_bytes(data, "big", signed=True)
        if not -bound < number < bound:
            raise Malformed(f"a decimal has more than {precision} digits")
        return decimal.Decimal(number).scaleb(-scale, context)

    return read
