"""What a contract suite must be told about the log under test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kstate.log.port import Log
from kstate.testing.log_world import World


class LogHooks:
    """The part of a contract suite that a subclass fills in."""

    patience_s: float = 20.0
    """How long something that must happen may take."""

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

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        world = World(lambda: self.open_log(tmp_path), self.patience_s)
        try:
            yield world
        finally:
            world.close()
