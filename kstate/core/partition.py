"""Which partition a key belongs to: the hash that Kafka's Java clients use.

MurmurHash2 (Austin Appleby), 32 bits, with the seed of
``org.apache.kafka.common.utils.Utils.murmur2``.
"""

from __future__ import annotations

import struct
from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_CACHED_KEYS = 16_384


@lru_cache(maxsize=64)
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


def murmur2(key: bytes) -> int:
    """The hash of ``key`` as Java gives it: a signed 32-bit integer."""
    size = len(key)
    count = size >> 2
    h = _SEED ^ size
    for word in _words(count).unpack_from(key):
        k = word * _M & _MASK
        # Only the low 32 bits of products and of exclusive ors matter: one mask per round will do.
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    rest = size & 3
    if rest:
        h = (h ^ int.from_bytes(key[-rest:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - 0x1_0000_0000 if h & 0x8000_0000 else h


@lru_cache(maxsize=_CACHED_KEYS)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of ``key`` among ``partitions``, as Java's default partitioner chooses it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
