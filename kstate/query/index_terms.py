"""How an index writes things down: places, headers, and what is looked for as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from kstate.core.messages import Headers
from kstate.query.wanted import Wanted

SHIFT = 48
"""Bits of an offset in a place: 32,768 partitions of 281 million million records."""
_OFFSET = (1 << SHIFT) - 1
_LONG = 254  # a length of four bytes follows
_NONE = 255  # a header without a value
_UNION = 100
"""Names in one statement: SQLite takes at most 500 parts of a union."""

Name = tuple[str, bytes]
"""The kind (``tag``, ``type``) and the text of what an event is marked with."""


# -- places --------------------------------------------------------------------------------------


def place_of(partition: int, offset: int) -> int:
    """Where a record is, as one number: in order of partition and offset."""
    return partition << SHIFT | offset


def where(place: int) -> tuple[int, int]:
    """The partition and the offset."""
    return place >> SHIFT, place & _OFFSET


def bounds(partition: int, offset: int) -> tuple[int, int]:
    """The places of a partition before an offset: from, and up to."""
    return place_of(partition, 0), place_of(partition, offset)


# -- headers -------------------------------------------------------------------------------------
# Name and value in turns, each behind its length: one byte, or `_LONG` and four.


def encode_headers(headers: Headers) -> bytes:
    """Headers as bytes."""
    parts = []
    for name, value in headers:
        parts.append(_named(name))
        if value is None:  # Kafka has such headers
            parts.append(_LENGTHS[_NONE])
        else:
            size = len(value)
            parts.append(_LENGTHS[size] if size < _LONG else _long(size))
            parts.append(value)
    return b"".join(parts)


def decode_headers(blob: bytes) -> Headers:
    """The inverse of `encode_headers`; raises `ValueError` for what it did not write."""
    headers: list[tuple[str, bytes]] = []
    at, end = 0, len(blob)
    try:
        while at < end:
            size = blob[at]
            at += 1
            if size == _LONG:
                size, at = int.from_bytes(blob[at : at + 4], "big"), at + 4
            name = _name(blob[at : at + size])
            at += size
            size = blob[at]
            at += 1
            if size == _NONE:
                headers.append((name, None))  # type: ignore[arg-type]
                continue
            if size == _LONG:
                size, at = int.from_bytes(blob[at : at + 4], "big"), at + 4
            headers.append((name, blob[at : at + size]))
            at += size
    except IndexError:
        at = -1
    if at != end:
        raise ValueError("these are no headers")
    return headers


def _long(size: int) -> bytes:
    return bytes((_LONG,)) + size.to_bytes(4, "big")


_LENGTHS = [bytes((size,)) for size in range(256)]


@lru_cache(4096)
def _named(name: str) -> bytes:
    text = name.encode()
    return (_LENGTHS[len(text)] if len(text) < _LONG else _long(len(text))) + text


@lru_cache(4096)
def _name(text: bytes) -> str:
    return text.decode()


def marks_of(headers: Headers) -> set[Name]:
    """What an event is marked with: its tags, and the name it is stored under."""
    return {each for each in headers if each[0] in ("tag", "type") and each[1] is not None}


# -- what is looked for --------------------------------------------------------------------------


class Terms(NamedTuple):
    """What a query looks for, as statements."""

    wanted: Wanted

    @property
    def names(self) -> list[Name]:
        """All tags and types that it speaks of."""
        wanted = self.wanted
        tags = wanted.any_of | wanted.all_of | wanted.none_of
        return [("tag", each) for each in tags] + [("type", each) for each in wanted.types]

    def queries(
        self, known: Mapping[Name, Sequence[int]], low: int, high: int, limit: int
    ) -> Iterator[tuple[str, Sequence[bytes | int]]]:
        """Statements that together find the places from ``low`` to below ``high``: each at least
        its own first ``limit`` or, with a persist id, all.

        ``known`` are the names that the file has: the number, and how many events bear it.
        """
        wanted = self.wanted
        tags = [[("tag", each)] for each in wanted.all_of]
        tags += [[("tag", each) for each in wanted.any_of]] if wanted.any_of else []
        groups = tags + ([[("type", each) for each in wanted.types]] if wanted.types else [])
        # an event must bear one name of each group; the rarest leads, the others are looked up
        numbers = [[known[name] for name in group if name in known] for group in groups]
        if not all(numbers):
            return
        numbers.sort(key=lambda group: sum(count for _, count in group))
        barred = [known[name][0] for name in (("tag", t) for t in wanted.none_of) if name in known]
        if wanted.key is not None:
            rest = _conditions(numbers, barred)
            query = f"SELECT m.place FROM entity m WHERE m.key = ? AND {_BETWEEN}{rest}"
            yield query, (wanted.key, low, high)
        elif not numbers:
            rest = _conditions([], barred)
            query = f"SELECT m.place FROM event m WHERE {_BETWEEN}{rest}"
            yield f"{query} ORDER BY m.place LIMIT ?", (low, high, limit)
        else:
            first, rest = [number for number, _ in numbers[0]], _conditions(numbers[1:], barred)
            query = f"SELECT m.place FROM mark m WHERE m.name = ? AND {_BETWEEN}{rest}"
            for at in range(0, len(first), _UNION):
                some = first[at : at + _UNION]
                given = [each for number in some for each in (number, low, high)]
                union = " UNION ".join([query] * len(some))
                yield f"{union} ORDER BY place LIMIT ?", (*given, limit)


_BETWEEN = "m.place >= ? AND m.place < ?"


def _conditions(groups: Sequence[Sequence[Sequence[int]]], barred: Sequence[int]) -> str:
    held = [_held([number for number, _ in group]) for group in groups]
    return "".join([f" AND {each}" for each in held] + [f" AND NOT {_held(barred)}"] * bool(barred))


def _held(numbers: Sequence[int]) -> str:
    listed = ",".join(map(str, numbers))
    return f"EXISTS (SELECT 1 FROM mark x WHERE x.name IN ({listed}) AND x.place = m.place)"
