"""How long nothing has come from a log that was there to give it."""

from __future__ import annotations

from collections.abc import Callable

LOOK_S = 1.0
"""What a silence counts at most between two looks."""


class Silence:
    """How long nothing has come, as far as it was looked for: not while the log is away.

    ``monotonic`` gives seconds, as `time.monotonic` does.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._looked = monotonic()
        self._seconds = 0.0

    def look(self) -> float:
        """The seconds so far."""
        before, self._looked = self._looked, self._monotonic()
        self._seconds += min(self._looked - before, LOOK_S)
        return self._seconds
