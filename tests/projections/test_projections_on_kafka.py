"""What is Kafka's own: partitions shared out among processes, markers of transactions, seats."""

from __future__ import annotations

import pytest
from stage import Stage
from tally import Added, Put, Sums, Tally, sums
from world import World

from kstate import EventHandler, StoredEvent, handles
from kstate.projection.control import reset

NAMES = [f"n{number}" for number in range(12)]


@pytest.fixture
def url(bootstrap: str) -> str:
    return f"kafka://{bootstrap}"


@pytest.fixture
def database(postgres_url: str) -> str:
    """As many processes as these want a server."""
    return postgres_url


class Outside(EventHandler):
    name = "outside"
    source = Tally
    seen: list[tuple[str, int]] = []  # noqa: RUF012 - only ever added to

    @handles
    def added(self, stored: StoredEvent, event: Added) -> None:
        Outside.seen.append((stored.persist_id, stored.seq))


def put(world: World, amount: int) -> None:
    for name in NAMES:
        world.cast(Tally, name, Put(amount))
    world.settled(Tally)


def test_two_processes_share_the_partitions_and_each_event_counts_once(
    world: World, stage: Stage
) -> None:
    world.run(Tally, partitions=4)
    put(world, 1)
    first = stage.run(Sums)
    stage.caught_up(Sums)
    stage.run(Sums)

    def shared() -> bool:
        return len({each.owner for each in stage.status(Sums).partitions}) == 2

    world.until(shared, "both have partitions")
    put(world, 2)
    stage.caught_up(Sums)
    stage.stop(first)
    put(world, 3)
    stage.caught_up(Sums)
    assert stage.rows(sums) == sorted((name, 6, 3) for name in NAMES)


def test_the_markers_of_transactions_leave_no_lag(world: World, stage: Stage) -> None:
    world.run(Tally, partitions=1)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    (partition,) = stage.status(Sums).partitions
    assert partition.offset == partition.end == 2  # the event, and the end of its transaction


def test_a_rebuild_comes_to_the_end_behind_markers(world: World, stage: Stage) -> None:
    world.run(Tally, partitions=2)
    put(world, 1)
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rebuild(Sums)
    put(world, 2)
    stage.caught_up(Sums)
    assert stage.rows(sums) == sorted((name, 3, 2) for name in NAMES)


def test_a_reset_begins_anew(world: World, stage: Stage) -> None:
    world.run(Tally, partitions=2)
    put(world, 1)
    running = stage.run(Sums)
    stage.caught_up(Sums)
    stage.stop(running)
    site = stage.site(Sums)
    journal = world.topics(Tally).journal
    world.until(lambda: not site.log.owners(site.group, journal), "the group forgot it")
    reset(site)
    assert stage.rows(sums) == []
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == sorted((name, 1, 1) for name in NAMES)


def test_a_handler_goes_on_where_its_group_is(world: World, stage: Stage) -> None:
    world.run(Tally, partitions=2)
    put(world, 1)
    running = stage.handle(Outside)
    world.until(lambda: len(Outside.seen) == len(NAMES), "all were handled")
    stage.stop(running)
    put(world, 2)
    stage.handle(Outside)
    world.until(lambda: len(Outside.seen) >= 2 * len(NAMES), "the later ones were handled")
    assert sorted(Outside.seen) == sorted((name, seq) for name in NAMES for seq in (1, 2))
