"""Read your own writes: what a command did is in the rows once `wait_for` has returned."""

from __future__ import annotations

import pytest
from stage import Stage
from tally import Clear, Mark, Put, Sums, Tally, sums
from world import PATIENCE_S, World, header

from kstate import Client, Command, Projection, ProjectionLate
from kstate.errors import ConfigError


def position(
    world: World, persist_id: str, command: Command[int] | Command[None]
) -> tuple[int, int]:
    """Sends a command; the position that its answer bears."""
    client: Client = world.client
    command_id = client.cast(Tally, persist_id, command)
    client.flush()
    world.settled(Tally)
    found = [r for r in world.journal(Tally) if header(r, "command-id") == command_id]
    partition, _, source = header(found[-1], "source").partition(":")
    return int(partition), int(source)


def test_the_rows_show_what_a_command_did_that_was_waited_for(world: World, stage: Stage) -> None:
    world.run(Tally)
    stage.run(Sums)
    total = 0
    for amount in range(1, 8):
        place = position(world, "a", Put(amount))
        Sums.wait_for(*place, timeout=PATIENCE_S, database=stage.database)
        total += amount
        assert stage.rows(sums) == [("a", total, amount)]


def test_a_projection_that_is_late_is_told_after_the_timeout(world: World, stage: Stage) -> None:
    world.run(Tally)
    place = position(world, "a", Put(1))
    stage.site(Sums).ready()
    with pytest.raises(ProjectionLate, match=r"sums had not seen \d:0 within 0.05 s"):
        Sums.wait_for(*place, timeout=0.05, database=stage.database)


def test_a_database_that_no_process_has_prepared_has_seen_nothing(
    world: World, stage: Stage
) -> None:
    with pytest.raises(ProjectionLate, match=r"but 0:-1 \(-1 is nothing\)"):
        Sums.wait_for(0, 0, timeout=0.0, database=stage.database)


@pytest.mark.parametrize("command", [Mark(), Clear()])
def test_events_that_nobody_handles_are_seen_all_the_same(
    world: World, stage: Stage, command: Command[None]
) -> None:
    world.run(Tally)
    stage.run(Sums)
    place = position(world, "a", command)
    Sums.wait_for(*place, timeout=PATIENCE_S, database=stage.database)


def test_without_a_database_it_says_how_to_name_one() -> None:
    assert Sums.database is None
    projection: type[Projection] = Sums
    with pytest.raises(ConfigError, match="Sums has no database: give its URL"):
        projection.wait_for(0, 0)
