"""How to wait for another process to commit: look, sleep a little, look again."""

from __future__ import annotations

import time

_SHORTEST_S = 0.0005
_LONGEST_S = 0.010
_SHARE = 0.05


class Pace:
    """Chooses the pauses between two looks at the file.

    A pause is 5 % of the time since something last happened, between 0.5 and 10 ms: an active log
    answers at once, an idle one costs a hundred looks a second, of microseconds each.
    """

    def __init__(self) -> None:
        self._active = time.monotonic()

    def touch(self) -> None:
        """Something happened."""
        self._active = time.monotonic()

    def pause(self, deadline: float) -> None:
        """Sleeps, at most until ``deadline`` (of the monotonic clock)."""
        now = time.monotonic()
        wanted = max(_SHORTEST_S, min(_LONGEST_S, (now - self._active) * _SHARE))
        time.sleep(max(0.0, min(wanted, deadline - now)))
