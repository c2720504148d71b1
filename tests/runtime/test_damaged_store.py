"""A local store that turns out to be damaged while it is used: it goes, and nothing is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from counter import Add, Counter
from world import World

from kstate.errors import StoreCorrupt
from kstate.store.sqlitedict import SqliteDictPartition


def with_snapshots(world: World) -> None:
    """Four entities with three events each, all in snapshots."""
    world.run(Counter, partitions=1, max_tail=1, batch_records=1)
    for _ in range(3):
        for persist_id in "abcd":
            world.call(Counter, persist_id, Add(1))
    world.stop()


def flip(world: World) -> None:
    """Changes a bit of each snapshot in the store, which its file does not notice."""
    (path,) = Path(world.data).rglob("*.sqlite")
    with sqlite3.connect(path) as connection:
        for key, value in list(connection.execute("SELECT key, value FROM snapshots")):
            damaged = bytes([*value[:-1], value[-1] ^ 1])
            connection.execute("UPDATE snapshots SET value = ? WHERE key = ?", (damaged, key))
    connection.close()


def said(caplog: pytest.LogCaptureFixture) -> int:
    return sum("is rebuilt: the snapshot store" in message for message in caplog.messages)


def test_a_snapshot_with_a_wrong_checksum_costs_a_rebuild_of_the_store(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with_snapshots(world)
    flip(world)
    world.run(Counter, partitions=1)
    assert [world.call(Counter, persist_id, Add(1)) for persist_id in "abcd"] == [4, 4, 4, 4]
    assert said(caplog) == 1


def test_commands_of_one_batch_run_once_and_in_order_around_it(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.worker.AHEAD", 1)
    with_snapshots(world)
    flip(world)
    for persist_id in "xaybx":
        world.cast(Counter, persist_id, Add(1))
    world.run(Counter, partitions=1)
    world.settled(Counter)
    assert [world.state(Counter, each).total for each in "abxy"] == [4, 4, 2, 1]
    assert said(caplog) == 1


def test_a_store_that_takes_no_snapshots_any_more_costs_a_rebuild(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter, partitions=1, max_tail=1, batch_records=1)
    original = SqliteDictPartition.apply
    failed: list[Any] = []

    def apply(self: Any, *arguments: Any) -> None:
        if not failed:
            failed.append(arguments)
            raise StoreCorrupt("the snapshot store is damaged (by this test)")
        original(self, *arguments)

    monkeypatch.setattr(SqliteDictPartition, "apply", apply)
    assert [world.call(Counter, "a", Add(1)) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert failed
    assert said(caplog) == 1
    world.restart(Counter)
    assert world.state(Counter, "a").total == 5
