"""The standby stores of a simulated worker: what they claim is written down for the judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from sim_stores import Kept
from sim_weather import Weather

from kstate.runtime.standby import Standby
from kstate.store.port import PartitionStore
from kstate.testing.simulated_log import Killed, SimulatedLog


class Claim(NamedTuple):
    """What somebody had at some moment, with how far that is said to reflect the log."""

    whose: str
    stores: Mapping[tuple[str, int], Kept]  # by topic and partition


class WatchedStandby(Standby):
    """A standby whose choices follow from the seed, and who tells what it has when it lets go."""

    def __init__(
        self,
        log: SimulatedLog,
        topic: str,
        partitions: int,
        limit: int,
        preference: str,
        *rest: Any,
        name: str,
        weather: Weather,
        claim: Callable[[Claim], None],
        counts: Counter[str],
    ) -> None:
        del preference  # is of the machine and the process
        super().__init__(log, topic, partitions, limit, name, *rest)
        self._name = name
        self._weather = weather
        self._claim = claim
        self._counts = counts
        self._process = log
        self._ending = False

    def advance(self, owned: Collection[int], deadline: float, *, idle: bool) -> None:
        self._weather.standing_by.add(self._process)
        try:
            super().advance(owned, deadline, idle=idle)
        finally:
            self._weather.standing_by.discard(self._process)

    def release(self, number: int) -> PartitionStore | None:
        followed = self._followed.get(number)
        store = super().release(number)
        if followed is not None and store is not None:
            kept = Kept()
            # more than the store says of itself, when it has passed snapshots over
            kept.checkpoint = followed.snapshots.reached
            kept.snapshots = dict(store.items())
            self._claim(Claim(f"the standby {self._name}", {(self._topic, number): kept}))
            self._counts[
                "standby stores left" if self._ending else "standby stores taken over"
            ] += 1
        return store

    def close(self) -> None:
        self._ending = True
        if not self._process.dead:
            with suppress(Killed):  # there is nobody left to close anything
                super().close()
