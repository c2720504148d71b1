"""The transactions of a simulated log, as their coordinator sees them.

An end is first written down, and only then told to the partitions, to each in its own time: until
its marker is there, a partition shows nothing of the transaction and nothing behind its beginning.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from kstate.core.messages import Write
from kstate.errors import Fenced
from kstate.log.port import Committed
from kstate.testing.simulated_group import Group
from kstate.testing.simulated_records import Partition, Transaction


class Surroundings(Protocol):
    """What the coordinator has to know of the cluster."""

    now_s: float

    @property
    def groups(self) -> Mapping[str, Group]: ...


class Coordinator:
    """All transactional producers, by their instance; one transaction at a time each."""

    def __init__(
        self, cluster: Surroundings, timeout_s: float, delay_s: Callable[[str], float]
    ) -> None:
        self.timed_out = 0
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._delay_s = delay_s
        self._epochs: dict[str, int] = {}
        self._newest: dict[str, Transaction] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0

    def begin_life(self, instance: str) -> int:
        """The epoch of a new life; what an earlier one left open is aborted, what it has ended is
        brought to its end."""
        self._end_newest(instance)
        self._epochs[instance] = self._epochs.get(instance, -1) + 1
        return self._epochs[instance]

    def end_orphan(self, instance: str) -> None:
        """The same for a life that has no successor."""
        if instance in self._epochs:
            self.begin_life(instance)

    def _end_newest(self, instance: str) -> None:
        newest = self._newest.pop(instance, None)
        if newest is not None:
            if not newest.decided:
                newest.decided = True
            self._finish(newest)

    # -- a transaction -----------------------------------------------------------------------

    def write(
        self, instance: str, epoch: int, partition: Partition, write: Write, timestamp: int
    ) -> int:
        """Appends a record to the producer's transaction, beginning one if there is none."""
        transaction = self._current(instance, epoch)
        now_ms = int(self._cluster.now_s * 1000)
        return partition.append(write, timestamp, now_ms, transaction)

    def add_offsets(
        self,
        instance: str,
        epoch: int,
        group: str,
        member: tuple[int, int],
        progress: Mapping[int, Committed],
    ) -> None:
        """Adds a group's progress; ``member`` are its id and generation.

        Raises `Fenced` when the group has gone on without it.
        """
        transaction = self._current(instance, epoch)
        found = self._cluster.groups[group]
        if not found.accepts(instance, *member):
            raise Fenced(f"{instance} is at generation {member[1]}, {group} at {found.generation}")
        for partition, done in progress.items():
            transaction.offsets[group, partition] = done
            found.hold_back(transaction, partition)

    def end(self, instance: str, epoch: int, *, commit: bool) -> None:
        """Ends the producer's transaction: from now on it is decided, and soon it is seen."""
        self._check(instance, epoch)
        newest = self._newest.get(instance)
        if newest is not None and not newest.decided:
            self._decide(newest, commit)

    def end_later(self, instance: str, epoch: int, after_s: float) -> None:
        """A request to commit that is still under way when its sender has given it up.

        It ends whatever transaction of the same epoch it meets (KAFKA-17754).
        """

        def arrive() -> None:
            newest = self._newest.get(instance)
            if self._epochs[instance] == epoch and newest is not None and not newest.decided:
                self._decide(newest, True)

        self._push(after_s, arrive)

    def _check(self, instance: str, epoch: int) -> None:
        if self._epochs.get(instance) != epoch:
            raise Fenced(f"the producer of {instance} has epoch {epoch}, which is over")

    def _current(self, instance: str, epoch: int) -> Transaction:
        self._check(instance, epoch)
        newest = self._newest.get(instance)
        if newest is None or newest.decided:
            if newest is not None:
                self._finish(newest)  # the next one waits for the last markers
            newest = self._newest[instance] = Transaction(instance, epoch, self._cluster.now_s)
        return newest

    # -- its end -----------------------------------------------------------------------------

    def _decide(self, transaction: Transaction, commit: bool) -> None:
        transaction.decided = True
        transaction.committed = commit
        for place in transaction.places:
            self._push(self._delay_s(place.topic), partial(self._mark, place, transaction))
        for group in {group: None for group, _ in transaction.offsets}:
            self._push(self._delay_s(group), partial(self._settle, group, transaction))

    def _finish(self, transaction: Transaction) -> None:
        for place in transaction.places:
            self._mark(place, transaction)
        for group in {group: None for group, _ in transaction.offsets}:
            self._settle(group, transaction)

    def _mark(self, place: Partition, transaction: Transaction) -> None:
        place.mark(transaction, int(self._cluster.now_s * 1000))

    def _settle(self, group: str, transaction: Transaction) -> None:
        self._cluster.groups[group].settle(transaction, group)

    # -- time --------------------------------------------------------------------------------

    def _push(self, after_s: float, action: Callable[[], None]) -> None:
        if after_s <= 0:
            action()
            return
        self._numbers += 1
        heapq.heappush(self._due, (self._cluster.now_s + after_s, self._numbers, action))

    def tick(self) -> None:
        """Does what is due by now, and aborts what was left open for too long."""
        now_s = self._cluster.now_s
        while self._due and self._due[0][0] <= now_s:
            heapq.heappop(self._due)[2]()
        for instance, newest in list(self._newest.items()):
            if not newest.decided and now_s - newest.began_s > self._timeout_s:
                self._epochs[instance] += 1  # whoever began it is out
                self._decide(newest, False)
                self.timed_out += 1
