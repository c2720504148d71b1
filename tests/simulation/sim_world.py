"""One run: workers, clients, brokers and an operator in one thread, by a seed and a plan."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from unittest.mock import patch

from sim_client import Client, erase
from sim_model import HOMES
from sim_plan import Action, Plan
from sim_weather import Weather, draw
from sim_workers import CODEC, PARTITIONS, TOMBSTONE_AGE_MS, TOPICS, Crew, places

from kstate.log.port import TopicSpec
from kstate.testing.simulated_cluster import Cluster
from kstate.testing.simulated_log import SimulatedLog
from kstate.testing.simulated_records import Partition

DAY_S = 86_400.0
OFFSETS_EXPIRE_DAYS = 7
POLL_INTERVAL_S = 60.0
MAX_TURNS = 4_000
"""Of a world in which nothing goes wrong any more, until all commands are answered."""


AHEAD = 1, 2, 200
"""Commands whose records are written ahead of the commit; 200: none, batches here are smaller."""

RENEWAL_MS = 300, 3_600_000
"""After how long a standby asks whether its stores lack nothing."""


class Stuck(Exception):
    """A world without faults does not come to rest."""


class World:
    """See the module; ``only``: the bad moments that are let happen, None: all."""

    def __init__(
        self, plan: Plan, directory: Path, store: str = "", only: Collection[int] | None = None
    ) -> None:
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self.erased: list[tuple[str, int]] = []  # persist id, where the commands ended then
        self.expired: list[dict[int, int]] = []  # partition → where the commands ended then
        self._chance = chance = random.Random(draw(plan.seed, 0))
        settings = plan.settings
        self.cluster = Cluster(
            poll_interval_s=POLL_INTERVAL_S,
            delay_s=self._delay_s,
            hears=lambda: chance.random() < 0.7,
            waiting_moves_the_clock=False,
        )
        self.cluster.create(_specs())
        self.weather = weather = Weather(self, plan.seed, settings.rate, only)
        self.client = Client(SimulatedLog(self.cluster, weather.client), CODEC, TOPICS)
        kind = store or ("kept" if settings.kept else "memory")
        there = places(settings.workers, directory, kind)
        self.crew = Crew(self.cluster, weather, settings, chance, there)
        self._group = self.cluster.group(TOPICS.group, TOPICS.commands)
        self._commands = self.cluster.topic(TOPICS.commands).partitions

    def _delay_s(self, where: str) -> float:
        if self.weather.calm:
            return 0.0
        drawn = self._chance.random()
        return 0.0 if drawn < 0.6 else drawn * 0.2 if drawn < 0.95 else drawn * 4

    # -- what the weather does ---------------------------------------------------------------

    def others_first(self, log: SimulatedLog, turns: int) -> None:
        """See `sim_weather.World`."""
        for _ in range(turns):
            self.cluster.advance(self._chance.choice((0.001, 0.01, 0.1)))
            self.crew.some_turn()

    def pass_time(self, seconds: float) -> None:
        """See `sim_weather.World`."""
        self.cluster.advance(seconds)

    # -- the run -----------------------------------------------------------------------------

    def run(self) -> None:
        """Everything; what went wrong with a worker is in the crew's failures."""
        drawn = draw(self.plan.seed, 1)
        with (
            patch("kstate.runtime.worker.AHEAD", AHEAD[drawn % len(AHEAD)]),
            patch("kstate.runtime.standby.RENEWAL_MS", RENEWAL_MS[drawn // 3 % len(RENEWAL_MS)]),
        ):
            try:
                self._run()
            finally:
                self.crew.stop_all(clean=False)

    def _run(self) -> None:
        crew = self.crew
        for place in crew.places:
            crew.start(place)
        todo = list(self.plan.actions)
        upgrade_at = len(todo) // 2 if self.plan.settings.upgrade else -1
        try:
            while todo and not crew.failures:
                self.cluster.advance(self._chance.choice((0.001, 0.01, 0.02, 0.3)))
                drawn = self._chance.random()
                if drawn < 0.07:
                    self._act(todo.pop(0))
                    crew.upgraded = crew.upgraded or len(todo) == upgrade_at
                elif drawn < 0.15:
                    self.client.turn()
                elif drawn < 0.89:
                    crew.some_turn()
                elif drawn < 0.97:
                    crew.some_start()
                else:
                    self._event()
            self._heal()
            self._count_what_went()
        except Stuck as error:
            crew.failures.append(str(error))

    def _act(self, action: Action) -> None:
        if action.kind == "idle":
            self._idle(action)
        else:
            self.client.send(action)

    def _event(self) -> None:
        """The brokers and the machines do something of their own."""
        drawn = self._chance.random()
        if drawn < 0.4:
            if self.cluster.compact(self._chance.choice((TOPICS.journal, TOPICS.snapshots))):
                self.counts["compacted"] += 1
            self.cluster.compact(TOPICS.dead_letters)
        elif drawn < 0.6:
            self._group.rebalance(1 + self._chance.randrange(PARTITIONS))
            self.counts["rebalanced"] += 1
        elif drawn < 0.8:
            self.crew.some_backup()
        elif drawn < 0.9:
            self.crew.some_stop()

    # -- coming to rest ----------------------------------------------------------------------

    def settle(self) -> None:
        """Lets everything be processed and answered; raises `Stuck`."""
        self.weather.calm = True
        for number in range(MAX_TURNS):
            self.cluster.advance(0.05)
            self.crew.some_turn()
            if number % 4 == 0:
                self.crew.some_start()
                self.client.turn()
                if self.crew.failures or self._at_rest():
                    return
        raise Stuck(f"not at rest after {MAX_TURNS} turns without faults")

    def _at_rest(self) -> bool:
        if self.client.waits or any(self._group.pending.values()):
            return False
        for partition in self._commands:
            ends = partition.ends()
            if ends.stable < ends.end or self._done(partition) <= _last(partition):
                return False
        return True

    def _done(self, partition: Partition) -> int:
        """The first command that is not processed."""
        done = self._group.offsets.get(partition.number)
        return done.offset if done else 0

    def _heal(self) -> None:
        """Nothing goes wrong any more: all is answered, and every entity is asked for its state,
        once of who runs and once of workers that have nothing but the log."""
        for partition in self._commands:
            done = self._done(partition)
            offsets = [each.offset for each in partition.history if each.committed]
            self.counts["commands"] += len(offsets)
            self.counts["processed under faults"] += sum(each < done for each in offsets)
        self.settle()
        for first_number in (1_000, 1_100):
            if self.crew.failures:
                return
            if first_number > 1_000:
                self.crew.stop_all(clean=False)
                self.cluster.advance(POLL_INTERVAL_S)
                self.crew.forget_stores()
            for index, key in enumerate(HOMES):
                self.client.send(Action(first_number + index, "GetState", key, {}, asks=True))
            self.settle()
        self.crew.stop_all(clean=True)
        self.cluster.advance(POLL_INTERVAL_S)

    def _count_what_went(self) -> None:
        by_owners = [
            (topic, each.record)
            for topic in (TOPICS.journal, TOPICS.commands, TOPICS.dead_letters)
            for partition in self.cluster.topic(topic).partitions
            for each in partition.history
            if each.committed and each.record is not None
        ]
        self.counts["events removed"] = sum(
            topic == TOPICS.journal and record.value is None for topic, record in by_owners
        )
        self.counts["dead letters removed"] = sum(
            topic == TOPICS.dead_letters and record.value is None for topic, record in by_owners
        )
        self.counts["rebuilds"] = sum(
            topic == TOPICS.commands and record.key is None for topic, record in by_owners
        )

    # -- idle days ---------------------------------------------------------------------------

    def _idle(self, action: Action) -> None:
        """All is processed, the workers are gone, and days pass."""
        told = action.fields
        expire = told["days"] > OFFSETS_EXPIRE_DAYS
        self.settle()
        if expire:
            self._last_words(looks=not told["retention"])
        if self.crew.failures:
            return
        self.crew.stop_all(clean=told["clean"])
        self.cluster.advance(POLL_INTERVAL_S)  # what was left open has ended
        if told["erases"]:
            self._erase(action.key)
        self.cluster.advance(told["days"] * DAY_S)
        if expire:
            self.counts["offsets expired"] += self.cluster.forget_offsets(TOPICS.group) > 0
            self.expired.append({each.number: each.end for each in self._commands})
        for topic in (TOPICS.journal, TOPICS.snapshots, TOPICS.dead_letters):
            self.cluster.compact(topic)
        if told["retention"]:
            for partition in self._commands:
                self.counts["commands deleted"] += partition.delete_before(_last(partition) + 1)
        self.weather.calm = False

    def _last_words(self, *, looks: bool) -> None:
        """An event in each partition, and perhaps something behind it that may run again.

        Without offsets the newest event tells where to go on.  A duplicate behind it would run
        again when its original has left the window, as `docs/guarantees.md` says; and commands
        behind it that retention has deleted would be taken for lost.  (The reply of a `Put` may be
        beyond 64 bits, so that it leaves no event; that of a `Recite` never is.)
        """
        for number, kind in ((2_000, "Recite"), (2_100, "Look"))[: 1 + looks]:
            for index, key in enumerate(("f", "a", "b")):
                fields = {"n": 1} if kind == "Recite" else {}
                self.client.send(Action(number + index, kind, key, fields, asks=kind == "Look"))
            self.settle()

    def _erase(self, key: str) -> None:
        home = HOMES[key]
        seqs = [
            int(each.record.key.rpartition(b"@")[2])
            for each in self.cluster.partition(TOPICS.journal, home).history
            if each.record is not None
            and each.record.key is not None
            and each.committed
            and each.record.key.startswith(key.encode() + b"@")
        ]
        if seqs:
            erase(SimulatedLog(self.cluster), TOPICS, key, max(seqs), self._letters(key))
            self.erased.append((key, self._commands[home].end))
            self.client.forget(key)
            self.counts["erased"] += 1

    def _letters(self, key: str) -> list[bytes]:
        """The keys of the dead letters of a persist id."""
        letters = self.cluster.partition(TOPICS.dead_letters, HOMES[key]).records()
        return [each.key or b"" for each in letters if ("persist-id", key.encode()) in each.headers]


def _last(partition: Partition) -> int:
    """The offset of the newest committed record, -1 when there is none."""
    return max((each.offset for each in partition.history if each.committed), default=-1)


def _specs() -> list[TopicSpec]:
    kept_ms = TOMBSTONE_AGE_MS
    return [
        TopicSpec(TOPICS.commands, PARTITIONS, "delete", kept_ms, log_append_time=True),
        TopicSpec(TOPICS.journal, PARTITIONS, "compact", delete_retention_ms=kept_ms),
        TopicSpec(TOPICS.snapshots, PARTITIONS, "compact", delete_retention_ms=kept_ms),
        TopicSpec(TOPICS.replies, 1, "delete", 3_600_000),
        TopicSpec(TOPICS.dead_letters, PARTITIONS, "compact,delete", delete_retention_ms=kept_ms),
    ]
