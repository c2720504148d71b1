"""The commands that were delivered and not run yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence

from kstate.core.messages import Record

CHUNK = 100
"""Records that are asked for together: what a log makes them of is cold by then, they are not."""


class Backlog:
    """Records in the order in which they were delivered.

    The log's sequences are kept, and asked for their records only as these are needed.
    """

    def __init__(self) -> None:
        self._next: deque[Record] = deque()
        self._later: deque[Sequence[Record]] = deque()
        self._passed = 0  # records of the first sequence that were asked for

    def __len__(self) -> int:
        return len(self._next) + sum(map(len, self._later)) - self._passed

    def __bool__(self) -> bool:
        return bool(self._next or self._later)

    def extend(self, records: Sequence[Record]) -> None:
        """Adds what was delivered."""
        if records:
            self._later.append(records)

    def drain(self) -> Iterator[Record]:
        """Takes the records out one by one; those that are not asked for stay."""
        while self._next or self._fill():
            while self._next:
                yield self._next.popleft()

    def _fill(self) -> bool:
        """Asks for the next records; False when there are none."""
        if not self._later:
            return False
        first, begin = self._later[0], self._passed
        self._passed = begin + CHUNK
        self._next.extend(first[begin : self._passed])
        if self._passed >= len(first):
            self._later.popleft()
            self._passed = 0
        return True

    def forget(self, partitions: Collection[int]) -> None:
        """Drops the records of these partitions."""
        self._next = deque(each for each in self.drain() if each.partition not in partitions)

    def clear(self) -> None:
        """Drops all records."""
        self._next.clear()
        self._later.clear()
        self._passed = 0
