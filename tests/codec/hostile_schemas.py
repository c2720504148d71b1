"""Schemas as whoever writes to a schemas topic, or to a registry, may make them up."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kstate import EventAdapter, SnapshotAdapter, Stored
from kstate.codec.port import SchemaRecord
from kstate.codec.writers import fingerprint
from kstate.errors import SchemaError

fuzzed = settings(
    # KSTATE_TEST_FUZZ=1000 looks for longer
    max_examples=int(os.environ.get("KSTATE_TEST_FUZZ", "30")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
PATIENCE_S = 20
"""What may be done with one schema takes milliseconds; a machine may be busy."""


class AsItIs(EventAdapter):
    """Looks at every event and changes none."""

    def from_journal(self, stored: Stored) -> Iterable[Stored]:
        yield stored


class StateAsItIs(SnapshotAdapter):
    """Looks at every state of another day."""

    def from_snapshot(self, stored: Stored) -> Stored:
        return stored


@contextmanager
def in_time() -> Iterator[None]:
    """Ends what does not come to its end."""

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"not done after {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def published(schema: Any) -> SchemaRecord:
    """It as a record of a schemas topic, under its fingerprint if it has one."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    try:
        key = fingerprint(schema)
    except SchemaError:
        key = bytes(8)
    return SchemaRecord(key.hex().encode(), text, [("kind", b"event"), ("type", b"Deposited")])


def record(name: Any, *types: Any) -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


def doubled(levels: int, leaf: Any, wrap: Any = lambda inner: inner) -> Any:
    """Each record holds two of the next."""
    schema = record(f"D{levels}", leaf)
    for level in range(levels - 1, -1, -1):
        schema = record(f"D{level}", wrap(schema), wrap(f"D{level + 1}"))
    return schema


def nested(levels: int, wrap: Any, leaf: Any = "long") -> Any:
    schema = leaf
    for level in range(levels):
        schema = wrap(schema, level)
    return schema


OWN = [
    "bank.Deposited", "bank.Account", "bank.Deposit", "bank.Three", "bank.Planted", "bank.Node",
    "bank.Order", "bank.Line", "kstate.Snapshot", "kstate.Noted",
]  # fmt: skip
PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
junk = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.floats(), st.text(max_size=6),
    st.sampled_from(
        ["", "error", "request", "union", "record", "A.", ".A", "a b", "é", "x" * 300, [], {}, [[]],
         {"type": {}}, {"type": []}, {"type": None}, {"type": {"type": {"type": "int"}}}]
    ),
)  # fmt: skip
names = st.sampled_from(["A", "B", "C", "n.A", *OWN]) | st.just("A")
any_name = st.one_of(names, names, names, junk)
sizes = st.sampled_from([0, 1, 4, 16, 2**31 - 1, 2**31, -1, "4", 1.5, True, None])


@st.composite
def logical(draw: st.DrawFn) -> Any:
    """A primitive with a logical type that may not be one."""
    kinds = ["decimal", "uuid", "date", "timestamp-micros", "timestamp-millis", "nonsense", 5, None]
    schema: dict[str, Any] = {"type": draw(st.sampled_from(PRIMITIVES))}
    schema["logicalType"] = draw(st.sampled_from(kinds))
    numbers = st.sampled_from([0, 1, 2, 38, 10_000, 10**9, -1, "2", None, 2.5])
    return schema | {"precision": draw(numbers), "scale": draw(numbers)}


def _named(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    field = st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "b", "amount", "total"]) | junk, "type": inner},
        optional={"default": junk, "aliases": st.lists(any_name, max_size=2) | junk},
    )
    extra = {"aliases": st.lists(any_name, max_size=2) | junk, "namespace": names | junk}
    fields = st.lists(field, max_size=4) | junk
    symbols = st.lists(st.sampled_from(["X", "Y", "Z"]) | junk, max_size=4) | junk
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("record"), "name": any_name, "fields": fields}, optional=extra
        ),
        st.fixed_dictionaries(
            {"type": st.just("enum"), "name": any_name, "symbols": symbols},
            optional=extra | {"default": junk},
        ),
        st.fixed_dictionaries(
            {"type": st.just("fixed"), "name": any_name, "size": sizes},
            optional=extra | {"logicalType": st.just("decimal"), "precision": sizes},
        ),
    )


def _inner(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        _named(inner),
        _named(inner),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("map"), "values": inner}),
        st.fixed_dictionaries({"type": inner}),
        st.lists(inner, max_size=4),
    )


made_up = st.recursive(
    st.one_of(st.sampled_from(PRIMITIVES), st.sampled_from(PRIMITIVES), names, logical(), junk),
    _inner,
    max_leaves=25,
)
"""Anything, most of it nearly a schema."""


@st.composite
def attacks(draw: st.DrawFn) -> Any:
    """What grows or nests beyond reason: a few parts of each, put together."""
    count = draw(st.sampled_from([2, 20, 60, 150, 350]))
    leaf = draw(st.sampled_from(["null", "boolean", "long", "string"]))
    fixed = {"type": "fixed", "name": "F", "size": draw(sizes)}
    wraps: list[Any] = [
        lambda inner: inner,
        lambda inner: ["null", inner],
        lambda inner: [inner, "long"],
        lambda inner: {"type": "array", "items": inner},
        lambda inner: {"type": "map", "values": inner},
    ]
    wrap = draw(st.sampled_from(wraps))
    shape: Any = draw(
        st.sampled_from(
            [
                doubled(min(count, 60), leaf, wrap),
                doubled(min(count, 60), fixed, wrap),
                record("A", doubled(min(count, 60), leaf, wrap), fixed),
                nested(count, lambda inner, _: wrap(inner), leaf),
                nested(count, lambda inner, n: record(f"N{n}", wrap(inner)), leaf),
                record("T", *(record(f"C{n}", wrap(f"C{n - 1}" if n else leaf))
                              for n in range(count * 3))),
                record("N", wrap("N"), wrap("N")),
                record("N", [record("M", ["N", "M"]), "N"], wrap("N")),
                record("W", *[wrap(leaf)] * (count * 20)),
                [{"type": "fixed", "name": f"F{n}", "size": n} for n in range(count)],
                {"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(count * 200)]},
            ]
        )
    )  # fmt: skip
    for _ in range(draw(st.integers(0, 2))):
        shape = draw(st.sampled_from(wraps))(shape)
    name = draw(st.sampled_from(OWN))
    if draw(st.booleans()):
        field = draw(st.sampled_from(["amount", "total", "lines"]))
        return {"type": "record", "name": name, "fields": [{"name": field, "type": shape}]}
    return shape | {"name": name} if isinstance(shape, dict) and "name" in shape else shape


hostile_schemas = made_up | attacks()
