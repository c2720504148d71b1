"""Edges of what is promised, each as small as it can be: see docs/guarantees.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim_checks import Evidence
from sim_plan import Action, plan_of
from sim_workers import TOPICS
from sim_world import DAY_S, World

PUT = Action(1, "Put", "a", {"n": 1})
WINDOW_S = 3_600.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world in which nothing goes wrong by itself."""
    world = World(plan_of(1)._replace(actions=()), tmp_path)
    world.weather.calm = True
    return world


def process(world: World, *actions: Action) -> None:
    """Workers come, process these commands and leave."""
    for action in actions:
        world.client.send(action)
    world.settle()
    world.crew.stop_all(clean=True)
    assert world.crew.failures == []


def executed(world: World) -> list[str]:
    """The command ids of the events of the entity a."""
    return [each.command_id for each in Evidence(world).events[1]]


def test_a_duplicate_is_known_within_the_window(world: World) -> None:
    process(world, PUT)
    world.cluster.advance(WINDOW_S / 2)
    process(world, PUT)
    assert executed(world) == ["c1"]


@pytest.mark.xfail(reason="the window counts the time until a duplicate is processed, not sent")
def test_a_duplicate_that_waited_longer_than_the_window_is_known(world: World) -> None:
    process(world, PUT)
    world.client.send(PUT)
    world.cluster.advance(2 * WINDOW_S)
    process(world)
    assert executed(world) == ["c1"]


def test_a_duplicate_stays_processed_when_offsets_expire(world: World) -> None:
    process(world, PUT)
    process(world, PUT)
    world.cluster.advance(8 * DAY_S)
    world.cluster.forget_offsets(TOPICS.group)
    process(world)
    assert executed(world) == ["c1"]


def test_a_forwarded_command_stays_forwarded_when_offsets_expire(world: World) -> None:
    process(world, PUT._replace(lost=True))
    world.cluster.advance(8 * DAY_S)
    world.cluster.forget_offsets(TOPICS.group)
    process(world)
    assert executed(world) == ["c1"]


def test_retention_may_delete_the_marker_behind_the_last_command(world: World) -> None:
    process(world, Action(1, "Nudge", "b", {"to": "a"}))
    for partition in world.cluster.topic(TOPICS.commands).partitions:
        partition.delete_before(partition.end)
    process(world, PUT)
