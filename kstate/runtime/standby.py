"""Stores that are kept warm: partitions of others, followed on the snapshots topic.

A takeover then begins with a store that lacks little.  All of it happens in the worker's thread,
in slices between its batches, so that a store never has two writers: a partition that is taken
over leaves here first, with its store.  A standby is a cache of a cache: what goes wrong with it is
told, and never stops the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from itertools import groupby
from operator import attrgetter

from kstate.core.messages import Record
from kstate.core.partition import murmur2
from kstate.errors import LogError, StoreError
from kstate.log.port import Ends, Log, Reader
from kstate.runtime.snapshots import Snapshots
from kstate.store.port import PartitionStore

CHUNK = 500
BUSY_PERIOD_S = 1.0
"""How often a worker without a pause follows nevertheless, for one chunk."""
RETRY_S = 5.0
"""How long nothing is tried after the log refused."""
RENEWAL_MS = 3_600_000
"""How often it is asked whether a store lacks nothing, and thus is as new as can be."""

logger = logging.getLogger("kstate.standby")

Clock = Callable[[], float]
"""Seconds, as `time.monotonic` or `time.time` give them."""


class _Followed:
    """One partition's store on its way."""

    def __init__(self, store: PartitionStore, snapshots: Snapshots) -> None:
        self.store = store
        self.snapshots = snapshots
        self.asked_ms = snapshots.reached.at  # when it was last asked whether anything is missing


class Standby:
    """Follows up to ``limit`` partitions; the store of each comes from ``open_store``.

    A partition is here, or with its owner's recovery, never both: see `release` and `adopt`.
    """

    def __init__(
        self,
        log: Log,
        topic: str,
        partitions: int,
        limit: int,
        preference: str,  # spreads the workers' choices: another text, another order
        open_store: Callable[[int], PartitionStore],
        snapshots_of: Callable[[int, PartitionStore], Snapshots],
        clock: Clock,
        monotonic: Clock,
    ) -> None:
        self._log = log
        self._topic = topic
        self._limit = limit
        self._open_store = open_store
        self._snapshots_of = snapshots_of
        self._clock = clock
        self._monotonic = monotonic
        self._order = sorted(
            range(partitions), key=lambda number: murmur2(f"{preference}/{number}".encode())
        )
        self._stores: dict[int, PartitionStore] = {}  # adopted, not yet followed
        self._followed: dict[int, _Followed] = {}
        self._given_up: set[int] = set()
        self._reader: Reader | None = None
        self._assigned: set[int] = set()  # what the reader reads
        self._retry_s = self._busy_s = float("-inf")  # nothing before, nothing while busy before

    @property
    def reached(self) -> Mapping[int, int]:
        """The partitions that are followed, with the offset of the next snapshot of each."""
        return {n: each.snapshots.reached.snapshots_offset for n, each in self._followed.items()}

    # -- comings and goings ------------------------------------------------------------------

    def adopt(self, number: int, store: PartitionStore) -> None:
        """Takes the store of a partition that was lost; closes it when there is no room."""
        self._given_up.discard(number)
        if len(self._followed) + len(self._stores) < self._limit:
            self._stores[number] = store
        else:
            store.close()

    def release(self, number: int) -> PartitionStore | None:
        """Hands a partition's store over, with all that was followed so far; None without one."""
        self._given_up.discard(number)
        followed = self._unfollow(number)
        if followed is None:
            return self._stores.pop(number, None)
        try:
            followed.snapshots.keep({})
        except StoreError as error:  # its owner will say what is wrong with it
            logger.warning("the standby of %s:%d: %s", self._topic, number, error)
        return followed.store

    def close(self) -> None:
        """Leaves every partition; idempotent."""
        for number in [*self._followed, *self._stores]:
            store = self.release(number)
            if store is not None:
                store.close()
        self._drop_reader()

    def _unfollow(self, number: int) -> _Followed | None:
        # when it is followed again, its store is elsewhere than the reader
        self._assigned.discard(number)
        return self._followed.pop(number, None)

    def _give_up(self, number: int, error: Exception) -> None:
        """Follows a partition no longer; its next owner begins with what its store has."""
        logger.warning("%s:%d is followed no longer: %s", self._topic, number, error)
        followed = self._unfollow(number)
        store = followed.store if followed is not None else self._stores.pop(number, None)
        self._given_up.add(number)
        if store is not None:
            store.close()

    # -- following ---------------------------------------------------------------------------

    def advance(self, owned: Collection[int], deadline: float, *, idle: bool) -> None:
        """Follows until ``deadline`` (monotonic seconds) or up to the topic's end.

        ``owned`` are the worker's own partitions.  A worker that is not idle gives one chunk a
        second: it is not to fall behind for ever.
        """
        now = self._monotonic()
        if not self._limit or now < self._retry_s or (not idle and now < self._busy_s):
            return
        self._busy_s = now + BUSY_PERIOD_S
        try:
            if self._enter_one(owned):
                return
            self._follow(deadline if idle else now)
        except LogError as error:
            logger.info("%s is not followed for %g s: %s", self._topic, RETRY_S, error)
            self._drop_reader()
            self._retry_s = now + RETRY_S

    def _enter_one(self, owned: Collection[int]) -> bool:
        """Begins to follow one more partition, if there is one; opening a store takes time."""
        number = self._candidate(owned)
        if number is None:
            return False
        ends: Mapping[int, Ends] = self._log.ends(self._topic)
        try:
            if number not in self._stores:
                self._stores[number] = self._open_store(number)
            snapshots = self._snapshots_of(number, self._stores[number])
            snapshots.usable_checkpoint(ends[number].end)
        except StoreError as error:
            self._give_up(number, error)
        else:
            self._followed[number] = _Followed(self._stores.pop(number), snapshots)
        return True

    def _candidate(self, owned: Collection[int]) -> int | None:
        if self._stores:
            return next(iter(self._stores))
        if len(self._followed) >= self._limit:
            return None
        taken = {*owned, *self._followed, *self._given_up}
        return next((number for number in self._order if number not in taken), None)

    def _follow(self, deadline: float) -> None:
        if not self._followed:
            return
        reader = self._positioned()
        while True:
            chunk = reader.poll(CHUNK, 0.0)
            if not chunk.records and not chunk.ends:
                self._renew(int(self._clock() * 1000))
                return
            by_partition = attrgetter("partition")
            for number, records in groupby(sorted(chunk.records, key=by_partition), by_partition):
                self._apply(number, list(records))
            for number, end in chunk.ends.items():
                self._reached_end(number, end)
            if self._monotonic() >= deadline:
                return

    def _positioned(self) -> Reader:
        """The reader, on the partitions that are followed now."""
        if self._reader is None:
            self._reader = self._log.reader(follows=True)
            self._assigned = set()
        if self._assigned != self._followed.keys():
            positions = self.reached
            self._reader.assign(self._topic, positions)
            self._assigned = set(positions)
        return self._reader

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _apply(self, number: int, records: list[Record]) -> None:
        followed = self._followed.get(number)
        if followed is None:
            return  # given up: the reader is positioned anew in the next slice
        try:
            followed.snapshots.apply(records)
        except (StoreError, LogError) as error:
            self._give_up(number, error)

    def _reached_end(self, number: int, end: int) -> None:
        """Nothing below ``end`` is missing: markers of transactions need not be read again."""
        followed = self._followed.get(number)
        if followed is not None:
            reached = followed.snapshots.reached
            offset = max(reached.snapshots_offset, end)
            followed.snapshots.reached = reached._replace(snapshots_offset=offset)

    def _renew(self, now_ms: int) -> None:
        """Lets stores say anew how old they are: those that are too old are not trusted.

        That nothing came is no proof that there is nothing: the ends are asked for.
        """
        due = [n for n, each in self._followed.items() if now_ms - each.asked_ms >= RENEWAL_MS]
        if not due:
            return
        ends = self._log.ends(self._topic)
        for number in due:
            followed = self._followed[number]
            followed.asked_ms = now_ms
            snapshots = followed.snapshots
            if snapshots.reached.snapshots_offset < ends[number].stable:
                continue
            snapshots.reached = snapshots.reached._replace(at=now_ms)
            try:
                snapshots.keep({})
            except StoreError as error:
                self._give_up(number, error)
