"""One run: workers, clients, brokers and an operator in one thread, by a seed and a plan."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

from sim_client import Client, erase
from sim_model import HOMES
from sim_plan import Action, Plan
from sim_program import Ledger
from sim_stores import Kept, KeptStore, SteppedStore
from sim_weather import Weather, draw

from kstate.codec.avro import AvroCodec
from kstate.config import Config
from kstate.core.context import Machine
from kstate.core.policy import Policy
from kstate.core.topics import Topics
from kstate.errors import LogError
from kstate.log.port import TopicSpec
from kstate.processor import definition_of
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
OFFSETS_EXPIRE_DAYS = 7
DAY_S = 86_400.0
DAY_MS = 86_400_000
TOPICS = Topics.of("ledger")
DEFINITION = definition_of(Ledger)
CODEC = AvroCodec(DEFINITION)
MAX_TURNS = 4_000
"""Of a world in which nothing goes wrong any more, until all commands are answered."""


class Stuck(Exception):
    """A world without faults does not come to rest."""


class Place:
    """Where a worker runs: what stays when it dies, and its present life, if there is one."""

    def __init__(self, number: int, directory: Path, store: Store) -> None:
        self.number = number
        self.directory = directory
        self.store = store
        self.backup: dict[tuple[str, int], Kept] | None = None
        self.log: SimulatedLog | None = None
        self.worker: Worker | None = None
        self.turns: Generator[float, None, None] | None = None
        self.wakes_s = 0.0
        self.busy = False  # in the middle of a turn: others go first


class World:
    """See the module; ``only``: the bad moments that are let happen, None: all."""

    def __init__(
        self, plan: Plan, directory: Path, store: str = "", only: Collection[int] | None = None
    ) -> None:
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.erased: list[tuple[str, int]] = []
        self.expired: list[dict[int, int]] = []  # partition → end of the commands at that time
        self._chance = random.Random(draw(plan.seed, 0))
        self._calls = 0
        settings = plan.settings
        self.cluster = Cluster(
            poll_interval_s=60.0,
            delay_s=self._delay_s,
            hears=lambda: self._chance.random() < 0.7,
            waiting_moves_the_clock=False,
        )
        self.cluster.create(_specs())
        self.weather = Weather(self, plan.seed, settings.rate, only)
        self.client = Client(SimulatedLog(self.cluster, self.weather.client), CODEC, TOPICS)
        self._config = Config(batch_records=settings.batch_records, batch_ms=settings.batch_ms)
        policy = Policy(
            max_entities=settings.max_entities,
            max_tail=settings.max_tail,
            window_ids=6,
            window_ms=3_600_000,
            kept_reply_bytes=40,
        )
        self._machine = Machine(DEFINITION, CODEC, policy)
        kind = store or ("kept" if settings.kept else "memory")
        self.places = [
            Place(number, directory / str(number), _store(kind, directory / str(number)))
            for number in range(settings.workers)
        ]

    def _delay_s(self, where: str) -> float:
        if self.weather.calm:
            return 0.0
        drawn = self._chance.random()
        return 0.0 if drawn < 0.6 else drawn * 0.2 if drawn < 0.95 else drawn * 4

    def _monotonic(self) -> float:
        """Time passes a little with each look, so that slices and batches have an end."""
        self._calls += 1
        return self.cluster.now_s + self._calls * 0.001

    # -- what the weather does ---------------------------------------------------------------

    def others_first(self, log: SimulatedLog, turns: int) -> None:
        """See `sim_weather.World`."""
        for _ in range(turns):
            self.cluster.advance(self._chance.choice((0.001, 0.01, 0.1)))
            self._some_turn()

    def pass_time(self, seconds: float) -> None:
        """See `sim_weather.World`."""
        self.cluster.advance(seconds)

    # -- workers -----------------------------------------------------------------------------

    def _start(self, place: Place) -> None:
        """A new life of a worker, with what is left of the last one."""
        place.log = log = SimulatedLog(self.cluster, self.weather)
        place.directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(place.directory / "lock", os.O_RDWR | os.O_CREAT)
        slot = Slot(place.directory, f"ledger-{place.number}", lock)
        around = Surroundings(
            PARTITIONS,
            {"ledger": TOPICS.commands},
            {TOPICS.replies: 1},
            self.cluster.topic(TOPICS.snapshots).identity,
            7 * DAY_MS,
            log.max_record_bytes,
        )
        clock, monotonic = self._clock, self._monotonic
        store = SteppedStore(place.store, log.step)
        partitions = Partitions(
            self._machine, log, store, TOPICS, around, self._config, clock, monotonic
        )
        place.worker = Worker(
            self._machine, log, slot, TOPICS, partitions, self._config, clock, monotonic
        )
        place.turns = place.worker.turns()
        place.wakes_s = 0.0
        self.counts["lives"] += 1

    def _clock(self) -> float:
        return self.cluster.now_s

    def _end(self, place: Place) -> None:
        place.log = place.worker = place.turns = None

    def turn(self, place: Place) -> None:
        """One turn of a worker's loop, whatever comes of it."""
        assert place.turns is not None
        place.busy = True
        try:
            place.wakes_s = self.cluster.now_s + next(place.turns)
        except StopIteration:
            self._end(place)
        except Killed:
            self._end(place)
        except LogError as error:
            self._end(place)
            if "gives up after" in str(error):
                self.counts["gave up"] += 1  # a supervisor starts it anew
            else:
                self._fail(place, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self._end(place)
            self._fail(place, error)
        finally:
            place.busy = False

    def _fail(self, place: Place, error: Exception) -> None:
        self.failures.append(f"worker {place.number} ended: {type(error).__name__}: {error}")

    def _some_turn(self) -> None:
        now_s = self.cluster.now_s
        able = [
            each
            for each in self.places
            if each.turns is not None and not each.busy and each.wakes_s <= now_s
        ]
        if able:
            self.turn(self._chance.choice(able))

    def _some_start(self) -> None:
        down = [each for each in self.places if each.turns is None and not each.busy]
        if down:
            place = self._chance.choice(down)
            self._spoil_disk(place)
            self._start(place)

    def _spoil_disk(self, place: Place) -> None:
        """What may happen to a store while its worker is down."""
        store, drawn = place.store, self._chance.random()
        if self.weather.calm or not isinstance(store, KeptStore):
            return
        if drawn < 0.1:
            store.disk.clear()
            self.counts["store lost"] += 1
        elif drawn < 0.25 and place.backup is not None:
            store.restore(place.backup)
            self.counts["old store restored"] += 1

    # -- the run -----------------------------------------------------------------------------

    def run(self) -> None:
        """Everything; what went wrong with a worker is in `failures`."""
        for place in self.places:
            self._start(place)
        todo = list(self.plan.actions)
        try:
            while todo and not self.failures:
                self.cluster.advance(self._chance.choice((0.001, 0.01, 0.02, 0.3)))
                drawn = self._chance.random()
                if drawn < 0.09:
                    self._act(todo.pop(0))
                elif drawn < 0.17:
                    self.client.turn()
                elif drawn < 0.89:
                    self._some_turn()
                elif drawn < 0.97:
                    self._some_start()
                else:
                    self._event()
            self._heal()
        except Stuck as error:
            self.failures.append(str(error))

    def _act(self, action: Action) -> None:
        if action.kind == "idle":
            self._idle(action)
        else:
            self.client.send(action)

    def _event(self) -> None:
        """The brokers and the machines do something of their own."""
        drawn = self._chance.random()
        group = self.cluster.group(TOPICS.group, TOPICS.commands)
        if drawn < 0.4:
            if self.cluster.compact(self._chance.choice((TOPICS.journal, TOPICS.snapshots))):
                self.counts["compacted"] += 1
        elif drawn < 0.6:
            group.rebalance(1 + self._chance.randrange(PARTITIONS))
            self.counts["rebalanced"] += 1
        elif drawn < 0.8:
            place = self._chance.choice(self.places)
            if isinstance(place.store, KeptStore):
                place.backup = place.store.backup()
        elif drawn < 0.9:
            place = self._chance.choice(self.places)
            if place.worker is not None:
                place.worker.stop()
                self.counts["stopped"] += 1

    # -- coming to rest ----------------------------------------------------------------------

    def settle(self) -> None:
        """Lets everything be processed and answered; raises `Stuck`."""
        self.weather.calm = True
        for number in range(MAX_TURNS):
            self.cluster.advance(0.05)
            self._some_turn()
            if number % 4 == 0:
                self._some_start()
                self.client.turn()
                if self.failures or self._at_rest():
                    return
        raise Stuck(f"not at rest after {MAX_TURNS} turns without faults")

    def _at_rest(self) -> bool:
        group = self.cluster.group(TOPICS.group, TOPICS.commands)
        if self.client.waits or any(group.pending.values()):
            return False
        for partition in self.cluster.topic(TOPICS.commands).partitions:
            ends = partition.ends()
            done = group.offsets.get(partition.number)
            if ends.stable < ends.end or (done.offset if done else 0) < _last(partition) + 1:
                return False
        return True

    def _stop_all(self, clean: bool) -> None:
        for place in self.places:
            if place.worker is not None and clean:
                place.worker.stop()
                while place.turns is not None:
                    self.turn(place)
            elif place.turns is not None and place.log is not None:
                place.log.dead = True
                place.turns.close()
                self._end(place)

    def _idle(self, action: Action) -> None:
        """All is processed, the workers are gone, and days pass."""
        told = action.fields
        self.settle()
        if told["days"] > OFFSETS_EXPIRE_DAYS:
            self._last_words(looks=not told["retention"])
        if self.failures:
            return
        self._stop_all(told["clean"])
        self.cluster.advance(60.0)  # what was left open has ended
        if told["erases"]:
            self._erase(action.key)
        self.cluster.advance(told["days"] * DAY_S)
        if told["days"] > OFFSETS_EXPIRE_DAYS:
            if self.cluster.forget_offsets(TOPICS.group):
                self.counts["offsets expired"] += 1
            commands = self.cluster.topic(TOPICS.commands).partitions
            self.expired.append({each.number: each.end for each in commands})
        for topic in (TOPICS.journal, TOPICS.snapshots):
            self.cluster.compact(topic)
        if told["retention"]:
            for partition in self.cluster.topic(TOPICS.commands).partitions:
                self.counts["commands deleted"] += partition.delete_before(_last(partition) + 1)
        self.weather.calm = False

    def _last_words(self, *, looks: bool) -> None:
        """An event in each partition, and perhaps something behind it that may run again.

        Without offsets the newest event tells where to go on.  A duplicate behind it would run
        again when its original has left the window, as `docs/guarantees.md` says; and commands
        behind it that retention has deleted would be taken for lost.
        """
        for number, kind in ((2_000, "Put"), (2_100, "Look"))[: 1 + looks]:
            for index, key in enumerate(("f", "a", "b")):
                fields = {"n": 1} if kind == "Put" else {}
                self.client.send(Action(number + index, kind, key, fields, asks=True))
            self.settle()

    def _erase(self, key: str) -> None:
        home = HOMES[key]
        mine = [
            int(each.record.key.rpartition(b"@")[2])
            for each in self.cluster.partition(TOPICS.journal, home).history
            if each.record is not None
            and each.committed
            and (each.record.key or b"").startswith(key.encode() + b"@")
        ]
        if mine:
            erase(SimulatedLog(self.cluster), TOPICS, key, max(mine))
            self.erased.append((key, self.cluster.partition(TOPICS.commands, home).end))
            self.client.forget(key)
            self.counts["erased"] += 1

    def _heal(self) -> None:
        """Nothing goes wrong any more: all is answered, and every entity is asked for its state,
        once of who runs and once of workers that have nothing but the log."""
        group = self.cluster.group(TOPICS.group, TOPICS.commands)
        for partition in self.cluster.topic(TOPICS.commands).partitions:
            done = group.offsets.get(partition.number)
            below = done.offset if done else 0
            for entry in partition.history:
                if entry.committed:
                    self.counts["commands"] += 1
                    self.counts["processed under faults"] += entry.offset < below
        self.settle()
        for round_number in range(2):
            if self.failures:
                return
            if round_number:
                self._stop_all(clean=False)
                self.cluster.advance(60.0)
                for place in self.places:
                    place.store = _store("memory", place.directory)
            for index, key in enumerate(HOMES):
                number = 1_000 + 100 * round_number + index
                self.client.send(Action(number, "GetState", key, {}, asks=True))
            self.settle()
        self._stop_all(clean=True)
        self.cluster.advance(60.0)


def _last(partition: Any) -> int:
    """The offset of the newest committed record, -1 when there is none."""
    return max((e.offset for e in partition.history if e.record and e.committed), default=-1)


def _store(kind: str, directory: Path) -> Store:
    if kind == "kept":
        return KeptStore()
    return MemoryStore(directory) if kind == "memory" else SqliteDictStore(directory / "store")


def _specs() -> list[TopicSpec]:
    return [
        TopicSpec(TOPICS.commands, PARTITIONS, "delete", 7 * DAY_MS, log_append_time=True),
        TopicSpec(TOPICS.journal, PARTITIONS, "compact", delete_retention_ms=7 * DAY_MS),
        TopicSpec(TOPICS.snapshots, PARTITIONS, "compact", delete_retention_ms=7 * DAY_MS),
        TopicSpec(TOPICS.replies, 1, "delete", 3_600_000),
        TopicSpec(TOPICS.dead_letters, PARTITIONS, "delete", 30 * DAY_MS),
    ]
