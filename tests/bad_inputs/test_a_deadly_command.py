"""A command that kills its worker each time: after the third death it is a dead letter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from counter import Add, Added
from deadly_worker import Deadly, Kill
from world import PATIENCE_S, World, header

from kstate import CommandFailed


@contextmanager
def worker(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, which ends with the block at the latest."""
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (here.parents[1], here.parent, here)))
    process = subprocess.Popen(
        [sys.executable, str(here / "deadly_worker.py"), world.url, world.prefix, str(world.data)],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def deaths(world: World) -> None:
    """Three workers, one after another, each killed by the command."""
    for _ in range(3):
        with worker(world) as process:
            assert process.wait(PATIENCE_S) == -signal.SIGKILL


@pytest.fixture
def ready(world: World) -> World:
    """A world whose topics are made."""
    world.run(Deadly, partitions=1)
    world.stop()
    return world


def test_after_the_third_death_it_is_dead_lettered_and_the_partition_goes_on(
    ready: World,
) -> None:
    ready.cast(Deadly, "a", Add(1))
    call = ready.client.begin(Deadly, "a", Kill())
    ready.cast(Deadly, "a", Add(2))
    deaths(ready)
    assert ready.dead_letters(Deadly) == []
    with worker(ready):
        assert ready.call(Deadly, "a", Add(3)) == 6
        with pytest.raises(CommandFailed, match="3 workers died while they ran this command"):
            call.result_of(call.future.result(PATIENCE_S))
    (letter,) = ready.dead_letters(Deadly)
    assert header(letter, "source") == "0:1"
    assert letter.value == ready.encoded(Deadly, Kill())
    assert ready.events(Deadly, "a") == [(1, Added(1)), (2, Added(2)), (3, Added(3))]


def test_the_neighbours_before_it_are_not_blamed(ready: World) -> None:
    for number in range(5):
        ready.cast(Deadly, f"id-{number}", Add(1))
    ready.cast(Deadly, "a", Kill())
    deaths(ready)
    with worker(ready):
        assert ready.call(Deadly, "id-4", Add(1)) == 2
    assert len(ready.dead_letters(Deadly)) == 1
    assert len(ready.journal(Deadly)) == 6
