"""Counting the records of a topic.  Offsets do not count them: on Kafka they have holes."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Collection, Mapping

from kstate.log.port import Committed, Log

PATIENCE_S = 60.0
READ_S = 0.1
CHUNK = 2_000

Progress = Mapping[int, Committed]


class Tally:
    """The offsets of a topic's committed records, read along while it grows."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic
        starts = {partition: ends.start for partition, ends in log.ends(topic).items()}
        self._offsets: dict[int, list[int]] = {partition: [] for partition in starts}
        self._next = dict(starts)
        self._reader = log.reader()
        self._reader.assign(topic, starts)

    @property
    def partitions(self) -> list[int]:
        """All partitions of the topic."""
        return sorted(self._offsets)

    def read(self) -> None:
        """Takes what has been fetched so far."""
        while self._poll(0.0):
            pass

    def catch_up(self) -> None:
        """Reads every record that is committed by now."""
        ends = self._log.ends(self._topic)
        deadline = time.monotonic() + PATIENCE_S
        while any(self._next[partition] < each.stable for partition, each in ends.items()):
            self._poll(READ_S)
            assert time.monotonic() < deadline, f"{self._topic} could not be read to its end"

    def _poll(self, timeout_s: float) -> int:
        chunk = self._reader.poll(CHUNK, timeout_s)
        for record in chunk.records:
            self._offsets[record.partition].append(record.offset)
            self._next[record.partition] = record.offset + 1
        self._next.update(chunk.ends)
        return len(chunk.records)

    def processed(self, progress: Progress) -> int:
        """How many of the records read lie before the progress."""
        return sum(
            bisect_left(self._offsets[partition], each.offset)
            for partition, each in progress.items()
        )

    def waiting(self, progress: Progress, partitions: Collection[int]) -> int:
        """How many of the records read in these partitions are not processed.

        Never too many, when the progress was asked for after the reading.
        """
        ours = {partition: progress[partition] for partition in partitions if partition in progress}
        return sum(len(self._offsets[each]) for each in partitions) - self.processed(ours)

    def close(self) -> None:
        """Releases the reader."""
        self._reader.close()
