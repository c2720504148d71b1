"""What to write instead of a type that has no Avro form."""

from __future__ import annotations

import datetime
import typing
from typing import Any

_SETS = "use a tuple[T, ...] (sorted, so that equal sets give equal bytes) or Mapping[str, T]"
CURES: dict[Any, str] = {
    set: _SETS,
    frozenset: _SETS,
    typing.AbstractSet: _SETS,
    typing.get_origin(typing.AbstractSet[int]): _SETS,
    list: "say what is in it: list[T]",
    dict: "say what is in it: dict[str, T]",
    tuple: "say what is in it: tuple[T, ...]",
    typing.get_origin(typing.Sequence[int]): "say what is in it: Sequence[T]",
    typing.get_origin(typing.Mapping[str, int]): "say what is in it: Mapping[str, T]",
    bytearray: "use bytes",
    memoryview: "use bytes",
    complex: "use two floats",
    datetime.time: "use an int of microseconds since midnight",
    datetime.timedelta: "use an int of microseconds",
    object: "name the type that is stored",
    Any: "name the type that is stored",
}
