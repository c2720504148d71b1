"""Which faults come, and in which order: drawn from a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping

KILL = "worker killed"
LATE = "worker killed, restarted late"
STOP = "worker stopped beyond its session"
STORM = "rebalance storm"
LOST_STORE = "local store deleted"
BAD_STORE = "local store corrupted"
OFFSETS = "group offsets deleted or set to 0"

BROKER = "broker killed"
CUT = "connections cut"
APART = "worker kept from brokers beyond its session"
SLOW = "connections delayed"
SILENT = "connections silent"
STRANGER = "foreign transaction left open"

WORKERS: Mapping[str, int] = {
    KILL: 6,
    LATE: 1,
    STOP: 2,
    STORM: 1,
    LOST_STORE: 1,
    BAD_STORE: 1,
    OFFSETS: 1,
}
"""What happens to workers: how often in a round."""

AROUND: Mapping[str, int] = {
    BROKER: 2,
    CUT: 3,
    APART: 1,
    SLOW: 1,
    SILENT: 1,
    STRANGER: 2,
}
"""What happens around them, at the same time."""


def cards(kinds: Mapping[str, int], chance: random.Random) -> Iterator[str]:
    """Kinds of faults without end: each once, then in rounds of the counts given, shuffled."""
    once = list(kinds)
    chance.shuffle(once)
    yield from once
    while True:
        again = list(Counter(kinds).elements())
        chance.shuffle(again)
        yield from again
