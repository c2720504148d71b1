"""What a worker tells its operator: little when all is well, and no flood when it is not."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from kstate.core.batch import Counts, Fault
from kstate.errors import BadCommand, LogUnavailable

MAX_FAULTS = 10
PERIOD_S = 60.0

ODD = {
    "forwarded": "commands come in on another partition than that of their persist id, and are "
    "forwarded: their producer should partition by murmur2 "
    "(librdkafka: partitioner=murmur2_random)",
    "replies_refused": "commands ask for replies on a topic that is not on the list, and get "
    "none: the setting reply_topics allows it",
}
"""What is counted, and told of once, because it comes with every command of some producer."""

logger = logging.getLogger("kstate.worker")


class Teller:
    """Logs the first faults of each minute in full and counts the rest."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._away: dict[str, bool] = {}  # what is away, and whether it was told why
        self._period = float("-inf")
        self._told = 0
        self._odd = dict(ODD)  # not told yet

    def unavailable(self, error: LogUnavailable, reason: bool = True) -> None:
        """What is waited for is away: said once, and once more when the reason was not known at
        first."""
        told_why = self._away.get(error.what)
        if told_why is None or (reason and not told_why):
            logger.warning("%s: waiting for %s: %s", self._name, error.what, error)
        self._away[error.what] = bool(told_why) or reason

    def available(self) -> None:
        """All answers: said once, after it was away."""
        for what in self._away:
            logger.warning("%s: %s is back", self._name, what)
        self._away.clear()

    def odd(self, counts: Counts) -> None:
        """Tells once of what is no fault and should not be."""
        for name in [name for name in self._odd if getattr(counts, name)]:
            logger.warning("%s: %s", self._name, self._odd.pop(name))

    def faults(self, faults: Sequence[Fault]) -> None:
        """Tells of commands that were dead-lettered and of snapshots that could not be taken."""
        if not faults:
            return
        now = time.monotonic()
        if now - self._period > PERIOD_S:
            self._close_period()
            self._period, self._told = now, 0
        for fault in faults:
            self._told += 1
            if self._told <= MAX_FAULTS:
                self._tell(fault)
            elif self._told == MAX_FAULTS + 1:
                logger.warning("%s: further faults of this minute are counted", self._name)

    def _close_period(self) -> None:
        if self._told > MAX_FAULTS:
            logger.warning("%s: %d faults in the last period", self._name, self._told)

    def _tell(self, fault: Fault) -> None:
        error = fault.error
        if fault.what == "snapshot":
            logger.error("%s: no snapshot of %r: %s", self._name, fault.key, error)
            return
        logger.warning(
            "%s: the command at %d:%d for %r is in the dead letters: %s: %s",
            self._name,
            fault.partition,
            fault.offset,
            (fault.key or b"")[:80],
            type(error).__name__,
            error,
            # of the user's own code it says where; of a record that is no command, nothing
            exc_info=error if error.__traceback__ and not isinstance(error, BadCommand) else None,
        )
