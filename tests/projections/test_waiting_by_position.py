"""`wait_for` takes the position of an answer as it is."""

from __future__ import annotations

import pytest
from stage import Stage
from tally import Put, Sums, Tally, sums
from world import PATIENCE_S, World

from kstate import Projection, ProjectionLate
from kstate.core.messages import GetState
from kstate.errors import ConfigError


def test_the_position_of_an_answer_is_waited_for(world: World, stage: Stage) -> None:
    world.run(Tally)
    stage.run(Sums)
    total = 0
    for amount in range(1, 8):
        answered = world.client.call_with_position(Tally, "a", Put(amount), timeout=PATIENCE_S)
        Sums.wait_for(answered.position, timeout=PATIENCE_S, database=stage.database)
        total += amount
        assert stage.rows(sums) == [("a", total, amount)]


def test_a_projection_that_is_late_names_the_position(world: World, stage: Stage) -> None:
    world.run(Tally)
    answered = world.client.call_with_position(Tally, "a", Put(1), timeout=PATIENCE_S)
    stage.site(Sums).ready()
    with pytest.raises(ProjectionLate, match=f"sums had not seen {answered.position} within"):
        Sums.wait_for(answered.position, timeout=0.05, database=stage.database)


def test_before_the_first_event_there_is_nothing_to_wait_for(world: World, stage: Stage) -> None:
    world.run(Tally)
    answered = world.client.call_with_position(Tally, "a", GetState(), timeout=PATIENCE_S)
    Sums.wait_for(answered.position, timeout=0.0, database=stage.database)
    world.client.events.wait_for(Tally, answered.position, timeout=PATIENCE_S)


@pytest.mark.parametrize("text", ["", "x", "3", "3:", ":117", "3:1,4:2", "-1:0", "3:-2", "3:1.2"])
def test_what_is_no_position_of_an_answer_is_refused(stage: Stage, text: str) -> None:
    with pytest.raises(ConfigError, match="is no position of an answer: it looks like 3:117"):
        Sums.wait_for(text, timeout=0.0, database=stage.database)


def test_a_number_goes_with_a_source_and_a_text_without(stage: Stage) -> None:
    projection: type[Projection] = Sums
    with pytest.raises(ConfigError, match="give the position of an answer, like 3:117, or"):
        projection.wait_for(3, database=stage.database)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="give the position of an answer, like 3:117, or"):
        projection.wait_for("3:1", 1, database=stage.database)  # type: ignore[call-overload]
