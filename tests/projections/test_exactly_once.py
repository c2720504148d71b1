"""Rows and offsets commit together: each event is in the rows once, whatever happens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from faults import Killed
from stage import Stage
from tally import Added, Clear, Forward, Mark, Put, Sums, Tally, add, sums
from world import World

from kstate import Rows, StoredEvent, projects
from kstate.errors import PartitionLost
from kstate.projection import ledger
from kstate.projection.applying import Applier, Work


def test_events_become_rows(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(2, times=3))
    world.call(Tally, "b", Put(5))
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 6, 3), ("b", 5, 1)]


def test_what_comes_later_is_added(world: World, stage: Stage) -> None:
    world.run(Tally)
    stage.run(Sums)
    for amount in range(1, 6):
        world.call(Tally, "a", Put(amount))
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 15, 5)]


def test_a_deleted_entity_has_a_handler_of_its_own(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(2))
    world.call(Tally, "b", Put(3))
    world.call(Tally, "a", Clear())
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("b", 3, 1)]


def test_internal_events_and_those_without_a_handler_are_passed_over(
    world: World, stage: Stage
) -> None:
    world.run(Tally)
    world.call(Tally, "a", Mark())
    world.call(Tally, "a", Forward("b", 4))
    world.until(lambda: world.state(Tally, "b").total == 4, "the sent command ran")
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("b", 4, 1)]


def test_a_process_that_was_stopped_goes_on_where_it_was(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    stage.stop(stage.run(Sums))
    world.call(Tally, "a", Put(2))
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 3, 2)]


def test_a_process_that_dies_inside_a_batch_leaves_nothing_of_it(
    world: World, stage: Stage
) -> None:
    class Dying(Sums):
        left = 3

        @projects
        def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
            add(rows, stored, event.amount)
            Dying.left -= 1
            if not Dying.left:
                raise Killed

    world.run(Tally)
    world.call(Tally, "a", Put(2, times=5))
    assert isinstance(stage.failure(stage.run(Dying)), Killed)
    assert stage.rows(sums) == []
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 10, 5)]


def test_a_process_that_dies_where_it_would_move_the_offsets_leaves_no_rows(
    world: World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    world.run(Tally)
    world.call(Tally, "a", Put(2, times=5))
    with monkeypatch.context() as patched:
        patched.setattr("kstate.projection.ledger.advance", die)
        assert isinstance(stage.failure(stage.run(Sums)), Killed)
    assert stage.rows(sums) == []
    stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 10, 5)]


def test_a_batch_may_be_as_small_as_one_record(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(2, times=5))
    stage.run(Sums, batch_records=1)
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 10, 5)]


# -- the fence -----------------------------------------------------------------------------------


@pytest.fixture
def claimed(world: World, stage: Stage) -> Callable[[str], Callable[[], object]]:
    """``claimed("me")`` takes every partition and gives what applies all that is there."""
    world.run(Tally, partitions=1)
    world.call(Tally, "a", Put(2, times=3))
    site = stage.site(Sums)
    site.ready()
    records = world.journal(Tally)
    work = {0: Work([site.reading.take(each) for each in records], records[-1].offset + 1)}

    def claim(owner: str) -> Callable[[], object]:
        with site.database.transaction() as connection:
            holds = {0: ledger.claim(connection, "sums", 0, owner)}
        applier = Applier(site.database, site.projection, "sums")
        return lambda: applier.apply(holds, work)

    return claim


def test_a_process_that_lost_its_partition_writes_nothing(
    stage: Stage, claimed: Callable[[str], Callable[[], object]]
) -> None:
    loser = claimed("loser")
    winner = claimed("winner")
    with pytest.raises(PartitionLost, match="somebody else has taken the partitions 0"):
        loser()
    assert stage.rows(sums) == []
    winner()
    assert stage.rows(sums) == [("a", 6, 3)]


def test_a_running_process_whose_partition_was_taken_reads_its_offset_again(
    world: World, stage: Stage
) -> None:
    world.run(Tally, partitions=1)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    site = stage.site(Sums)
    with site.database.transaction() as connection:
        ledger.claim(connection, "sums", 0, "somebody else")
    world.call(Tally, "a", Put(2))
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 3, 2)]


def test_a_running_process_that_has_nothing_to_write_sees_that_it_is_to_begin_anew(
    world: World, stage: Stage
) -> None:
    world.run(Tally, partitions=1)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    with stage.site(Sums).database.transaction() as connection:
        ledger.begin_anew(connection, "sums")
        connection.execute(sums.delete())
    world.until(lambda: stage.rows(sums) == [("a", 1, 1)], "it read all again")


def test_a_projection_of_another_journal_is_refused(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    site = stage.site(Sums)
    site.ready()
    with site.database.transaction() as connection:
        ledger.note(connection, "sums", identity="another")
    error = stage.failure(stage.run(Sums))
    assert "was created anew since sums read it, or is on another log" in str(error)
