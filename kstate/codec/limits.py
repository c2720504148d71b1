"""What a schema may be like before a decoder is made for it.

A datum is held in bounds by its decoder: no length, count or index is trusted, and lists of what
takes no bytes are refused.  That is worth nothing with a schema made to harm: thirty records, each
holding two of the next, make a thousand million values of no bytes at all; ten thousand fields of
type null are ten thousand values for each byte of a list.  A writer's schema comes from a topic
that others may write to, and what is generated from it is Python; so it is looked at here first,
in time linear in its size and without recursion.  Data of a schema that passes costs no more than
before: nothing is counted per datum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from kstate.codec.shapes import peel
from kstate.codec.writers import Written

MAX_SCHEMA_BYTES: Final = 2**20
"""Bytes of a schema's text in a schemas topic, or a registry."""
MAX_PARTS: Final = 4_096
"""Fields, branches of unions, items of lists and values of maps of one schema, together: each is
some lines of its decoder.  Also the values without bytes in a datum that stands by itself, in an
item of a list, a value of a map or a branch of a union."""
MAX_TYPES: Final = 1_024
"""Named types (records, enums and fixed) of one schema."""
MAX_BRANCHES: Final = 256
"""Branches of one union."""
MAX_SYMBOLS: Final = 65_536
"""Symbols of one enum."""
MAX_NAME_CHARS: Final = 256
"""Characters of a full name, of a field's or a symbol's."""
MAX_RECORD_NESTING: Final = 100
"""How deep different records may lie in one another; for those that hold their own kind, see
`kstate.codec.wire.MAX_DEPTH`."""
MAX_EMPTY_VALUES: Final = 8
"""Values without bytes of their own (null, or a record) that an item of a list, a value of a map or
a branch of a union may have for each byte it takes and one more."""
MAX_DATUM_BYTES: Final = 1_000_000_000
"""Bytes of a value whose schema has lists or maps, or nests: what these become is a multiple of it.
No log carries more (librdkafka's ``message.max.bytes``, SQLite's ``SQLITE_MAX_LENGTH``), so nothing
that was written is refused; how much a log takes is its own setting, ``max_record_bytes``."""
MAX_JSON_RETRIES: Final = 200_000
"""Values of one JSON document that may be tried in vain.  An object that may be a map or a record
is tried as both; in a type that holds itself, each level would double the work."""
MAX_FIXED_BYTES: Final = 2**31 - 1
"""The size of a fixed."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_PRIMITIVES = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
)  # fmt: skip
_BYTES: Final[Mapping[str, int]] = {"null": 0, "float": 4, "double": 8}
_MUCH = 2**40  # where sums stop: they double with each record


class Beyond(ValueError):
    """A schema that is beyond a limit; the message is a sentence that names it."""


class Checked(NamedTuple):
    """What a decoder is to know of a schema within the limits."""

    endless: frozenset[str]  # records that can nest without end, or hold one that can
    grows: bool  # whether a datum may have any number of values: it has lists, maps or the former
    bare: frozenset[str]  # records of which a datum may be of zero bytes


def check(written: Written) -> Checked:
    """Looks at a schema; raises `Beyond` for one that no decoder is made for."""
    return _Survey(written).judge()


class _Survey:
    """One walk through a schema: what its records hold, and what stands in lists and unions."""

    def __init__(self, written: Written) -> None:
        self.written = written
        self.kind: Callable[[Any], str] = written.kind
        self.met = 0  # fields, branches, items and values
        self.repeats = False  # whether there are lists or maps
        self.records: dict[str, Any] = {}
        self.holds: dict[str, set[str]] = {}  # record → records anywhere in its fields
        self.parts: list[tuple[str, Any]] = []  # what may stand there again and again
        self.empty: dict[str, int] = {}  # record → values without bytes in each of it
        self.least: dict[str, int] = {}  # record → bytes of the shortest

    def judge(self) -> Checked:
        if len(self.written.named) > MAX_TYPES:
            raise Beyond(f"it has more than {MAX_TYPES} named types (MAX_TYPES)")
        for name, definition in self.written.named.items():
            self.named(name, definition)
        self.inside("the schema", self.written.schema, set())
        endless = self.nesting()
        self.weights()
        for where, part in self.parts:
            empty, least = self.weight(part)
            if empty > MAX_EMPTY_VALUES * (least + 1):
                raise Beyond(
                    f"{where} has parts of {_shown(empty)} values without bytes, more than "
                    f"{MAX_EMPTY_VALUES} for each byte (MAX_EMPTY_VALUES)"
                )
            if empty > MAX_PARTS:  # made before it shows that the bytes to pay for them are missing
                raise Beyond(
                    f"{where} has parts of {_shown(empty)} values without bytes, more than "
                    f"{MAX_PARTS} (MAX_PARTS)"
                )
        if self.weight(self.written.schema)[0] > MAX_PARTS:
            raise Beyond(f"it makes more than {MAX_PARTS} values without bytes (MAX_PARTS)")
        bare = frozenset(name for name, least in self.least.items() if not least)
        return Checked(endless, self.repeats or bool(endless), bare)

    def count(self, parts: int) -> None:
        self.met += parts
        if self.met > MAX_PARTS:
            raise Beyond(
                f"it has more than {MAX_PARTS} fields, branches and items in all (MAX_PARTS)"
            )

    # -- each type by itself ---------------------------------------------------------------------

    def named(self, name: Any, definition: Any) -> None:
        _check_name(name)
        if name in _PRIMITIVES:
            raise Beyond(f"a type is named {name}, like one of Avro's own")
        match self.kind(definition):
            case "enum":
                _check_symbols(name, definition["symbols"])
            case "fixed":
                size = definition["size"]
                # it becomes part of the decoder's text
                if type(size) is not int or not 0 <= size <= MAX_FIXED_BYTES:
                    raise Beyond(
                        f"the size of {name} is no number from 0 to {MAX_FIXED_BYTES} "
                        "(MAX_FIXED_BYTES)"
                    )
            case "record":
                self.record(name, definition["fields"])

    def record(self, name: str, fields: Any) -> None:
        if type(fields) is not list:
            raise Beyond(f"the fields of {name} are no list")
        self.count(len(fields))
        self.records[name] = fields
        held: set[str] = set()
        known: set[str] = set()
        for item in fields:
            field = item["name"]
            _check_name(field)
            if field in known:
                raise Beyond(f"{name} has the field {field} twice")
            known.add(field)
            self.inside(f"{name}.{field}", item["type"], held)
        self.holds[name] = held

    def inside(self, where: str, schema: Any, held: set[str]) -> None:
        """Walks a type up to the next records, which are looked at on their own."""
        waiting = [schema]
        while waiting:
            kind, part = self.kind(waiting[-1]), self.written.follow(waiting.pop())
            if kind == "record":
                held.add(part["name"])
                continue
            inner: list[Any] = []
            if kind == "union":
                inner = part
                if len(inner) > MAX_BRANCHES:
                    raise Beyond(f"{where} has more than {MAX_BRANCHES} branches (MAX_BRANCHES)")
                if any(self.kind(branch) == "union" for branch in inner):
                    raise Beyond(f"{where} is a union that holds a union")
            elif kind == "array":
                inner = [part["items"]]
            elif kind == "map":
                inner = [part["values"]]
            self.count(len(inner))
            self.repeats = self.repeats or kind in ("array", "map")
            self.parts += ((where, each) for each in inner)
            waiting += inner

    # -- records in records ----------------------------------------------------------------------

    def nesting(self) -> frozenset[str]:
        """Bounds the depth of all but those without end, which is counted as they are read."""
        depth: dict[str, int] = {}
        for name in peel(self.holds):
            depth[name] = 1 + max((depth[each] for each in self.holds[name]), default=0)
            if depth[name] > MAX_RECORD_NESTING:
                raise Beyond(
                    f"records are nested more than {MAX_RECORD_NESTING} deep (MAX_RECORD_NESTING)"
                )
        return frozenset(self.holds.keys() - depth.keys())

    def weights(self) -> None:
        """The values without bytes, and the bytes, of each record's least datum."""
        direct = {
            name: {
                self.written.follow(item["type"])["name"]
                for item in fields
                if self.kind(item["type"]) == "record"
            }
            for name, fields in self.records.items()
        }
        order = peel(direct)
        if len(order) < len(direct):
            name = min(direct.keys() - set(order))
            raise Beyond(f"{name} always holds another of its kind, so it has no end")
        for name in order:
            weights = [self.weight(item["type"]) for item in self.records[name]]
            self.empty[name] = min(_MUCH, 1 + sum(empty for empty, _ in weights))
            self.least[name] = min(_MUCH, sum(least for _, least in weights))

    def weight(self, schema: Any) -> tuple[int, int]:
        """Values without bytes and bytes; what is in lists and unions has a byte of its own."""
        kind, definition = self.kind(schema), self.written.follow(schema)
        if kind == "record":
            return self.empty[definition["name"]], self.least[definition["name"]]
        least = definition["size"] if kind == "fixed" else _BYTES.get(kind, 1)
        return int(not least), least


def _check_name(name: Any) -> None:
    if type(name) is not str:
        raise Beyond("a name is no string")
    if len(name) > MAX_NAME_CHARS:
        raise Beyond(
            f"the name {name[:40]}… has more than {MAX_NAME_CHARS} characters (MAX_NAME_CHARS)"
        )
    if not _NAME.fullmatch(name):
        raise Beyond(f"{name[:40]!r} is no Avro name")


def _check_symbols(name: str, symbols: Any) -> None:
    if type(symbols) is not list or not symbols:
        raise Beyond(f"the symbols of {name} are no list")
    if len(symbols) > MAX_SYMBOLS:
        raise Beyond(f"{name} has more than {MAX_SYMBOLS} symbols (MAX_SYMBOLS)")
    for symbol in symbols:
        _check_name(symbol)


def _shown(count: int) -> str:
    return f"{count:,}" if count < _MUCH else "countless"
