"""What the stores on disk share: names, checksums, checkpoints and locks."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kstate.errors import StoreError
from kstate.store.files import (
    PartitionLock,
    decode_checkpoint,
    encode_checkpoint,
    partition_name,
    seal,
    unseal,
)
from kstate.store.port import Checkpoint

offsets = st.integers(min_value=-1, max_value=2**63 - 1)
checkpoints = st.builds(
    Checkpoint, offsets, offsets, offsets, offsets, offsets, st.text(max_size=40), offsets
)


def test_an_ordinary_topic_keeps_its_name():
    assert partition_name("bank.snapshots", 3) == "bank.snapshots-3"


@given(st.text(max_size=400), st.integers(min_value=0, max_value=2**31 - 1))
def test_any_topic_makes_one_harmless_file_name(topic, partition):
    name = partition_name(topic, partition)
    assert re.fullmatch(r"[a-z0-9._%~-]+", name)
    assert name not in (".", "..")
    assert len(f"{name}.sqlite-journal") <= 255


def test_names_differ_even_where_the_file_system_ignores_case():
    assert partition_name("Bank", 0).lower() != partition_name("bank", 0).lower()


def test_long_topics_with_one_beginning_have_names_of_their_own():
    assert partition_name("t" * 248 + "a", 0) != partition_name("t" * 248 + "b", 0)


@given(
    st.tuples(st.text(max_size=6), st.integers(0, 20)),
    st.tuples(st.text(max_size=6), st.integers(0, 20)),
)
def test_two_partitions_never_share_a_name(one, two):
    assert (partition_name(*one) == partition_name(*two)) == (one == two)


@given(checkpoints)
def test_a_checkpoint_comes_back_as_it_went(checkpoint):
    assert decode_checkpoint(encode_checkpoint(checkpoint)) == checkpoint


@given(checkpoints, st.data())
def test_a_checkpoint_with_a_changed_byte_is_refused(checkpoint, data):
    stored = bytearray(encode_checkpoint(checkpoint))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="checksum"):
        decode_checkpoint(bytes(stored))


@given(st.binary(max_size=60))
def test_other_bytes_are_no_checkpoint(data):
    with pytest.raises(ValueError, match=r"sealed|checksum|Expecting"):
        decode_checkpoint(data)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"snapshots_offset": 1}',
        b"not json",
        encode_checkpoint(Checkpoint(1, 2, 3, 4, 5, "t", 6))[4:].replace(b'"t"', b"7"),
        encode_checkpoint(Checkpoint(1, 2, 3, 4, 5, "t", 6))[4:].replace(b": 2", b": true"),
    ],
)
def test_a_sealed_body_of_another_shape_is_no_checkpoint(body):
    with pytest.raises(ValueError, match=r"the checkpoint|Expecting"):
        decode_checkpoint(seal(body))


@given(st.binary(max_size=200))
def test_a_sealed_value_comes_back_as_it_went(value):
    assert unseal(seal(value)) == value


def test_a_value_sealed_for_one_key_is_not_that_of_another():
    assert unseal(seal(b"value", b"acct-1"), b"acct-1") == b"value"
    with pytest.raises(ValueError, match="checksum"):
        unseal(seal(b"value", b"acct-1"), b"acct-2")


@pytest.mark.parametrize("stored", [b"", b"abc", "text", None, 7])
def test_what_was_never_sealed_is_refused(stored):
    with pytest.raises(ValueError, match="no sealed value"):
        unseal(stored)


def test_a_lock_is_held_once_and_can_be_taken_again(tmp_path: Path):
    lock = PartitionLock(tmp_path / "x")
    with pytest.raises(StoreError, match=r"x\.lock is in use; stop the worker"):
        PartitionLock(tmp_path / "x")
    lock.release()
    lock.release()
    PartitionLock(tmp_path / "x").release()
