"""Reading a partition of a topic from one offset to another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from kstate.core.messages import Record
from kstate.errors import LogError
from kstate.log.port import Log

CHUNK = 2_000
WAIT_S = 0.2
STALL_S = 60.0


def chunks(
    log: Log, topic: str, partition: int, start: int, end: int
) -> Iterator[Sequence[Record]]:
    """The committed records from ``start`` on and below ``end``, in their order.

    Raises `LogError` when nothing comes for a minute.
    """
    if start >= end:
        return
    reader = log.reader()
    try:
        reader.assign(topic, {partition: start})
        position, moved = start, time.monotonic()
        while position < end:
            chunk = reader.poll(CHUNK, WAIT_S)
            found = chunk.records
            if found:
                position = found[-1].offset + 1
                yield found if position <= end else [each for each in found if each.offset < end]
            # the end is where the reader stands, not a record: the last offset may hold none
            position = max(position, chunk.ends.get(partition, 0))
            if found or position >= end:
                moved = time.monotonic()
            elif time.monotonic() - moved > STALL_S:
                raise LogError(
                    f"reading {topic}:{partition} made no progress for {STALL_S:.0f} s: a "
                    "transaction is still open there, or the log was truncated"
                )
    finally:
        reader.close()
