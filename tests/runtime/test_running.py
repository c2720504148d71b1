"""A command that kills its worker does not kill it for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from counter import Add, Counter
from dying_worker import DEADLY
from runtime_tools import caught_up
from world import World, header

from kstate.runtime.running import MAX_DEATHS, Running

HERE = Path(__file__).parent


def die(directory: Path, partition: int = 0, offset: int = 7) -> None:
    """A worker dies while it runs this command: what is noted is all that is left of it."""
    running = Running(directory)
    running.enter(partition, offset)
    os.close(running._file)
    running._note.close()


def test_a_command_that_was_running_at_a_death_is_counted(tmp_path: Path) -> None:
    for deaths in range(1, MAX_DEATHS + 1):
        die(tmp_path)
        running = Running(tmp_path)
        assert running.suspects
        assert running.deaths(0, 7) == deaths
        assert running.deaths(0, 8) == running.deaths(1, 7) == 0
        running.close()


def test_a_death_between_two_commands_is_nobodys(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.enter(0, 7)
    running.leave()
    os.close(running._file)
    assert not Running(tmp_path).suspects


def test_a_worker_that_stops_leaves_no_suspect(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.enter(0, 7)
    running.close()
    running.close()
    assert not Running(tmp_path).suspects


def test_a_death_is_counted_once_however_often_the_note_is_read(tmp_path: Path) -> None:
    die(tmp_path)
    for _ in range(3):
        running = Running(tmp_path)
        assert running.deaths(0, 7) == 1
        running.close()


def test_deaths_of_the_last_hundred_commands_are_remembered(tmp_path: Path) -> None:
    for offset in range(101):
        die(tmp_path, offset=offset)
    running = Running(tmp_path)
    assert running.deaths(0, 0) == 0
    assert running.deaths(0, 1) == running.deaths(0, 100) == 1
    running.close()


@pytest.mark.parametrize("content", ["", "{", "[1]", "\0\0"])
def test_a_damaged_list_of_deaths_is_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "deaths.json").write_text(content)
    die(tmp_path)
    running = Running(tmp_path)
    assert running.deaths(0, 7) == 1
    running.close()
    assert json.loads((tmp_path / "deaths.json").read_text()) == {"0:7": 1}


def test_a_note_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "running").write_bytes(b"\0\0\0")
    running = Running(tmp_path)
    assert not running.suspects
    running.close()


# -- the real thing: a process that is killed in its handler -------------------------------------


def start(world: World) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE.parent)]),
    }
    arguments = [world.url, world.prefix, str(world.data)]
    return subprocess.Popen(
        [sys.executable, str(HERE / "dying_worker.py"), *arguments], env=environment
    )


def test_a_worker_that_is_killed_while_it_waits_blames_no_command(world: World) -> None:
    world.run(Counter, partitions=1)
    world.stop()
    world.cast(Counter, "id-0", Add(1))
    child = start(world)
    try:
        world.until(lambda: caught_up(world), "the command was processed")
    finally:
        child.kill()
        child.wait(30)
    running = Running(world.data / world.topics(Counter).group / "0")
    assert not running.suspects
    running.close()


def test_a_command_that_killed_three_workers_is_dead_lettered_and_its_neighbours_run(
    world: World,
) -> None:
    world.run(Counter, partitions=1)
    world.stop()
    for amount in (1, DEADLY, 2):
        world.cast(Counter, "id-0", Add(amount))
    world.cast(Counter, "id-1", Add(4))
    for _ in range(MAX_DEATHS):
        assert start(world).wait(30) == -signal.SIGKILL
        assert not world.dead_letters(Counter)
    survivor = start(world)
    try:
        world.until(lambda: caught_up(world), "all was processed")
    finally:
        survivor.terminate()
        assert survivor.wait(30) == 0
    (dead,) = world.dead_letters(Counter)
    assert header(dead, "source") == "0:1"
    assert header(dead, "error-type") == "BadCommand"
    assert "workers died" in header(dead, "error")
    world.run(Counter, partitions=1)
    assert (world.state(Counter, "id-0").total, world.state(Counter, "id-1").total) == (3, 4)
