"""When the embedded log is cleaned: in slices, between an owner's other work.

A topic that is ``short`` is compacted when its dirty part outgrows its clean part, so that the cost
per record written is constant.  In other compacted topics keys do not repeat.  In all of them a
sweep is worth its cost when tombstones were written, many of them or a while ago.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from kstate.errors import LogUnavailable, OutcomeUnknown
from kstate.log.embedded_file import Database, Topic
from kstate.log.embedded_passes import (
    Part,
    Pass,
    compact,
    forget_tombstones,
    parts_of,
    retain,
    retained_from,
)

_logger = logging.getLogger(__name__)

_SLICE_S = 0.02
_SHARE = 0.2  # of the time, while there is other work
_MANY_TOMBSTONES = 0.01  # of a partition's records: worth a sweep at once,
_PATIENCE_MS = 60_000  # and fewer after this time


class Cleaner:
    """Housekeeping of the topics it was told to watch, on the connection of their owner."""

    def __init__(
        self, database: Database, clock: Callable[[], int], every_s: float, min_records: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._every_s = every_s
        self._min_records = min_records
        self._topics: set[str] = set()
        self._pass: Pass | None = None
        self._not_before = time.monotonic() + every_s

    @property
    def busy(self) -> bool:
        """Whether a pass is under way."""
        return self._pass is not None

    def watch(self, topic: str) -> None:
        """Cleans this topic from now on, too."""
        self._topics.add(topic)

    def turn(self, *, idle: bool) -> None:
        """Does a slice of what is due: at most some 20 ms, and a fifth of the time unless idle."""
        began = time.monotonic()
        if began < self._not_before and not (idle and self.busy):
            return
        try:
            self._pass = self._pass or self._due()
            if self._pass is not None and _advance(self._pass, began + _SLICE_S):
                self._pass = None
            elif self._pass is None:
                self._not_before = began + self._every_s
                return
        except (LogUnavailable, OutcomeUnknown) as error:
            # Not the owner's problem: nothing depends on it, and it is tried again.
            _logger.warning("cleaning the log is put off: %s", error)
            self._pass = None
            self._not_before = began + self._every_s
            return
        now = time.monotonic()
        self._not_before = now + (now - began) * (1 / _SHARE - 1)

    def run(self, topic: Topic) -> None:
        """Everything there is to clean in a topic, now and to the end."""
        for part in parts_of(self._database, topic):
            now = self._clock()
            if "compact" in topic.cleanup:
                before_ms = now - topic.delete_retention_ms
                _finish(compact(self._database, part._replace(cleaned=part.start), before_ms))
            if "delete" in topic.cleanup and topic.retention_ms >= 0:
                _finish(retain(self._database, topic, part, now - topic.retention_ms))

    def _due(self) -> Pass | None:
        with self._database.read():
            topics = [t for name, t in self._database.topics.items() if name in self._topics]
        for topic in topics:
            duties = {"compact": self._due_compact, "delete": self._due_delete}
            for part in parts_of(self._database, topic):
                for duty in topic.cleanup.split(","):
                    due = duties[duty](topic, part)
                    if due is not None:
                        return due
        return None

    def _due_delete(self, topic: Topic, part: Part) -> Pass | None:
        if topic.retention_ms < 0:
            return None
        before_ms = self._clock() - topic.retention_ms
        limit = retained_from(self._database, topic, part)
        with self._database.read() as connection:
            first = connection.execute(
                "SELECT appended FROM records WHERE id>=? AND id<? ORDER BY id LIMIT 1",
                (part.base + part.start, part.base + limit),
            ).fetchone()
        if first is None or first[0] >= before_ms:
            return None
        return retain(self._database, topic, part, before_ms)

    def _due_compact(self, topic: Topic, part: Part) -> Pass | None:
        before_ms = self._clock() - topic.delete_retention_ms
        outgrown = part.next - part.cleaned >= max(self._min_records, part.live)
        if (topic.short and outgrown) or self._tombstones_wait(part):
            return compact(self._database, part, before_ms, tombstones_only=not topic.short)
        with self._database.read() as connection:
            oldest = connection.execute(
                "SELECT appended FROM records INDEXED BY tombstones"
                " WHERE value IS NULL AND key IS NOT NULL AND id>=? AND id<? ORDER BY id LIMIT 1",
                (part.base, part.base + part.cleaned),
            ).fetchone()
        if oldest is None or oldest[0] >= before_ms:
            return None
        return forget_tombstones(self._database, part, before_ms)

    def _tombstones_wait(self, part: Part) -> bool:
        with self._database.read() as connection:
            count, oldest = connection.execute(
                "SELECT count(*), min(appended) FROM records INDEXED BY tombstones"
                " WHERE value IS NULL AND id>=? AND id<?",
                (part.base + part.cleaned, part.base + part.next),
            ).fetchone()
        if not count:
            return False
        many = max(self._min_records, part.next - part.start) * _MANY_TOMBSTONES
        return bool(count >= many or oldest <= self._clock() - _PATIENCE_MS)


def _finish(work: Pass) -> None:
    for _ in work:
        pass


def _advance(work: Pass, deadline: float) -> bool:
    """Runs a pass until the deadline (monotonic clock); True when it is finished."""
    return all(time.monotonic() < deadline for _ in work)
