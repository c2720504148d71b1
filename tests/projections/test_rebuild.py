"""A rebuild fills tables beside the live ones and swaps them, while the live ones go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faults import Killed
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, inspect
from stage import Stage
from tally import Added, Put, Sums, Tally, sums
from world import World

from kstate import Projection, ProjectionStopped, Rows, StoredEvent, projects
from kstate.projection import ledger
from kstate.projection.rebuild import Rebuild
from kstate.projection.waiting import seen_source

metadata = MetaData()
counts = Table(
    "sums",
    metadata,
    Column("persist_id", String(512), primary_key=True),
    Column("biggest", Integer, nullable=False, index=True),
)


class Biggest(Projection):
    """The same tables' names, with other columns and other handlers."""

    name = "sums"
    source = Tally
    metadata = metadata
    version = 2

    @projects
    def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
        key = counts.c.persist_id == stored.persist_id
        known = rows.scalar(counts.select().with_only_columns(counts.c.biggest).where(key))
        rows.upsert(
            counts,
            {"persist_id": stored.persist_id, "biggest": max(known or 0, event.amount)},
        )


def places(stage: Stage) -> list[str]:
    """What is left of rebuilds, beside the live tables."""
    if stage.database.startswith("sqlite"):
        file = Path(stage.database.removeprefix("sqlite:///"))
        return sorted(each.name for each in file.parent.glob(f"{file.name}.rebuild-*"))
    engine = create_engine(stage.database)
    try:
        names = inspect(engine).get_schema_names()
    finally:
        engine.dispose()
    return [each for each in names if each.startswith("kstate_rebuild_")]


def test_a_rebuild_mends_rows_that_are_wrong(world: World, stage: Stage) -> None:
    world.run(Tally)
    for name in "abc":
        world.call(Tally, name, Put(2, times=3))
    stage.stop(stage.run(Sums))
    site = stage.site(Sums)
    site.ready()
    with site.database.transaction() as connection:
        connection.execute(sums.delete())
        connection.execute(sums.insert(), {"persist_id": "ghost", "total": 1, "events": 1})
    assert stage.rebuild(Sums)
    assert stage.rows(sums) == [(name, 6, 3) for name in "abc"]
    assert not places(stage)


def test_a_running_projection_goes_on_behind_the_swap(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)
    for amount in (2, 3):
        assert stage.rebuild(Sums)
        world.call(Tally, "a", Put(amount))
        stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 6, 3)]


def test_the_swap_brings_other_tables_and_the_version_of_the_code(
    world: World, stage: Stage
) -> None:
    world.run(Tally)
    for amount in (1, 5, 3):
        world.call(Tally, "a", Put(amount))
    old = stage.run(Sums)
    stage.caught_up(Sums)
    assert stage.rebuild(Biggest)
    assert "are of version 2, this code is version 1" in str(stage.failure(old))
    assert stage.rows(counts) == [("a", 5)]
    stage.run(Biggest)
    world.call(Tally, "a", Put(9))
    stage.caught_up(Biggest)
    assert stage.rows(counts) == [("a", 9)]


def test_indexes_have_their_names_after_the_swap(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    for _ in range(2):
        assert stage.rebuild(Sums)
    engine = create_engine(stage.database)
    try:
        names = {each["name"] for each in inspect(engine).get_indexes("sums")}
    finally:
        engine.dispose()
    assert names == {"ix_sums_total"}


def test_an_interrupted_rebuild_goes_on_where_it_was(world: World, stage: Stage) -> None:
    seen: list[int] = []

    class Dying(Sums):
        deaths = 1

        @projects
        def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
            if event.amount == 4 and Dying.deaths:
                Dying.deaths = 0
                raise Killed
            seen.append(event.amount)
            super().added(rows, stored, event)

    world.run(Tally, partitions=1)
    for amount in range(1, 7):
        world.call(Tally, "a", Put(amount))
    with pytest.raises(Killed):
        Rebuild(stage.site(Dying, batch_records=1)).run()
    assert stage.status(Sums).rebuilding
    assert len({each.partition(".rebuild")[2][:13] for each in places(stage)}) == 1
    assert Rebuild(stage.site(Dying, batch_records=1)).run()
    assert stage.rows(sums) == [("a", 21, 6)]
    assert seen == [1, 2, 3, 4, 5, 6]
    assert not stage.status(Sums).rebuilding
    assert not places(stage)


def test_a_rebuild_of_older_code_is_not_gone_on_with(world: World, stage: Stage) -> None:
    Sums.bad.add(2)

    class Strict(Sums):
        on_error = "stop"

    world.run(Tally)
    world.call(Tally, "a", Put(1))
    world.call(Tally, "a", Put(2))
    with pytest.raises(ProjectionStopped, match="2 is bad"):
        stage.rebuild(Strict)
    assert stage.rebuild(Biggest)
    assert stage.rows(counts) == [("a", 2)]
    assert not places(stage)


def test_an_event_that_fails_leaves_the_live_tables_as_they_are(world: World, stage: Stage) -> None:
    world.run(Tally)
    world.call(Tally, "a", Put(1))
    stage.run(Sums)
    stage.caught_up(Sums)

    class Strict(Sums):
        on_error = "stop"

        @projects
        def added(self, rows: Rows, stored: StoredEvent, event: Added) -> None:
            raise ValueError("no")

    with pytest.raises(ProjectionStopped):
        stage.rebuild(Strict)
    world.call(Tally, "a", Put(2))
    stage.caught_up(Sums)
    assert stage.rows(sums) == [("a", 3, 2)]


def test_rows_do_not_go_back_in_time(
    world: World, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that come, and are seen by the live tables, after the shadow was full, are in the new
    tables from their first moment: what a `wait_for` was answered stays true."""
    world.run(Tally, partitions=1)
    world.call(Tally, "a", Put(1))
    live = stage.run(Sums)
    stage.caught_up(Sums)
    rebuild = Rebuild(stage.site(Sums))
    swap = rebuild._swap
    database = stage.site(Sums).database
    before: list[int] = []

    def late() -> None:
        world.call(Tally, "a", Put(2))
        world.call(Tally, "b", Put(3))
        stage.caught_up(Sums)
        before.append(seen_source(database, "sums", 0))
        stage.stop(live)
        swap()

    monkeypatch.setattr(rebuild, "_swap", late)
    assert rebuild.run()
    assert seen_source(database, "sums", 0) == before[0] == 2
    assert stage.rows(sums) == [("a", 3, 2), ("b", 3, 1)]


def test_a_process_of_an_older_life_is_fenced_by_the_swap(world: World, stage: Stage) -> None:
    world.run(Tally, partitions=1)
    world.call(Tally, "a", Put(1))
    site = stage.site(Sums)
    site.ready()
    with site.database.transaction() as connection:
        hold = ledger.claim(connection, "sums", 0, "old")
    assert stage.rebuild(Sums)
    with site.database.transaction() as connection:
        found: Any = ledger.lock_all(connection, "sums")[0]
    assert found.epoch > hold.epoch
    assert found.offset > hold.offset
