"""The loop of all who follow a journal: take a seat, work, and begin anew when something broke.

As in the worker there is one way back: what is held in memory is dropped, and what was committed is
read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from kstate.errors import (
    DatabaseUnavailable,
    Fenced,
    KStateError,
    LogUnavailable,
    OutcomeUnknown,
    TopicError,
    TransactionAborted,
)
from kstate.log.port import Log, Member

POLL_S = 0.2
RETRY_S = 0.5
LONGEST_RETRY_S = 10.0
_PASSING = (DatabaseUnavailable, Fenced, LogUnavailable, OutcomeUnknown, TransactionAborted)

logger = logging.getLogger("kstate.projection")

Join = Callable[[], Member]


class Journal(NamedTuple):
    """The journal that is followed."""

    topic: str
    identity: str  # changes when it is deleted and created anew
    partitions: int


def journal_of(log: Log, topic: str, processor: str) -> Journal:
    """The journal as it is; raises `TopicError` when it is not there."""
    info = log.topics([topic]).get(topic)
    if info is None:
        raise TopicError(
            f"{topic} does not exist on this log: start a worker of {processor} (kstate run), or "
            "check the log's URL and the prefix"
        )
    return Journal(topic, info.identity, info.partitions)


class Follower:
    """What a projection and a handler have in common; `run` is for one thread."""

    def __init__(self, title: str, join: Join) -> None:
        self.title = title
        self._join = join
        self._stopping = threading.Event()
        self._told: str | None = None
        self._pause_s = RETRY_S

    def stop(self) -> None:
        """Lets the batch under way end, and then `run`; safe in a signal handler."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping.is_set()

    def run(self) -> None:
        """Follows the journal until `stop`; raises what waiting does not mend."""
        while not self.stopping:
            try:
                self.session()
            except _PASSING as error:
                self._tell(error)
                self._stopping.wait(self._pause_s)
                self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)

    def session(self) -> None:
        """One stay in the group."""
        if not self.prepare() or self.stopping:
            return
        member = self._join()
        try:
            self.begin()
            while not self.stopping and self.turn(member):
                pass
        finally:
            member.close()

    def prepare(self) -> bool:
        """What must be in order before a seat is taken; False: look again."""
        return True

    def begin(self) -> None:
        """A seat was taken: nothing is held yet."""

    def turn(self, member: Member) -> bool:
        """Polls once and does what came; False: the seat is to be given up."""
        raise NotImplementedError

    def worked(self) -> None:
        """Something was done: what was told of a trouble is over."""
        if self._told is not None:
            logger.warning("%s: goes on", self.title)
        self._told, self._pause_s = None, RETRY_S

    def wait(self, seconds: float) -> None:
        """Waits, at most until `stop`."""
        self._stopping.wait(seconds)

    def _tell(self, error: KStateError) -> None:
        text = str(error)
        if text != self._told:
            logger.warning("%s: begins anew: %s", self.title, text)
        self._told = text


class Trials:
    """How often the event at a place failed, and when it is tried again.

    The pauses double from ``first_s`` on; ``attempts`` count the first one.
    """

    def __init__(self, attempts: int, first_s: float, longest_s: float) -> None:
        self._attempts = attempts
        self._first_s, self._longest_s = first_s, longest_s
        self._failed: dict[int, tuple[int, int]] = {}  # partition → offset, how often
        self._until: dict[int, float] = {}  # partition → when it goes on

    def failed(self, partition: int, offset: int) -> bool:
        """Notes a failure; whether it is worth another try, after a pause."""
        before, times = self._failed.get(partition, (offset, 0))
        times = times + 1 if before == offset else 1
        self._failed[partition] = offset, times
        if times >= self._attempts:
            return False
        pause_s = min(self._first_s * 2 ** (times - 1), self._longest_s)
        self._until[partition] = time.monotonic() + pause_s
        return True

    def passed(self, partition: int) -> None:
        """The partition went on behind what failed."""
        self._failed.pop(partition, None)

    def troubled(self, partition: int) -> bool:
        """Whether the partition is still before an event that failed."""
        return partition in self._failed

    def waits(self, partition: int) -> bool:
        """Whether the partition is not to be worked on now."""
        return partition in self._until

    def over(self) -> list[int]:
        """The partitions whose pause has ended; told once."""
        now = time.monotonic()
        ended = [each for each, until in self._until.items() if until <= now]
        for each in ended:
            del self._until[each]
        return ended

    def forget(self, partition: int) -> None:
        """The partition is another's now."""
        self._until.pop(partition, None)
        self._failed.pop(partition, None)
