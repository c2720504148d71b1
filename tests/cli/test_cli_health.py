"""``kstate health``."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from shells import Shell, shell_on
from shop import Shop
from world import World

from kstate.errors import LogUnavailable, Unhealthy
from kstate.log.port import Log
from kstate.runtime.heartbeat import Heartbeat, State, beats


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def data(directory: Path) -> Path:
    """The data directory of no worker."""
    return directory / ".kstate"


@pytest.fixture
def asking(directory: Path) -> Shell:
    return shell_on({})


def slot(data: Path, number: int = 0) -> Heartbeat:
    """The note of a worker of the shop."""
    there = data / "shop" / str(number)
    there.mkdir(parents=True, exist_ok=True)
    return Heartbeat(there)


def test_a_worker_that_serves_its_partitions_is_well(shell: Shell, world: World) -> None:
    def well() -> bool:
        return shell("health", "shop", "--data", str(world.data)).exit_code == 0

    world.until(well, "the worker is well")


def test_a_worker_that_stopped_cleanly_is_not_there_any_more(shell: Shell, world: World) -> None:
    group = world.topics(Shop).group
    world.until(lambda: bool(list(beats(world.data, group))), "the worker has noted something")
    world.stop()
    result = shell("health", "shop", "--data", str(world.data))
    assert result.exit_code == Unhealthy.exit_code
    assert "none runs" in result.stderr


def test_a_worker_whose_log_is_away_is_alive_and_not_well(
    world: World, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Shop)
    world.stop()

    def away(log: Log, group: str, topic: str, instance: str) -> None:
        raise LogUnavailable("nobody answers")

    monkeypatch.setattr("faults.FaultyLog.join", away)
    world.run(Shop)
    shell = shell_on({"KSTATE_PREFIX": world.prefix, "KSTATE_DATA": str(world.data)})
    world.until(lambda: shell("health", "shop", "--alive").exit_code == 0, "the loop turns")
    result = shell("health", "shop")
    assert result.exit_code == Unhealthy.exit_code
    assert "slot 0 is waiting" in result.stderr


def test_a_worker_that_recovers_is_alive_and_not_well(asking: Shell, data: Path) -> None:
    slot(data).beat(now_ms(), State.RECOVERING)
    assert asking("health", "shop", "--alive").exit_code == 0
    assert "slot 0 is recovering" in asking("health", "shop").stderr


def test_a_loop_that_has_not_turned_for_a_while_is_not_even_alive(
    asking: Shell, data: Path
) -> None:
    slot(data).beat(now_ms() - 60_000, State.READY)
    result = asking("health", "shop", "--alive")
    assert result.exit_code == Unhealthy.exit_code
    assert "slot 0 is silent" in result.stderr
    assert asking("health", "shop", "--max-age", "3600").exit_code == 0


def test_a_worker_that_starts_after_a_death_is_not_well_by_what_the_last_life_noted(
    asking: Shell, data: Path
) -> None:
    slot(data).beat(now_ms(), State.READY)
    slot(data)
    assert asking("health", "shop").exit_code == Unhealthy.exit_code


def test_as_many_workers_must_be_well_as_are_asked_for(asking: Shell, data: Path) -> None:
    for number in range(2):
        slot(data, number).beat(now_ms(), State.READY)
    slot(data, 2).beat(now_ms() - 60_000, State.READY)
    assert asking("health", "shop", "--workers", "2").exit_code == 0
    result = asking("health", "shop", "--workers", "3")
    assert result.exit_code == Unhealthy.exit_code
    assert "shop: 2 of 3 workers well" in result.stderr


def test_every_processor_that_is_named_must_be_well(asking: Shell, data: Path) -> None:
    slot(data).beat(now_ms(), State.READY)
    result = asking("health", "shop", "bank")
    assert (result.exit_code, result.stdout) == (Unhealthy.exit_code, "shop: 1 well\n")
    assert "bank: 0 of 1 workers well: none runs on this data directory" in result.stderr
