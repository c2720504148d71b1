"""Pause, resume, reset and status: what an operator does to a projection from outside."""

from __future__ import annotations

import pytest
from stage import Stage
from tally import Put, Sums, Tally, sums
from world import World

from kstate import ProjectionError
from kstate.projection.control import pause, reset


class Newer(Sums):
    version = 2


def states(stage: Stage) -> set[str]:
    return {each.state for each in stage.status(Sums).partitions}


def test_a_projection_that_never_ran_is_stopped_at_the_beginning(
    world: World, stage: Stage
) -> None:
    world.run(Tally, partitions=1)
    world.call(Tally, "a", Put(1, times=3))
    (partition,) = stage.status(Sums).partitions
    assert (partition.offset, partition.end, partition.lag) == (0, 3, 3)
    assert (partition.state, partition.owner, partition.source) == ("stopped", None, -1)


def test_a_running_projection_tells_who_has_its_partitions(world: World, stage: Stage) -> None:
    world.run(Tally, partitions=2)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    found = stage.status(Sums)
    assert [each.lag for each in found.partitions] == [0, 0]
    assert states(stage) == {"running"}
    owners = {each.owner for each in found.partitions}
    assert all(owner and ".projection.sums-" in owner for owner in owners)


def test_a_paused_projection_takes_nothing_until_it_is_resumed(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    pause(stage.site(Sums), True)
    log, group = stage.site(Sums).log, stage.site(Sums).group
    journal = world.topics(Tally).journal
    world.until(lambda: not log.owners(group, journal), "the partitions were given up")
    world.call(Tally, "a", Put(2))
    assert states(stage) == {"paused"}
    assert stage.rows(sums) == [("a", 1, 1)]
    pause(stage.site(Sums), False)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 3, 2)]


def test_a_projection_may_be_paused_before_it_ever_ran(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    pause(stage.site(Sums), True)
    running = stage.run(Sums)
    world.until(lambda: states(stage) == {"paused"}, "it is paused")
    stage.stop(running)
    assert stage.rows(sums) == []


def test_a_reset_begins_anew(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    running = stage.run(Sums)
    stage.caught_up(Sums)
    stage.stop(running)
    reset(stage.site(Sums))
    assert stage.rows(sums) == []
    world.call(Tally, "a", Put(2))
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 3, 2)]


def test_a_reset_is_refused_while_a_process_runs(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    with pytest.raises(ProjectionError, match=r"sums is running .*: pause it first"):
        reset(stage.site(Sums))
    assert stage.rows(sums) == [("a", 1, 1)]


def test_a_paused_projection_is_reset_and_reads_all_again_when_it_is_resumed(
    world: World, stage: Stage
) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    pause(stage.site(Sums), True)
    reset(stage.site(Sums))
    assert stage.rows(sums) == []
    pause(stage.site(Sums), False)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 1, 1)]


def test_code_of_another_version_than_the_tables_does_not_run(world: World, stage: Stage) -> None:
    world.run(Tally)
    stage.stop(stage.run(Sums))
    stage.site(Sums).ready()
    error = stage.failure(stage.run(Newer))
    assert "are of version 1, this code is version 2: rebuild it" in str(error)


def test_a_reset_makes_the_tables_of_todays_code(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    stage.site(Sums).ready()
    reset(stage.site(Newer))
    running = stage.run(Newer)
    stage.caught_up(Newer)
    stage.stop(running)
    assert stage.rows(sums) == [("a", 1, 1)]
    error = stage.failure(stage.run(Sums))
    assert "this code is version 1: run the newer code" in str(error)
