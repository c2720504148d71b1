"""Partitions whose next command cannot be read yet; the others go on meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

RETRY_S = 0.5

logger = logging.getLogger("kstate.worker")


class Holding:
    """The partitions of a worker that wait for what tells them how to read a command.

    ``monotonic`` gives seconds.
    """

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self._name = name
        self._monotonic = monotonic
        self._until: dict[int, float] = {}
        self._told: set[int] = set()

    def __contains__(self, partition: int) -> bool:
        return partition in self._until

    def __bool__(self) -> bool:
        return bool(self._until)

    def hold(self, partition: int, error: Exception) -> None:
        """Lets a partition wait; said once, until a command of it was run."""
        if partition not in self._told:
            self._told.add(partition)
            logger.warning("%s: partition %d waits: %s", self._name, partition, error)
        self._until[partition] = self._monotonic() + RETRY_S

    def due(self) -> list[int]:
        """The partitions that have waited, and are let go for another try."""
        now = self._monotonic()
        found = [partition for partition, until in self._until.items() if until <= now]
        for partition in found:
            del self._until[partition]
        return found

    def moved(self, partitions: Collection[int]) -> None:
        """Commands of these partitions were committed."""
        for partition in self._told.intersection(partitions) - self._until.keys():
            self._told.discard(partition)
            logger.warning("%s: partition %d goes on", self._name, partition)

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are lost, or begin anew."""
        for partition in partitions:
            self._until.pop(partition, None)
            self._told.discard(partition)

    def clear(self) -> None:
        """All are lost."""
        self._until.clear()
        self._told.clear()
