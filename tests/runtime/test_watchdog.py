"""A process whose loop hangs is ended; one that was only stopped for a while is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kstate.runtime import watchdog
from kstate.runtime.watchdog import EXIT_HUNG, Watchdog

PATIENCE_S = 5.0


class Watched:
    """A watchdog with a clock of its own, over loops that turn when they are told to."""

    def __init__(self, loops: int) -> None:
        self.now_s = 0.0
        self.loops: list[Any] = [Loop(name=f"w{n}", beats=0) for n in range(loops)]
        self.codes: list[int] = []
        self._watchdog = Watchdog(self.loops, PATIENCE_S, self.codes.append, lambda: self.now_s)

    def look(self, after_s: float, *turning: int, working: int = 2) -> None:
        self.now_s += after_s
        for number in turning:
            self.loops[number].beats += 1
        self._watchdog.look(self.loops[:working])


class Loop(SimpleNamespace):
    """As much of a worker as a watchdog sees."""

    def __hash__(self) -> int:
        return id(self)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(watchdog.faulthandler, "dump_traceback", lambda *_, **__: None)
    return Watched(2)


def test_loops_that_turn_are_left_alone(watched: Watched) -> None:
    for _ in range(100):
        watched.look(0.9, 0, 1)
    assert watched.codes == []


def test_one_that_stands_still_for_too_long_ends_the_process(watched: Watched) -> None:
    for _ in range(5):
        watched.look(1.0, 0)
    assert watched.codes == []
    watched.look(1.0, 0)
    assert watched.codes == [EXIT_HUNG]


def test_one_that_turns_now_and_then_is_left_alone(watched: Watched) -> None:
    for _ in range(5):
        for _ in range(4):
            watched.look(1.0, 0)
        watched.look(1.0, 0, 1)
    assert watched.codes == []


def test_a_process_that_was_stopped_for_an_hour_did_not_hang(watched: Watched) -> None:
    watched.look(1.0, 0, 1)
    watched.look(3600.0)
    watched.look(1.0, 0, 1)
    assert watched.codes == []


def test_a_worker_that_has_ended_does_not_count(watched: Watched) -> None:
    for _ in range(20):
        watched.look(1.0, 0, working=1)
    assert watched.codes == []
