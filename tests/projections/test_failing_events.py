"""An event whose handler raises: tried again, skipped, or the end; never the loss of its batch."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from stage import Stage
from tally import Added, Put, Sums, Tally, add, sums
from world import World

from kstate import ProjectionStopped, Rows, StoredEvent, projects
from kstate.core.partition import partition_for
from kstate.errors import DatabaseUnavailable
from kstate.projection.ledger import SKIPPED


class Skipping(Sums):
    on_error = "skip"


class Stopping(Sums):
    on_error = "stop"


class Patient(Sums):
    attempts = 3
    tries = 0

    @projects
    def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
        if event.amount in self.bad:
            Patient.tries += 1
        super().added(rows, stored, event)


@pytest.fixture
def bad_third(world: World, stage: Stage) -> None:
    """Five events in one partition, of which the third fails."""
    world.run(Tally, partitions=1)
    for amount in (1, 2, 1000, 4, 8):
        world.call(Tally, "a", Put(amount))
    Sums.bad.add(1000)


@pytest.mark.usefixtures("bad_third")
def test_a_skipped_event_leaves_no_trace_in_the_rows(stage: Stage) -> None:
    stage.run(Skipping)
    stage.caught_up(Skipping)
    assert stage.rows(sums) == [("a", 15, 4)]


@pytest.mark.usefixtures("bad_third")
def test_a_skipped_event_is_told_in_a_table(stage: Stage) -> None:
    stage.run(Skipping)
    stage.caught_up(Skipping)
    ((name, partition, offset, persist_id, seq, kind, error, at),) = stage.rows(SKIPPED)
    assert (name, partition, persist_id, seq, kind) == ("sums", 0, "a", 3, "Added")
    assert offset == 2
    assert error == "Added of 'a' @3, ValueError: 1000 is bad"
    assert at is not None
    assert stage.status(Skipping).skipped == 1


@pytest.mark.usefixtures("bad_third")
def test_a_stop_keeps_what_came_before_and_tells_why(stage: Stage) -> None:
    error = stage.failure(stage.run(Stopping))
    assert isinstance(error, ProjectionStopped)
    assert "at 2: Added of 'a' @3, ValueError: 1000 is bad; mend the handler" in str(error)
    assert stage.rows(sums) == [("a", 3, 2)]
    (partition,) = stage.status(Stopping).partitions
    assert (partition.offset, partition.state) == (2, "stopped")
    assert partition.error == "Added of 'a' @3, ValueError: 1000 is bad"


@pytest.mark.usefixtures("bad_third")
def test_what_was_mended_goes_on_where_it_stopped(stage: Stage) -> None:
    stage.failure(stage.run(Stopping))
    Sums.bad.clear()
    stage.run(Stopping)
    stage.caught_up(Stopping)
    assert stage.rows(sums) == [("a", 1015, 5)]
    assert stage.status(Stopping).partitions[0].error is None


@pytest.mark.usefixtures("bad_third")
def test_an_event_is_tried_so_often_and_then_stops_the_projection(stage: Stage) -> None:
    Patient.tries = 0
    error = stage.failure(stage.run(Patient))
    assert isinstance(error, ProjectionStopped)
    # the first time it failed together with its batch, and then by itself
    assert Patient.tries == Patient.attempts + 1


@pytest.mark.usefixtures("bad_third")
def test_an_event_that_succeeds_at_a_later_try_goes_into_the_rows_once(
    world: World, stage: Stage
) -> None:
    class Endless(Sums):
        attempts = 1_000_000

    stage.run(Endless)

    def failing() -> bool:
        (partition,) = stage.status(Endless).partitions
        return partition.state == "retrying" and partition.error is not None

    world.until(failing, "the event failed")
    Sums.bad.clear()
    stage.caught_up(Endless)
    assert stage.rows(sums) == [("a", 1015, 5)]


def test_a_partition_that_waits_keeps_no_other_waiting(world: World, stage: Stage) -> None:
    class Endless(Sums):
        attempts = 1_000_000

    world.run(Tally, partitions=2)
    world.call(Tally, "bad", Put(1000))
    partition = partition_for(b"bad", 2)
    other = next(each for each in "abcdefgh" if partition_for(each.encode(), 2) != partition)
    world.call(Tally, other, Put(1))
    Sums.bad.add(1000)
    stage.site(Endless).ready()
    stage.run(Endless)
    world.until(lambda: (other, 1, 1) in stage.rows(sums), "the other partition goes on")


def test_a_statement_that_the_database_refuses_is_a_failure_of_its_event(
    world: World, stage: Stage
) -> None:
    class Wrong(Skipping):
        @projects
        def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
            if event.amount == 1000:
                rows.execute(text("SELECT * FROM nowhere"))
            add(rows, stored, event.amount)

    world.run(Tally, partitions=1)
    for amount in (1, 1000, 2):
        world.call(Tally, "a", Put(amount))
    stage.run(Wrong)
    stage.caught_up(Wrong)
    assert stage.rows(sums) == [("a", 3, 2)]


def test_a_handler_that_goes_on_after_a_refused_statement_fails_alone(
    world: World, stage: Stage
) -> None:
    """PostgreSQL's transaction takes no more statements; SQLite's would, and is held alike."""

    class Careless(Skipping):
        @projects
        def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
            if event.amount == 1000:
                try:
                    rows.execute(text("SELECT * FROM nowhere"))
                except Exception:  # noqa: BLE001 - what such a handler does
                    return
            add(rows, stored, event.amount)

    world.run(Tally, partitions=1)
    for amount in (1, 1000, 2):
        world.call(Tally, "a", Put(amount))
    stage.run(Careless)
    stage.caught_up(Careless)
    assert stage.rows(sums) == [("a", 3, 2)]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_database_that_is_locked_is_waited_for(
    world: World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.projection.database.BUSY_S", 0.05)
    world.run(Tally)
    stage.run(Sums)
    stage.caught_up(Sums)
    locking = stage.site(Sums)
    with locking.database.transaction():
        world.call(Tally, "a", Put(7))
        with (
            pytest.raises(DatabaseUnavailable, match="locked"),
            stage.site(Sums).database.transaction(),
        ):
            pass
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 7, 1)]


def test_a_server_that_is_away_is_told_apart_from_a_wrong_statement(tmp_path: Path) -> None:
    from kstate.projection.database import Database

    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable, match="cannot be used now"), database.transaction():
        pass
