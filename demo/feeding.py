"""Sends the departures, watches the worker, and kills it when half of them are processed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

from demo.flights_file import MISSING, Flight
from demo.progress import Progress
from demo.worker_process import WorkerProcess
from kstate import Client, KStateError
from kstate.core.messages import Write
from kstate.core.topics import Topics
from kstate.log.port import Log
from processors.flights import Departure, Flights

LOOK_EVERY = 1_000  # departures sent between two looks at the worker
HELD_BACK = 0.1  # the part of the departures that is sent only after the kill
WAIT_S = 0.05
PATIENCE_S = 60.0  # without any progress


def departure(flight: Flight) -> Departure:
    """The command for one line of the file."""
    return Departure(
        carrier=flight.carrier,
        flight=int(flight.flight),
        origin=flight.origin,
        destination=flight.dest,
        scheduled=datetime.fromisoformat(flight.time_hour),
        distance=int(flight.distance),
        departed=flight.dep_time != MISSING,
        departure_delay=_minutes(flight.dep_delay),
        arrival_delay=_minutes(flight.arr_delay),
        air_time=_minutes(flight.air_time),
    )


def _minutes(text: str) -> int | None:
    return None if text == MISSING else int(text)


class Watch:
    """Knows how far the worker is, and does away with it when it is half through."""

    def __init__(
        self, log: Log, topics: Topics, worker: WorkerProcess, total: int, progress: Progress
    ) -> None:
        self.killed_at: int | None = None  # commands processed when the worker died
        self.waiting = 0  # commands stored and not processed then
        self.back_after_s: float | None = None  # until the next one was processed
        self.processed = 0
        self._log = log
        self._topics = topics
        self._worker = worker
        self._total = total
        self._progress = progress
        self._death = self._moved = time.monotonic()

    def until_ready(self) -> None:
        """Returns when the topics are there."""
        wanted = set(self._topics) - {self._topics.group}
        while not wanted <= set(self._log.topics()):
            self._worker.check()
            self._be_patient()
            time.sleep(WAIT_S)

    def until_killed(self) -> None:
        """Returns when the worker was killed and started again."""
        while self.killed_at is None:
            self.look()
            time.sleep(WAIT_S)

    def until_done(self) -> None:
        """Returns when every command is processed."""
        while self.processed < self._total:
            self.look()
            time.sleep(WAIT_S)
        self._worker.measure()

    def look(self) -> None:
        """Looks at the worker; kills it if it is time."""
        self._worker.check()
        before, self.processed = self.processed, self._count()
        now = time.monotonic()
        if self.processed > before:
            self._moved = now
            if self.killed_at is not None and self.back_after_s is None:
                self.back_after_s = now - self._death
        self._be_patient()
        self._progress.show(self.processed)
        if self.killed_at is None and self.processed >= self._total // 2:
            self._kill()

    def _kill(self) -> None:
        self._worker.kill()
        self._death = time.monotonic()
        self.killed_at = self.processed = self._count()
        stored = sum(
            ends.end - ends.start for ends in self._log.ends(self._topics.commands).values()
        )
        self.waiting = stored - self.processed
        self._progress.say(
            f"worker killed (SIGKILL) at {self.processed:,} processed commands, "
            f"{self.waiting:,} more waiting; starting it again"
        )
        self._worker.start()

    def _count(self) -> int:
        progress = self._log.progress(self._topics.group, self._topics.commands)
        return sum(committed.offset for committed in progress.values())

    def _be_patient(self) -> None:
        if time.monotonic() - self._moved > PATIENCE_S:
            raise KStateError(f"the worker has processed nothing for {PATIENCE_S:.0f} s")


def feed(
    client: Client, log: Log, topics: Topics, flights: Iterable[Flight], total: int, watch: Watch
) -> None:
    """Sends a command for each of ``total`` flights; returns when all are stored.

    A line without a tail number is sent as a record without a key, as a clumsy producer would: the
    client refuses that.
    """
    encode = client.messages(Flights).encode_command
    clumsy = log.producer()
    hold = total - int(total * HELD_BACK)
    try:
        for number, flight in enumerate(flights):
            command = departure(flight)
            if flight.tailnum == MISSING:
                now = int(time.time() * 1000)
                value = encode(Flights.name, command)
                clumsy.send(Write(topics.commands, None, None, value, [], now))
            else:
                client.cast(Flights, flight.tailnum, command)
            if number % LOOK_EVERY == 0:
                watch.look()
            if number == hold:
                client.flush()
                clumsy.flush(PATIENCE_S)
                watch.until_killed()
        client.flush()
    finally:
        clumsy.close()
