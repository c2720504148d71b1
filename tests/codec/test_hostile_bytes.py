"""Random and mutated bytes: a value or the codec's error, in memory that is bounded by the input.

What these bytes may not do: a MemoryError, a RecursionError, any other error, a dead process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from codec_samples import (
    MONEY,
    Account,
    Deposit,
    Deposited,
    Money,
    Node,
    Order,
    Plant,
    Planted,
    Three,
    When,
    bank_codec,
    everything,
    lines,
    moments,
    nodes,
    records,
    texts,
)
from codec_samples import Pair as Made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kstate.codec.decoders import FAULTS
from kstate.codec.generic import decode_datum
from kstate.codec.wire import zigzag
from kstate.core.messages import Snapshot
from kstate.errors import BadCommand, DecodeError

fuzzed = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
CODEC = bank_codec()
HEADER_BYTES = 10

BYTES_PER_BYTE = 2_000
"""What a byte may become: an empty dict in a list is 72 bytes, a record with a ``__dict__`` some
300; the rest is room for what is held while it is made."""
BYTES_AT_LEAST = 64_000
"""What an error takes, with its traceback and sentence."""

Kind = tuple[Callable[[Any], bytes], Callable[[bytes], Any], st.SearchStrategy[Any]]


def _command(value: bytes) -> Any:
    return CODEC.decode_command(value, None, None)


def _encode_command(command: Any) -> bytes:
    return CODEC.encode_command("bank", command)


def _reply(command: type) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    return (
        lambda reply: CODEC.encode_reply(command, reply),
        lambda value: CODEC.decode_reply(command, value),
    )


accounts = st.builds(Account, st.integers(0, 2**40), st.lists(lines, max_size=4).map(tuple))
recents = st.tuples(st.integers(1, 99), st.integers(0, 2**41), st.none() | st.binary(max_size=9))
snapshots = st.builds(
    lambda seq, state, recent: Snapshot(seq, state, 1, seq + 5, 1_700_000_000_000, False, recent),
    st.integers(1, 2**40),
    accounts,
    st.dictionaries(st.binary(min_size=16, max_size=16), recents, max_size=3),
)
orders = st.builds(Order, st.lists(lines, max_size=4).map(tuple), st.none() | texts)
KINDS: dict[str, Kind] = {
    "Deposit": (_encode_command, _command, st.builds(Deposit, st.integers(-(2**63), 2**63 - 1))),
    "Order": (_encode_command, _command, orders),
    "Plant": (_encode_command, _command, st.builds(Plant, nodes)),
    "When": (_encode_command, _command, st.builds(When)),
    "Deposited": (CODEC.encode_event, CODEC.decode_event, st.builds(Deposited, st.integers(0, 9))),
    "Three": (
        CODEC.encode_event,
        CODEC.decode_event,
        st.builds(Three, st.integers(0, 300), texts, st.floats(allow_nan=False)),
    ),
    "Planted": (CODEC.encode_event, CODEC.decode_event, st.builds(Planted, nodes)),
    "Everything": (CODEC.encode_event, CODEC.decode_event, st.just(everything())),
    "Account": (CODEC.encode_state, CODEC.decode_state, accounts),
    "Snapshot": (CODEC.encode_snapshot, CODEC.decode_snapshot, snapshots),
    "an int": (*_reply(Deposit), st.integers(-9, 9)),
    "Money": (*_reply(Order), MONEY | st.none()),
    "a time": (*_reply(When), moments),
}


@pytest.fixture(scope="module", autouse=True)
def decoders() -> None:
    """Makes those of all pairs of a reader and a schema: once, whatever the data."""
    for entry in CODEC.schemas():
        value = b"\xc3\x01" + entry.fingerprint
        for _, read, _ in KINDS.values():
            with suppress(BadCommand, DecodeError):
                read(value)
        with suppress(DecodeError):
            decode_datum(value, CODEC.book)


def peak(read: Callable[[bytes], Any], value: bytes, errors: tuple[type[Exception], ...]) -> int:
    """The most memory that reading took, in bytes; whatever is raised but ``errors`` passes."""
    sentence = ""
    tracemalloc.start()
    try:
        read(value)
    except errors as error:
        sentence = str(error)
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(sentence) < 2_000
    return most


def hold(
    read: Callable[[bytes], Any],
    value: bytes,
    *errors: type[Exception],
) -> None:
    """Reads it in bounded memory."""
    assert peak(read, value, errors) <= BYTES_AT_LEAST + BYTES_PER_BYTE * len(value)


numbers = st.one_of(
    st.integers(-3, 300), st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**20, 2**31, 2**40, 2**62, -(2**62), -(2**63), 2**63 - 1]),
).map(zigzag) | st.just(b"\xff" * 10 + b"\x01") | st.just(b"\x80" * 30)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, value: bytes, other: bytes, begin: int) -> bytes:
    """Bits flipped, ends cut, pieces of another value put in, numbers blown up, parts repeated."""
    data = bytearray(value)
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(begin, max(begin, len(data))))
        match draw(st.sampled_from(["flip", "cut", "splice", "number", "double", "random"])):
            case "flip" if where < len(data):
                data[where] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[where:]
            case "splice":
                first = draw(st.integers(0, len(other)))
                piece = other[first : draw(st.integers(first, len(other)))]
                data[where : where + draw(st.integers(0, len(piece)))] = piece
            case "number":
                data[where : where + draw(st.integers(0, 2))] = draw(numbers)
            case "double":
                until = draw(st.integers(where, max(where, len(data))))
                data[where:where] = data[where:until] * draw(st.integers(1, 200))
            case "random":
                data[where : where + draw(st.integers(0, 3))] = draw(st.binary(max_size=6))
    return bytes(data[:4_000])


@pytest.mark.parametrize("kind", KINDS)
@fuzzed
@given(data=st.data())
def test_a_mutated_value_is_a_value_or_the_codecs_error(kind: str, data: st.DataObject) -> None:
    encode, read, values = KINDS[kind]
    value, other = encode(data.draw(values)), encode(data.draw(values))
    begin = data.draw(st.sampled_from([0, HEADER_BYTES, HEADER_BYTES]))
    hostile = data.draw(mutated(value, other, min(begin, len(value))))
    hold(read, hostile, BadCommand, DecodeError)
    hold(lambda each: decode_datum(each, CODEC.book), hostile, DecodeError)


@fuzzed
@given(records(), st.data())
def test_a_mutated_datum_of_any_type_is_a_value_or_a_fault(
    drawn: tuple[type, Any], data: st.DataObject
) -> None:
    cls, value = drawn
    pair = Made(cls)
    encoded = pair.encode(value)
    hold(pair.decode, data.draw(mutated(encoded, encoded[::-1], 0)), *FAULTS)


@fuzzed
@given(records(), st.binary(max_size=400))
def test_random_bytes_are_a_value_of_any_type_or_a_fault(
    drawn: tuple[type, Any], data: bytes
) -> None:
    hold(Made(drawn[0]).decode, data, *FAULTS)


@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x02", b"\x7f", b"\x80", b"\xff"], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_run_of_one_byte_takes_memory_in_proportion(kind: str, byte: bytes) -> None:
    _, read, _ = KINDS[kind]
    for entry in CODEC.schemas():
        value = b"\xc3\x01" + entry.fingerprint + byte * 20_000
        hold(read, value, BadCommand, DecodeError)


def test_the_most_that_a_byte_becomes_is_within_the_bound() -> None:
    count = 50_000
    smallest: list[tuple[Any, bytes]] = [
        (list[list[int]], b"\x00"),
        (list[dict[str, int]], b"\x00"),
        (list[int | Money | None], b"\x04"),
        (list[Node], b"\x00" * 3),
    ]
    for annotation, item in smallest:
        pair = Made(annotation)
        value = zigzag(count) + item * count + b"\x00"
        assert pair.decode(value)
        hold(pair.decode, value)


CHILD = Path(__file__).with_name("hostile_child.py")


def test_known_attacks_end_no_process_that_has_little_memory_and_time() -> None:
    """In a child with 256 MiB and 20 s of the processor for all of them."""
    done = subprocess.run(
        [sys.executable, str(CHILD)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > 20
    assert {name: what for name, what in outcomes.items() if what != "refused"} == {}
