"""A process of an event handler: calls its methods, and commits how far it is."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from kstate.core.messages import Record
from kstate.errors import LogError, LogUnavailable, ProjectionStopped
from kstate.event_handler import EventHandler
from kstate.log.port import Committed, Log, Member, Polled
from kstate.projection.following import POLL_S, Follower, Join, Journal, Trials
from kstate.projection.reading import Reading, Taken, persist_id_of

MAX_WAITING = 100
"""Records that were delivered and wait."""
COMMIT_S = 1.0
"""How much work a crash may make again: what was done within so many seconds."""
LONGEST_PAUSE_S = 30.0

logger = logging.getLogger("kstate.handler")


class HandlerRunner(Follower):
    """One process of an event handler; others share the partitions.

    Progress is committed to the group before more is polled, after at most `COMMIT_S`.
    """

    def __init__(
        self,
        handler: EventHandler,
        log: Log,
        reading: Reading,
        join: Join,
        journal: Callable[[], Journal],
    ) -> None:
        super().__init__(handler.name, join)
        self._handler = handler
        self._log = log
        self._reading = reading
        self._journal_of = journal
        self._journal: Journal
        self._methods: Mapping[type, Callable[..., None]] = {
            each: getattr(handler, name) for each, name in handler.__kstate_handlers__.items()
        }
        self._offsets: dict[int, int] = {}  # of the partitions it works on: the next offset
        self._moved: set[int] = set()  # partitions whose offset is not committed yet
        self._unclaimed: set[int] = set()
        self._waiting: deque[Record] = deque()
        self._trials = self._new_trials()
        self.skipped = 0
        """Events that were given up since the start."""

    def _new_trials(self) -> Trials:
        return Trials(self._handler.attempts, self._handler.pause_s, LONGEST_PAUSE_S)

    def prepare(self) -> bool:
        self._journal = self._journal_of()
        return True

    def begin(self) -> None:
        self._offsets.clear()
        self._moved.clear()
        self._unclaimed.clear()
        self._waiting.clear()
        self._trials = self._new_trials()

    def turn(self, member: Member) -> bool:
        room = max(1, MAX_WAITING - len(self._waiting))
        polled = member.poll(room, 0 if self._waiting else POLL_S)
        self._membership(polled)
        self._waiting += polled.records
        try:
            self._work()
        finally:
            self._commit(member)  # what was done before a failure counts
        if not self._waiting:
            self._pass_over(polled.ends)
        self._claim(member)
        for partition in self._trials.over():
            member.start(partition, self._offsets[partition])
        return True

    def _membership(self, polled: Polled) -> None:
        gone = {each.partition for each in (*polled.revoked, *polled.assigned)}
        if gone:
            self._waiting = deque(r for r in self._waiting if r.partition not in gone)
        for partition in gone:
            self._offsets.pop(partition, None)
            self._moved.discard(partition)
            self._unclaimed.discard(partition)
            self._trials.forget(partition)
        self._unclaimed.update(each.partition for each in polled.assigned)

    def _claim(self, member: Member) -> None:
        """Reads on where the group's progress is."""
        if not self._unclaimed:
            return
        ends = self._log.ends(self._journal.topic)
        for partition in sorted(self._unclaimed):
            try:
                known = member.committed(partition)
            except LogUnavailable:
                continue  # whoever had it before is still committing: ask again
            start, _, end = ends[partition]
            if known is None:
                offset = start if self._handler.begins == "beginning" else end
                self._moved.add(partition)  # "from now on" is now, not when the first event came
            elif known.offset > end:
                raise LogError(
                    f"{self.title} has handled {self._journal.topic}:{partition} up to "
                    f"{known.offset}, but it ends at {end}: the log lost records or was created "
                    "anew; name the right log, or give the handler another name"
                )
            else:
                offset = max(known.offset, start)
            member.start(partition, offset)
            self._offsets[partition] = offset
            self._unclaimed.discard(partition)
            logger.info("%s: has partition %d from %d", self.title, partition, offset)
        self._commit(member)

    def _commit(self, member: Member) -> None:
        if self._moved:
            progress = {each: Committed(self._offsets[each], "") for each in sorted(self._moved)}
            member.commit([], progress)
            self._moved.clear()
            self.worked()

    def _pass_over(self, ends: Mapping[int, int]) -> None:
        """Nothing but markers of transactions lies before these ends; the next commit says so."""
        for partition, end in ends.items():
            if not self._trials.waits(partition) and end > self._offsets.get(partition, end):
                self._offsets[partition] = end
                self._moved.add(partition)

    # -- events ------------------------------------------------------------------------------

    def _work(self) -> None:
        until = time.monotonic() + COMMIT_S
        done = 0
        while self._waiting and not self.stopping and (not done or time.monotonic() < until):
            done += 1
            record = self._waiting.popleft()
            partition, offset = record.partition, record.offset
            known = self._offsets.get(partition)
            if known is None or offset < known or self._trials.waits(partition):
                continue
            taken = self._reading.take(record)
            failure = self._handle(taken)
            if failure is not None and not self._given_up(partition, taken, failure):
                continue
            self._offsets[partition] = offset + 1
            self._moved.add(partition)

    def _handle(self, taken: Taken) -> Exception | None:
        """Calls the methods; what went wrong."""
        if taken.error is not None:
            return taken.error
        for stored in taken.events:
            event: Any = stored.event
            try:
                self._methods[type(event)](stored, event)
            except Exception as error:  # noqa: BLE001 - the policy decides what becomes of it
                return error
        return None

    def _given_up(self, partition: int, taken: Taken, failure: Exception) -> bool:
        """Whether to go on behind the event; False: it is tried again after a pause."""
        place = f"{self._journal.topic}:{partition} at {taken.offset}"
        if taken.match is not None:
            match = taken.match
            place += f" ({match.type} of {persist_id_of(match)!r} @{match.seq})"
        text = f"{type(failure).__name__}: {' '.join(str(failure).split())}"
        if self._trials.failed(partition, taken.offset):
            logger.warning(
                "%s: %s failed, and is tried again: %s", self.title, place, text, exc_info=failure
            )
            return False
        if self._handler.on_error == "skip":
            self.skipped += 1
            logger.error("%s: %s is skipped: %s", self.title, place, text, exc_info=failure)
            return True
        raise ProjectionStopped(
            f"{self.title} stopped at {place}: {text}; mend it and run it again, or pass the event "
            'over with on_error = "skip"'
        ) from failure
