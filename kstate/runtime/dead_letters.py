"""The dead letters of one partition, as its owner finds those of an entity that it erases.

There is no index of them: each erasure reads the partition to its end.  What takes long is done in
slices, so that the owner keeps its seat, and other partitions go on between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kstate.core.letters import concerns, failed_key
from kstate.core.messages import Record
from kstate.errors import LogUnavailable
from kstate.log.port import Log

SLICE_S = 4.0
"""For how long is read at once: less than what a transaction may last that is open meanwhile."""
WAIT_S = 1.0
CHUNK = 10_000


class DeadLetters:
    """Those of one partition; ``monotonic`` gives seconds."""

    def __init__(
        self, log: Log, topic: str, partition: int, monotonic: Callable[[], float]
    ) -> None:
        self._log = log
        self._topic = topic
        self._partition = partition
        self._monotonic = monotonic
        self._persist_id: bytes | None = None  # whose letters are looked for
        self._position = 0  # what lies below was read for it
        self._found: dict[bytes, None] = {}  # keys of letters that have no tombstone, so far

    def of(self, persist_id: bytes) -> Sequence[bytes]:
        """The keys of the letters of a persist id that are there by now.

        Raises `LogUnavailable` when that takes longer than a slice, or when a transaction is open
        that may have more: the next call for the same persist id goes on.
        """
        if persist_id != self._persist_id:
            self._persist_id, self._position, self._found = persist_id, 0, {}
        bounds = self._log.ends(self._topic)[self._partition]
        if max(self._position, bounds.start) < bounds.end:
            self._read(persist_id, bounds.end)
        self._persist_id = None
        return list(self._found)

    def _read(self, persist_id: bytes, end: int) -> None:
        partition, deadline = self._partition, self._monotonic() + SLICE_S
        reader = self._log.reader()
        try:
            reader.assign(self._topic, {partition: self._position}, concerns(persist_id))
            while self._position < end:
                if self._monotonic() > deadline:
                    raise LogUnavailable(
                        f"the dead letters of an entity that is erased are looked for, up to "
                        f"{self._position} of {end} of {self._topic}:{partition} by now"
                    )
                chunk = reader.poll(CHUNK, WAIT_S)
                for record in chunk.records:
                    self._take(record, persist_id)
                passed = max(chunk.passed.get(partition, 0), chunk.ends.get(partition, 0))
                if passed <= self._position:
                    self._look_why(end)
                self._position = max(self._position, passed)
        finally:
            reader.close()

    def _take(self, record: Record, persist_id: bytes) -> None:
        key = record.key or b""
        if record.value is None:
            self._found.pop(key, None)
        elif failed_key(record.key, record.headers) == persist_id:
            self._found[key] = None

    def _look_why(self, end: int) -> None:
        stable = self._log.ends(self._topic)[self._partition].stable
        if stable < end:
            raise LogUnavailable(
                f"an entity is erased, and a transaction is open from {stable} on in "
                f"{self._topic}:{self._partition}, which may have dead letters of it"
            )
