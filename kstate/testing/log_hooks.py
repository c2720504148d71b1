"""What a contract suite must be told about the log under test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from kstate.log.port import Log
from kstate.testing.log_world import World


class LogHooks:
    """The part of a contract suite that a subclass fills in."""

    patience_s: float = 20.0
    """How long something that must happen may take."""

    transactions_outlive_processes: bool = True
    """Whether a transaction stays open when its process is killed.  Of a log where none does, the
    suite demands that what `leave_open` leaves keeps nobody waiting."""

    def open_log(self, directory: Path) -> Log:
        """A new handle on the log under test; the same log for the same directory."""
        raise NotImplementedError

    def compact(self, log: Log, topic: str) -> None:
        """Has the topic compacted, all that was written so far; something invisible to readers of
        committed records may be appended for it."""
        raise NotImplementedError

    def delete_topic(self, log: Log, topic: str) -> None:
        """Deletes the topic."""
        raise NotImplementedError

    def expire(self, log: Log, topic: str) -> None:
        """Has all that was written so far to a topic of one partition go, as retention by time
        does; the topic has one of ten years."""
        raise NotImplementedError

    def leave_open(self, log: Log, group: str, topic: str, instance: str, journal: str) -> None:
        """Is killed, as a worker of that instance, in the middle of a transaction.

        In it are the record ``b"open"`` for partition 0 of the journal and the group's progress
        ``Committed(9, "open")`` in partition 0 of the topic.  Its seat in the group, if it had one,
        is free for others.
        """
        raise NotImplementedError

    def away(self, log: Log) -> AbstractContextManager[None]:
        """A block in which the log is away: nobody can write to it, and who asks it may get no
        answer.  After the block it is there again."""
        raise NotImplementedError

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        world = World(lambda: self.open_log(tmp_path), self.patience_s)
        try:
            yield world
        finally:
            world.close()
