"""Partitions whose next command cannot be read yet."""

from __future__ import annotations

import pytest

from kstate.runtime.holding import RETRY_S, Holding


class Clock:
    """Seconds that pass on demand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def held(clock: Clock) -> Holding:
    return Holding("bank", clock)


def test_a_partition_waits_for_its_time_and_is_then_let_go(held: Holding, clock: Clock) -> None:
    held.hold(3, ValueError("away"))
    assert held
    assert 3 in held
    assert held.due() == []
    clock.now += RETRY_S
    assert held.due() == [3]
    assert 3 not in held
    assert not held


def test_that_it_waits_is_told_once_until_it_goes_on(
    held: Holding, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        for _ in range(3):
            held.hold(3, ValueError("away"))
            held.moved({1, 3})  # what lay before the command was committed
            clock.now += RETRY_S
            held.due()
        held.moved({1, 3})
        held.moved({1, 3})
    assert caplog.messages == 2 * ["bank: partition 3 waits: away", "bank: partition 3 goes on"]


def test_a_partition_that_is_lost_waits_no_longer(held: Holding) -> None:
    held.hold(3, ValueError("away"))
    held.hold(4, ValueError("away"))
    held.forget({3})
    assert 3 not in held
    assert 4 in held
    held.clear()
    assert not held
