"""The state of an entity at a seq, at a time, before and after a command, and on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from counter import Add, Counter
from world import World

from kstate import Point
from kstate.errors import ConfigError


def counted(world: World) -> list[datetime]:
    """Adds 1, 2 and 3 under the command ids c-1, c-2 and c-3; when each was persisted."""
    world.run(Counter)
    for amount in (1, 2, 3):
        world.call(Counter, "a", Add(amount), command_id=f"c-{amount}")
        world.clock.advance(10)
    return [stored.at for stored in world.client.events.by_id(Counter, "a")]


def total(world: World, at: Point | datetime) -> int:
    return world.client.state(Counter, "a", at=at).total


def test_at_a_seq(world: World) -> None:
    counted(world)
    assert [total(world, Point(seq=seq)) for seq in range(4)] == [0, 1, 3, 6]


def test_at_a_time(world: World) -> None:
    times = counted(world)
    assert [total(world, at) for at in times] == [1, 3, 6]
    assert total(world, times[1] - timedelta(milliseconds=1)) == 1
    assert total(world, datetime(2000, 1, 1, tzinfo=UTC)) == 0


def test_before_and_after_a_command(world: World) -> None:
    counted(world)
    points = Point(before="c-2"), Point(after="c-2"), Point(after="c-3")
    assert [total(world, point) for point in points] == [1, 3, 6]


def test_a_command_without_an_event_there_is_told(world: World) -> None:
    counted(world)
    with pytest.raises(ConfigError, match="'a' has no event of a command 'c-9'"):
        world.client.state(Counter, "a", at=Point(before="c-9"))


def test_the_events_between_two_points_with_the_state_after_each(world: World) -> None:
    times = counted(world)
    steps = world.client.history(Counter, "a", times[0], Point(after="c-3"))
    assert [(stored.seq, state.total) for stored, state in steps] == [(2, 3), (3, 6)]
    steps = world.client.history(Counter, "a", end=Point(before="c-2"))
    assert [(stored.seq, state.total) for stored, state in steps] == [(1, 1)]


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("seq:10", Point(seq=10)),
        ("before:c:1", Point(before="c:1")),
        ("after:c-1", Point(after="c-1")),
        ("2026-03-01", Point(time=datetime(2026, 3, 1, tzinfo=UTC))),
        ("2026-03-01T12:00:00+01:00", Point(time=datetime(2026, 3, 1, 11, tzinfo=UTC))),
    ],
)
def test_points_as_text(text: str, point: Point) -> None:
    assert Point.parse(text) == point


@pytest.mark.parametrize("text", ["", "seq:", "seq:-1", "before:", "yesterday", "seq:1.5"])
def test_what_is_no_point_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is no point in time"):
        Point.parse(text)
