"""Timers around functions, each counting only its own time, their own cost taken off."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

CALIBRATION = 200_000


class _Frame:
    """A timed call under way."""

    __slots__ = ("part", "parts_ns")

    def __init__(self, part: str) -> None:
        self.part = part
        self.parts_ns = 0  # of the timed calls that it made


class Timers:
    """Time per part in nanoseconds, without that of the parts it calls.  For one thread."""

    def __init__(self) -> None:
        self._own: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._called: Counter[str] = Counter()  # part → timed calls that it made
        self._stack = [_Frame("")]
        self._inside_ns, self._outside_ns = self._calibrate()

    def wrap(self, part: str, function: Any) -> Any:
        """``function`` with a timer."""
        own, calls, called, stack = self._own, self._calls, self._called, self._stack

        def timed(*args: Any, **kwargs: Any) -> Any:
            frame = _Frame(part)
            caller = stack[-1]
            stack.append(frame)
            began = perf_counter_ns()
            try:
                return function(*args, **kwargs)
            finally:
                took = perf_counter_ns() - began
                stack.pop()
                caller.parts_ns += took
                own[part] += took - frame.parts_ns
                calls[part] += 1
                called[caller.part] += 1

        return timed

    def _calibrate(self) -> tuple[float, float]:
        """What a timed call costs: within its own measurement, and beside it in its caller's."""

        def nothing() -> None:
            pass

        def plain() -> None:
            for _ in range(CALIBRATION):
                nothing()

        timed = self.wrap("inner", nothing)

        def loop() -> None:
            for _ in range(CALIBRATION):
                timed()

        began = perf_counter_ns()
        plain()
        bare = (perf_counter_ns() - began) / CALIBRATION
        self.wrap("outer", loop)()
        # a call that is timed costs its caller what is left when the call itself is taken off
        inside = self._own["inner"] / CALIBRATION - bare
        outside = self._own["outer"] / CALIBRATION
        self.clear()
        return max(0.0, inside), max(0.0, outside)

    def clear(self) -> None:
        """Forgets what was measured; only while no timed call is under way."""
        for counter in (self._own, self._calls, self._called):
            counter.clear()

    @contextlib.contextmanager
    def around(self, part: str, owner: Any, name: str) -> Iterator[None]:
        """Times a function of a class or module as long as the context lasts."""
        real = owner.__dict__[name]
        setattr(owner, name, self.wrap(part, real))
        try:
            yield
        finally:
            setattr(owner, name, real)

    def net_s(self, part: str) -> float:
        """Seconds of a part without what it calls and without the timers."""
        cost = self._calls[part] * self._inside_ns + self._called[part] * self._outside_ns
        return max(0.0, self._own[part] - cost) / 1e9

    def total_s(self) -> float:
        """Seconds of all parts."""
        return sum(self.net_s(part) for part in self._own)

    def cost_s(self) -> float:
        """Seconds that the timers themselves took."""
        return sum(self._calls.values()) * (self._inside_ns + self._outside_ns) / 1e9
