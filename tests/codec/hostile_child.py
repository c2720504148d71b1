"""Run by a test in a process of its own: decodes what is known to kill a careless reader.

Prints what became of each as JSON.  The limits are the kernel's, so that what goes beyond them is
an error here or the end of this process, and never of the one that runs the tests.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

from kstate.codec.decoders import FAULTS, compile_decoder
from kstate.codec.scalars import GENERIC
from kstate.codec.writers import parse

MEMORY_BYTES = 256 * 2**20
SECONDS = 20

HUGE = b"\xfe" + b"\xff" * 7 + b"\x7f"  # 2^62 - 1
MANY = b"\x80" * 5 + b"\x40\x00"  # 2^40


def record(name: str, *types: Any) -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def table(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def doubled(levels: int, leaf: str) -> Any:
    schema = record(f"D{levels}", leaf)
    for level in range(levels - 1, -1, -1):
        schema = record(f"D{level}", schema, f"D{level + 1}")
    return schema


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
SYMBOLS = {"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(70_000)]}
DEEP = record("N", ["null", "N"])
HOLDS_ITSELF = record("N", "N", "N")
CHAIN = record(
    "T", *[record(f"C{n}", ["null", f"C{n - 1}"] if n else "long") for n in range(1_000)]
)

ATTACKS: dict[str, tuple[Any, bytes]] = {
    "a string of 2^62": ("string", HUGE),
    "bytes of 2^62": ("bytes", HUGE),
    "a string of -1": ("string", b"\x01"),
    "bytes whose length goes back": (record("T", "bytes", "long"), b"\x01"),
    "a string whose length goes back": (record("T", "string", "long"), b"\x01"),
    "a string beyond the end": ("string", b"\x0aab"),
    "a string that is no UTF-8": ("string", b"\x04\xc3\x28"),
    "2^40 nulls": (array("null"), MANY),
    "2^62 nulls": (array("null"), HUGE + b"\x00"),
    "-2^40 nulls": (array("null"), b"\xff" * 5 + b"\x3f\x00\x00"),
    "2^40 empty records": (array(record("E")), MANY),
    "2^40 fixed of no bytes": (array({"type": "fixed", "name": "F", "size": 0}), MANY),
    "a map of 2^40 empty records": (table(record("E")), MANY),
    "2^62 longs": (array("long"), HUGE + b"\x00" * 9),
    "a block of -2^63": (array("long"), b"\xff" * 9 + b"\x01\x00"),
    "a block of size -1": (array("long"), b"\x03\x01\x02\x04\x00"),
    "a million deep": (DEEP, b"\x02" * 1_000_000),
    "a million lists deep": (record("N", array("N")), b"\x02" * 1_000_000),
    "a record of itself": (HOLDS_ITSELF, b""),
    "a branch beyond the last": (["null", "long"], b"\x08"),
    "a branch before the first": (["null", "long"], b"\x01"),
    "a symbol before the first": (ENUM, b"\x01"),
    "a symbol beyond the last": (ENUM, b"\x04"),
    "a boolean of 7": ("boolean", b"\x07"),
    "a number of 11 bytes": ("long", b"\x80" * 10 + b"\x01"),
    "a number of a million bytes": ("long", b"\xff" * 1_000_000 + b"\x01"),
    "a number of 70 bits": ("long", b"\xff" * 9 + b"\x7f"),
    "bytes after the end": ("long", b"\x02\x00"),
    "nothing": ("long", b""),
    "records that double": (doubled(40, "null"), b""),
    "a list of records that double": (array(doubled(40, "null")), b"\x02\x00"),
    "records that double, with bytes": (doubled(40, "boolean"), b"\x00" * 9),
    "nulls by the byte": (array(record("A", *["null"] * 4_000, "boolean")), MANY[:2] + b"\x04"),
    "a hundred thousand fields": (record("W", *["long"] * 100_000), b"\x02" * 100_000),
    "a thousand records in a chain": (CHAIN, b"\x02" * 1_000),
    "ten thousand branches": (
        [{"type": "fixed", "name": f"F{n}", "size": 1} for n in range(10_000)], b"\x02\x02",
    ),
    "seventy thousand symbols": (SYMBOLS, b"\x02"),
    "a size that is Python": ({"type": "fixed", "name": "F", "size": "exit(3)"}, b"abc"),
    "a size of 2^62": ({"type": "fixed", "name": "F", "size": 2**62}, b"abc"),
}  # fmt: skip


def outcome(schema: Any, data: bytes) -> str:
    """What became of it: ``refused`` if the codec has an error for it."""
    try:
        found = compile_decoder(parse(schema), GENERIC, "Foreign").read(data, 0)
    except FAULTS:
        return "refused"
    except BaseException as error:  # noqa: BLE001 -- what it is, is what the test asks
        return type(error).__name__
    return f"read as {found!r:.60}"


def main() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    print(json.dumps({name: outcome(*attack) for name, attack in ATTACKS.items()}))


if __name__ == "__main__":
    main()
