"""Whatever encodes reads back as an equal value of the same type."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import immutables
import pyrsistent
import pytest
from codec_samples import Everything, Node, Pair, Typed, everything, records, typed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

slow = settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@slow
@given(st.data(), typed())
def test_a_value_of_any_type_reads_back_equal(data: st.DataObject, drawn: Typed) -> None:
    annotation, values = drawn
    value = data.draw(values)
    assert Pair(annotation).again(value) == value


@slow
@given(records())
def test_a_dataclass_of_any_fields_reads_back_equal(drawn: tuple[type, Any]) -> None:
    cls, value = drawn
    again = Pair(cls).again(value)
    assert again == value
    assert type(again) is cls


def test_every_type_at_once_reads_back_equal() -> None:
    assert Pair(Everything).again(everything()) == everything()


def test_a_whole_number_in_a_float_field_reads_back_as_a_float() -> None:
    again = Pair(float).again(3)
    assert again == 3
    assert type(again) is float


def test_nan_reads_back_as_nan() -> None:
    again = Pair(float).again(float("nan"))
    assert again != again


@pytest.mark.parametrize(
    ("annotation", "value", "kind"),
    [
        (list[int], [1], list),
        (tuple[int, ...], (1,), tuple),
        (dict[str, int], {"a": 1}, dict),
        (immutables.Map[str, int], immutables.Map(a=1), immutables.Map),
        (pyrsistent.PMap[str, int], pyrsistent.pmap({"a": 1}), type(pyrsistent.pmap())),
        (pyrsistent.PVector[int], pyrsistent.pvector([1]), type(pyrsistent.pvector())),
    ],
)
def test_a_container_reads_back_as_its_own_kind(annotation: Any, value: Any, kind: type) -> None:
    again = Pair(annotation).again(value)
    assert again == value
    assert type(again) is kind


def test_a_mapping_reads_back_read_only_and_equal_to_what_was_written() -> None:
    from collections.abc import Mapping

    again = Pair(Mapping[str, int]).again({"a": 1})
    assert again == {"a": 1}
    assert type(again) is MappingProxyType


@dataclass(frozen=True)
class Upper:
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name.upper())


def test_a_class_with_post_init_is_made_by_its_constructor() -> None:
    pair = Pair(Upper)
    assert pair.decode(b"\x04ab") == Upper("AB")


def test_an_object_read_back_has_what_its_constructor_would_have_given_it() -> None:
    again = Pair(Node).again(Node(1, Node(2)))
    assert vars(again) == vars(Node(1, Node(2)))
    assert hash(again) == hash(Node(1, Node(2)))


_HASH_ORDER = """
import immutables, pyrsistent, sys
from kstate.codec.derive import shape_of
from kstate.codec.encoders import compile_encoder
names = {str(i): i for i in range(50)}
for made in (immutables.Map(names), pyrsistent.pmap(names)):
    annotation = (immutables.Map if isinstance(made, immutables.Map) else pyrsistent.PMap)[str, int]
    sys.stdout.write(compile_encoder(shape_of(annotation, "t"), "m")(made).hex())
"""


def test_a_map_ordered_by_hashes_gives_the_same_bytes_in_every_process() -> None:
    seen = set()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", _HASH_ORDER],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        seen.add(run.stdout)
    assert len(seen) == 1
