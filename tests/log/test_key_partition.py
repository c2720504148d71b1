"""Keys go where Kafka's Java clients put them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kstate.core.partition import murmur2, partition_for

# From Kafka's own UtilsTest.testMurmur2.
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def by_the_book(data: bytes) -> int:
    """Utils.murmur2 of Kafka, line by line."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = 0x9747B28C ^ length
    for i in range(length // 4):
        k = int.from_bytes(data[i * 4 : i * 4 + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = (h * m) & mask
        h ^= k
    tail = length & ~3
    if length % 4 >= 3:
        h ^= data[tail + 2] << 16
    if length % 4 >= 2:
        h ^= data[tail + 1] << 8
    if length % 4 >= 1:
        h ^= data[tail]
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    h ^= h >> 15
    return h - (1 << 32) if h >= 1 << 31 else h


@pytest.mark.parametrize(("key", "expected"), VECTORS.items())
def test_the_hash_gives_kafkas_own_test_vectors(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected


@given(st.binary(max_size=70))
def test_the_hash_is_kafkas_for_every_length(key: bytes) -> None:
    assert murmur2(key) == by_the_book(key)


@given(st.binary(max_size=70), st.integers(1, 1000))
def test_a_partition_is_one_of_those_there_are(key: bytes, partitions: int) -> None:
    assert partition_for(key, partitions) == (by_the_book(key) & 0x7FFFFFFF) % partitions
