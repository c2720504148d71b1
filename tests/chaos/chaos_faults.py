"""The faults themselves.  Each returns when it is over, and notes that it really happened."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chaos_schedule as kinds
from chaos_cluster import LOOK_S, Cluster
from crash_workers import Victim

from kstate.core.topics import Topics
from kstate.log.port import Log

SESSION_S = 6.0
CONNECTED_S = 20.0
"""How long to wait for a connection that can be cut."""
FLIPPED = 40  # bytes, at the most


class Arena:
    """What the faults act upon; used by two threads, one for the workers and one for the rest."""

    def __init__(
        self,
        cluster: Cluster,
        topics: Topics,
        log: Log,
        workers: Sequence[Victim],
        guests: Sequence[Victim],
        notes: Path,
    ) -> None:
        self.cluster = cluster
        self.topics = topics
        self.log = log
        self.workers = workers
        self.guests = guests
        self.counts: Counter[str] = Counter()
        self.rewound: list[Mapping[int, int]] = []  # progress that was taken away, per partition
        self.corrupted: set[Path] = set()
        self.processed: Callable[[], int] = lambda: 0
        self._watched = threading.RLock()
        self._lock = threading.Lock()
        self._notes = notes.open("w", buffering=1)

    def close(self) -> None:
        self._notes.close()

    def note(self, kind: str, **more: Any) -> None:
        """Counts a fault that has happened, and writes down what is known of it."""
        line = {"at": round(time.time(), 3), "fault": kind, **more}
        with self._lock:
            self.counts[kind] += 1
            self._notes.write(json.dumps(line) + "\n")

    def check(self) -> None:
        """Fails when a worker ended by itself."""
        with self._watched:
            for worker in (*self.workers, *self.guests):
                worker.check()

    def kill(self, worker: Victim) -> bool:
        """kill -9; whether it was within a batch."""
        with self._watched:
            worker.kill()
        return worker.running()[0] >= 0 if (worker.data / self.topics.group).exists() else False

    def come_back(self, *workers: Victim) -> None:
        """Starts workers; returns when they are about to take their seats."""
        for worker in workers:
            worker.start()
        for worker in workers:
            self.cluster.until(worker.ready_to_join, "a worker came back")

    def owners(self) -> Mapping[int, str]:
        """Who owns each partition, as soon as the log tells."""
        found: dict[int, str] = {}

        def told() -> bool:
            found.update(self.log.owners(self.topics.group, self.topics.commands))
            return True

        self.cluster.until(told, "the owners were told")
        return found

    def partitions(self) -> list[int]:
        """All partitions, as soon as the log tells."""
        found: list[int] = []

        def told() -> bool:
            found[:] = sorted(self.log.ends(self.topics.journal))
            return True

        self.cluster.until(told, "the partitions were told")
        return found


# -- of workers ----------------------------------------------------------------------------------


def kill(arena: Arena, chance: random.Random) -> None:
    """One or two workers die and come back, sometimes to die again at once."""
    victims = chance.sample(arena.workers, 1 + (chance.random() < 0.25))
    for _ in range(1 + (chance.random() < 0.2)):
        for victim in victims:
            inside = arena.kill(victim)
            arena.note(kinds.KILL, worker=victim.number, inside=inside)
        time.sleep(chance.uniform(0.0, 0.5))
        arena.come_back(*victims)


def kill_late(arena: Arena, chance: random.Random) -> None:
    """A worker dies, and comes back when its session is over."""
    victim = chance.choice(arena.workers)
    inside = arena.kill(victim)
    arena.note(kinds.KILL, worker=victim.number, inside=inside)
    _await_loss(arena, victim)
    arena.come_back(victim)
    arena.note(kinds.LATE, worker=victim.number)


def stop(arena: Arena, chance: random.Random) -> None:
    """A worker stands still until others have taken its partitions over, and goes on."""
    victim = chance.choice(arena.workers)
    arena.cluster.until(lambda: victim.instance in arena.owners().values(), "it owned partitions")
    began = time.monotonic()
    victim.freeze()
    inside = victim.running()[0] >= 0
    _await_loss(arena, victim)
    victim.thaw()
    took_s = round(time.monotonic() - began, 1)
    arena.note(kinds.STOP, worker=victim.number, inside=inside, seconds=took_s)


def _await_loss(arena: Arena, worker: Victim) -> None:
    """Returns when the group has given all that a worker had to others."""

    def lost() -> bool:
        owners = arena.owners()
        return bool(owners) and worker.instance not in owners.values()

    arena.cluster.until(lost, "others took over")


def storm(arena: Arena, chance: random.Random) -> None:
    """Workers join and leave in quick succession, politely and otherwise."""
    joined = 0
    for _ in range(3):
        guests = chance.sample(arena.guests, chance.randint(1, len(arena.guests)))
        arena.come_back(*guests)
        time.sleep(chance.uniform(0.0, 1.0))
        for guest in guests:
            joined += guest.instance in arena.owners().values()
            if chance.random() < 0.5:
                arena.kill(guest)
            else:
                guest.stop()
    arena.note(kinds.STORM, seen_as_owners=joined)


def lose_store(arena: Arena, chance: random.Random) -> None:
    """A worker comes back without what it had at hand."""
    victim = _keeper(arena, chance)
    arena.kill(victim)
    arena.note(kinds.KILL, worker=victim.number)
    lost = stores_of(victim)
    for path in lost:
        for ending in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    arena.come_back(victim)
    arena.note(kinds.LOST_STORE, worker=victim.number, stores=len(lost))


def corrupt_store(arena: Arena, chance: random.Random) -> None:
    """A worker comes back to files in which bytes have changed."""
    victim = _keeper(arena, chance)
    arena.kill(victim)
    arena.note(kinds.KILL, worker=victim.number)
    flipped = 0
    for path in stores_of(victim):
        files = [each for each in (path, path.with_name(path.name + "-wal")) if each.exists()]
        flipped += sum(flip(each, chance) for each in files)
        arena.corrupted.add(path)
    arena.come_back(victim)
    assert flipped, "there was nothing to corrupt"
    arena.note(kinds.BAD_STORE, worker=victim.number, flipped=flipped)


def _keeper(arena: Arena, chance: random.Random) -> Victim:
    """A worker with stores, as soon as there is one."""
    arena.cluster.until(lambda: any(map(stores_of, arena.workers)), "a worker had stores")
    return chance.choice([each for each in arena.workers if stores_of(each)])


def stores_of(worker: Victim) -> list[Path]:
    """The files that a worker keeps its snapshots in."""
    return sorted(worker.data.rglob("*.sqlite"))


def flip(path: Path, chance: random.Random) -> int:
    """Changes some bytes of a file; how many, which is none of an empty one."""
    data = bytearray(path.read_bytes())
    count = chance.randint(1, FLIPPED) if data else 0
    for _ in range(count):
        data[chance.randrange(len(data))] ^= chance.randint(1, 255)
    path.write_bytes(data)
    return count


def lose_offsets(arena: Arena, chance: random.Random) -> None:
    """All workers stop, and what their group has committed is deleted, or set to 0."""
    codes = [worker.stop() for worker in arena.workers]
    arena.cluster.await_empty(arena.topics.group)
    progress: dict[int, int] = {}

    def known() -> bool:
        found = arena.log.progress(arena.topics.group, arena.topics.commands)
        progress.update({partition: each.offset for partition, each in found.items()})
        return bool(found)

    arena.cluster.until(known, "the progress was known")
    arena.rewound.append(progress)
    deleted = chance.random() < 0.5
    if deleted:
        arena.cluster.delete_group(arena.topics.group)
    else:
        arena.cluster.rewind_group(arena.topics.group, arena.topics.commands, sorted(progress))
    arena.note(kinds.OFFSETS, deleted=deleted, codes=codes, progress=progress)
    arena.come_back(*arena.workers)


# -- around them ---------------------------------------------------------------------------------


def kill_broker(arena: Arena, chance: random.Random) -> None:
    """A broker dies and comes back; returns when all is in sync and commands are processed."""
    node = chance.randrange(arena.cluster.brokers)
    arena.cluster.kill(node)
    time.sleep(chance.uniform(0.3, 2.0))
    arena.cluster.restart(node)
    before = arena.processed()
    arena.note(kinds.BROKER, broker=node)
    arena.cluster.until(lambda: arena.processed() > before, "commands were processed again")


@contextmanager
def _between(arena: Arena, chance: random.Random) -> Any:
    """A worker and a broker, or all: the proxies between them."""
    number = chance.randrange(len(arena.cluster.proxies))
    proxies = arena.cluster.proxies[number]
    chosen = proxies if chance.random() < 0.3 else [chance.choice(proxies)]
    try:
        yield number, chosen
    finally:
        for each in chosen:
            each.delay_s = 0.0
            each.open()
            each.release()


def cut(arena: Arena, chance: random.Random) -> None:
    """The connections between a worker and brokers break; sometimes for a moment."""
    with _between(arena, chance) as (number, proxies):
        broken = 0
        share = chance.choice((1.0, 1.0, 0.5))
        deadline = time.monotonic() + CONNECTED_S
        while not broken:
            if time.monotonic() > deadline:
                return  # the worker is not there, or needs none of these brokers: no fault fired
            broken = sum(each.cut(share, chance) for each in proxies)
            time.sleep(LOOK_S)
        lasts_s = chance.choice((0.0, 0.0, chance.uniform(0.5, 3.0)))
        if lasts_s:  # what was cut stays so for a while
            for each in proxies:
                each.shut()
            time.sleep(lasts_s)
    arena.note(kinds.CUT, worker=number, connections=broken, seconds=round(lasts_s, 1))


def keep_apart(arena: Arena, chance: random.Random) -> None:
    """A worker reaches no broker for longer than its session lasts."""
    number = chance.randrange(len(arena.cluster.proxies))
    proxies = arena.cluster.proxies[number]
    lasts_s = SESSION_S + chance.uniform(1.0, 4.0)
    try:
        for each in proxies:
            each.shut()
        broken = sum(each.cut() for each in proxies)
        time.sleep(lasts_s)
    finally:
        for each in proxies:
            each.open()
    arena.note(kinds.APART, worker=number, connections=broken, seconds=round(lasts_s, 1))


def slow_down(arena: Arena, chance: random.Random) -> None:
    """Each piece of data takes long between a worker and brokers."""
    with _between(arena, chance) as (number, proxies):
        delay_s = chance.uniform(0.02, 0.4)
        for each in proxies:
            each.delay_s = delay_s
        time.sleep(chance.uniform(2.0, 5.0))
    arena.note(kinds.SLOW, worker=number, delay_s=round(delay_s, 3))


def fall_silent(arena: Arena, chance: random.Random) -> None:
    """Nothing passes between a worker and brokers for a while, and then all of it."""
    with _between(arena, chance) as (number, proxies):
        lasts_s = chance.uniform(1.0, SESSION_S + 3.0)
        for each in proxies:
            each.hold()
        time.sleep(lasts_s)
    arena.note(kinds.SILENT, worker=number, seconds=round(lasts_s, 1))


def leave_open(arena: Arena, chance: random.Random) -> None:
    """A stranger's transaction stands open on the journal for a while."""
    partitions = arena.partitions()
    chosen = sorted(chance.sample(partitions, chance.randint(1, len(partitions))))
    lasts_s = chance.uniform(1.0, 5.0)
    with arena.cluster.foreign_transaction(arena.topics.journal, chosen):

        def stands_open() -> bool:
            ends = arena.log.ends(arena.topics.journal)
            return all(ends[each].stable < ends[each].end for each in chosen)

        arena.cluster.until(stands_open, "the transaction stood open")
        time.sleep(lasts_s)
    arena.note(kinds.STRANGER, partitions=chosen, seconds=round(lasts_s, 1))


Fault = Callable[[Arena, random.Random], None]

OF_WORKERS: Mapping[str, Fault] = {
    kinds.KILL: kill,
    kinds.LATE: kill_late,
    kinds.STOP: stop,
    kinds.STORM: storm,
    kinds.LOST_STORE: lose_store,
    kinds.BAD_STORE: corrupt_store,
    kinds.OFFSETS: lose_offsets,
}
OF_THE_REST: Mapping[str, Fault] = {
    kinds.BROKER: kill_broker,
    kinds.CUT: cut,
    kinds.APART: keep_apart,
    kinds.SLOW: slow_down,
    kinds.SILENT: fall_silent,
    kinds.STRANGER: leave_open,
}
