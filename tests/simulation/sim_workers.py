"""The workers of a simulated run: where they live, how they start, take turns and end."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

from sim_model import HOMES
from sim_plan import Settings
from sim_program import Ledger, on_effect
from sim_standby import Claim, WatchedStandby
from sim_stores import Kept, KeptStore, SteppedStore
from sim_weather import Weather

from kstate.codec.avro import AvroCodec
from kstate.config import Config
from kstate.core.batch import CommittedEvent
from kstate.core.context import Machine
from kstate.core.policy import Policy
from kstate.core.topics import Topics
from kstate.errors import LogError
from kstate.processor import definition_of
from kstate.runtime.effects import Effects
from kstate.runtime.partitions import Partitions
from kstate.runtime.slot import Slot
from kstate.runtime.startup import Surroundings
from kstate.runtime.worker import Worker
from kstate.store.memory import MemoryStore
from kstate.store.port import Store
from kstate.store.sqlitedict import SqliteDictStore
from kstate.testing.simulated_cluster import Cluster
from kstate.testing.simulated_log import Killed, SimulatedLog

PARTITIONS = 3
TOMBSTONE_AGE_MS = 7 * 86_400_000
MAX_SKEW_S = 120.0
TOPICS = Topics.of("ledger")
DEFINITION = definition_of(Ledger)
CODEC = AvroCodec(DEFINITION)


class Place:
    """Where a worker runs: what stays when it dies, and its present life, if there is one."""

    def __init__(self, number: int, directory: Path, store: Store) -> None:
        self.number = number
        self.directory = directory
        self.store = store
        self.backup: dict[tuple[str, int], Kept] | None = None
        self.log: SimulatedLog | None = None
        self.stepped: SteppedStore | None = None
        self.worker: Worker | None = None
        self.turns: Generator[float, None, None] | None = None
        self.skew_s = 0.0  # of its clock
        self.wakes_s = 0.0
        self.busy = False  # in the middle of a turn: others go first

    def end(self) -> None:
        """Its present life is over."""
        if self.stepped is not None:
            self.stepped.end()
        self.log = self.stepped = self.worker = self.turns = None


class EffectsAtOnce(Effects):
    """Runs effects where they are submitted, without a thread."""

    def submit(self, effects: Sequence[Callable[[], object]]) -> None:
        """See `Effects`."""
        for effect in effects:
            effect()


class Crew:
    """All workers.  What ended one that should have gone on is in ``failures``."""

    def __init__(
        self,
        cluster: Cluster,
        weather: Weather,
        settings: Settings,
        chance: random.Random,
        places: list[Place],
    ) -> None:
        self.places = places
        self.upgraded = False  # new lives have another snapshot_version
        self.failures: list[str] = []
        self.heard_too_early: list[str] = []
        self.effects: Counter[tuple[str, int]] = Counter()  # persist id and seq → how often
        on_effect(self._affect)
        self.claims: list[Claim] = []
        self.counts: Counter[str] = Counter()
        for place in places:
            place.skew_s = chance.uniform(-MAX_SKEW_S, MAX_SKEW_S)
        self._cluster = cluster
        self._weather = weather
        self._chance = chance
        self._looks = 0
        self._config = Config(
            batch_records=settings.batch_records,
            batch_ms=settings.batch_ms,
            standby=settings.standby,
        )
        policy = Policy(
            max_entities=settings.max_entities,
            max_tail=settings.max_tail,
            window_ids=6,
            window_ms=3_600_000,
            kept_reply_bytes=40,
            max_tombstones=settings.max_tombstones,
        )
        definition = replace(DEFINITION, keep=settings.keep or None)
        self._machine = Machine(definition, CODEC, policy)
        self._other_machine = Machine(replace(DEFINITION, snapshot_version=2), CODEC, policy)

    def _clock(self, place: Place) -> float:
        return self._cluster.now_s + place.skew_s

    def _monotonic(self) -> float:
        """Time passes a little with each look, so that slices and batches have an end."""
        self._looks += 1
        return self._cluster.now_s + self._looks * 0.001

    # -- lives -------------------------------------------------------------------------------

    def start(self, place: Place) -> None:
        """A new life of a worker, with what is left of the last one."""
        place.log = log = SimulatedLog(self._cluster, self._weather)
        place.directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(place.directory / "lock", os.O_RDWR | os.O_CREAT)
        slot = Slot(place.directory, f"ledger-{place.number}", lock)
        around = Surroundings(
            PARTITIONS,
            {"ledger": TOPICS.commands},
            {TOPICS.replies: 1},
            self._cluster.topic(TOPICS.snapshots).identity,
            TOMBSTONE_AGE_MS,
            log.max_record_bytes,
        )
        machine = self._other_machine if self.upgraded else self._machine
        clock, monotonic = partial(self._clock, place), self._monotonic
        place.stepped = stepped = SteppedStore(place.store, log.step)
        standby = partial(
            WatchedStandby,
            name=f"{place.number}, life {self.counts['lives']}",
            weather=self._weather,
            claim=self.claims.append,
            counts=self.counts,
        )
        with patch("kstate.runtime.partitions.Standby", standby):
            partitions = Partitions(
                machine, log, stepped, TOPICS, around, self._config, clock, monotonic
            )
        place.worker = Worker(
            machine, log, slot, TOPICS, partitions, self._config, clock, monotonic
        )
        place.worker.subscribe(self._hear)
        place.worker.effects = EffectsAtOnce()
        place.turns = place.worker.turns()
        place.wakes_s = 0.0
        self.counts["lives"] += 1
        self.counts["lives of another snapshot_version"] += self.upgraded

    def _hear(self, event: CommittedEvent) -> None:
        """A subscriber: what it hears of must be committed by now."""
        if not self._is_committed(event.persist_id, event.seq):
            self.heard_too_early.append(f"{event.persist_id}: {event.event} at {event.seq}")

    def _affect(self, persist_id: str, seq: int) -> None:
        """An effect, likewise."""
        self.effects[persist_id, seq] += 1
        if not self._is_committed(persist_id, seq):
            self.heard_too_early.append(f"{persist_id}: the effect of {seq}")

    def _is_committed(self, persist_id: str, seq: int) -> bool:
        key = f"{persist_id}@{seq}".encode()
        home = self._cluster.partition(TOPICS.journal, HOMES[persist_id])
        return any(
            entry.committed and entry.record is not None and entry.record.key == key
            for entry in reversed(home.history)
        )

    def turn(self, place: Place) -> None:
        """One turn of a worker's loop, whatever comes of it."""
        assert place.turns is not None
        place.busy = True
        try:
            place.wakes_s = self._cluster.now_s + next(place.turns)
        except (StopIteration, Killed):
            place.end()
        except LogError as error:
            place.end()
            if "gives up after" in str(error):
                self.counts["gave up"] += 1  # a supervisor starts it anew
            else:
                self._fail(place, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            place.end()
            self._fail(place, error)
        finally:
            place.busy = False

    def _fail(self, place: Place, error: Exception) -> None:
        self.failures.append(f"worker {place.number} ended: {type(error).__name__}: {error}")

    # -- chance ------------------------------------------------------------------------------

    def some_turn(self) -> None:
        """A turn of a worker that can take one."""
        now_s = self._cluster.now_s
        able = [
            each
            for each in self.places
            if each.turns is not None and not each.busy and each.wakes_s <= now_s
        ]
        if able:
            self.turn(self._chance.choice(able))

    def some_start(self) -> None:
        """A new life of a worker that is down."""
        down = [each for each in self.places if each.turns is None and not each.busy]
        if down:
            place = self._chance.choice(down)
            self._spoil_disk(place)
            self.start(place)

    def _spoil_disk(self, place: Place) -> None:
        """What may happen to a store while its worker is down."""
        store, drawn = place.store, self._chance.random()
        if self._weather.calm or not isinstance(store, KeptStore):
            return
        if drawn < 0.1:
            store.disk.clear()
            self.counts["store lost"] += 1
        elif drawn < 0.25 and place.backup is not None:
            store.restore(place.backup)
            self.counts["old store restored"] += 1

    def some_backup(self) -> None:
        """A copy of a worker's store, taken while it runs."""
        place = self._chance.choice(self.places)
        if isinstance(place.store, KeptStore):
            place.backup = place.store.backup()
            self.claims.append(Claim(f"worker {place.number}", place.backup))

    def some_stop(self) -> None:
        """A worker is asked to leave."""
        place = self._chance.choice(self.places)
        if place.worker is not None:
            place.worker.stop()
            self.counts["stopped"] += 1

    def stop_all(self, *, clean: bool) -> None:
        """All are stopped, or killed at once."""
        for place in self.places:
            if place.worker is not None and clean:
                place.worker.stop()
                while place.turns is not None:
                    self.turn(place)
            elif place.turns is not None and place.log is not None:
                place.log.dead = True
                place.turns.close()
                place.end()

    def forget_stores(self) -> None:
        """Nothing is left but the log."""
        for place in self.places:
            if isinstance(place.store, KeptStore):
                self.claims.append(Claim(f"worker {place.number}", place.store.disk))
            place.store = MemoryStore(place.directory)


def places(count: int, directory: Path, kind: str) -> list[Place]:
    """Places for so many workers, with stores of a kind: kept, memory or sqlitedict."""

    def store(own: Path) -> Store:
        if kind == "kept":
            return KeptStore()
        return MemoryStore(own) if kind == "memory" else SqliteDictStore(own / "store")

    owns = [directory / str(number) for number in range(count)]
    return [Place(number, own, store(own)) for number, own in enumerate(owns)]
