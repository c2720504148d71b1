"""The benchmark of decoding runs, compares like with like, and says so when it does not."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.decoding import SHAPES, Flat, Pair, Row, Sample, Shape, table
from kstate.codec.avro import AvroCodec
from kstate.codec.book import Book
from kstate.processor import definition_of

ROOT = Path(__file__).parent.parent.parent


def codec() -> AvroCodec:
    return AvroCodec(definition_of(Sample), Book())


def test_the_short_form_has_a_row_for_every_shape() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.decoding", "--short"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    for shape in SHAPES:
        assert f"| {shape.title} |" in done.stdout


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.title for shape in SHAPES])
def test_both_readers_give_the_event_that_was_written(shape: Shape) -> None:
    pair = Pair(shape, codec())
    assert pair.bare(pair.value) == pair.kstate(pair.value) == pair.shape.event


def test_a_bare_reader_that_makes_something_else_is_found_out() -> None:
    wrong = SHAPES[0]._replace(make=lambda data: Flat(**data | {"amount": 6}))
    with pytest.raises(SystemExit, match="bare reads Flat"):
        Pair(wrong, codec())


def test_a_benchmark_of_another_event_is_found_out() -> None:
    wrong = SHAPES[4]._replace(event=dataclasses.replace(SHAPES[4].event, amount=6))
    with pytest.raises(SystemExit, match="an older schema, resolved: "):
        Pair(wrong, codec())


def test_the_table_has_the_ratio_of_kstate_by_bare() -> None:
    row = Row("flat", 25, 2.0, 1.0, 0.5)
    assert table([row]).splitlines()[-1] == "| flat | 25 | 2.00 | 1.00 | 0.50 |"
