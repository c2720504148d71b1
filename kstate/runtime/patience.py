"""How often a worker may fail in a row, and how long it waits before it tries again."""

from __future__ import annotations

from kstate.errors import GivenUp

MAX_REBUILDS = 5
"""Failures one after another, without a commit in between, before the worker gives up."""
RETRY_S = 0.5
"""The pause after the first failure; each further one is twice as long."""


class Patience:
    """Counts a worker's failures until its next commit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.failures = 0

    def spent(self) -> bool:
        """Counts a failure; whether it was one too many."""
        self.failures += 1
        return self.failures > MAX_REBUILDS

    def failed(self, error: Exception) -> float:
        """Counts a failure; the seconds to wait then.  Raises `GivenUp` for one too many."""
        if self.spent():
            raise GivenUp(
                f"{self._name}: gives up after {self.failures} failures in a row without a commit "
                f"in between, last because {error}"
            ) from error
        return RETRY_S * 2.0 ** (self.failures - 1)

    def committed(self) -> None:
        """What failed before is over."""
        self.failures = 0
