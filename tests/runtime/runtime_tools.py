"""Hands that reach into the embedded log's file and into a worker's local store."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from counter import Add, Counter
from world import World

from kstate.core.messages import Progress
from kstate.log.embedded import EmbeddedLog
from kstate.log.embedded_file import OFFSET_BITS
from kstate.log.port import Committed, TopicSpec
from kstate.store.port import PartitionStore
from kstate.store.sqlitedict import SqliteDictStore
from kstate.wiring import open_log


def add(world: World, count: int, ids: int = 3) -> None:
    """So many events, on so many persist ids in turn; waits until all are committed."""
    for number in range(count):
        world.client.cast(Counter, f"id-{number % ids}", Add(1))
    world.client.flush()
    world.until(lambda: caught_up(world), f"{count} commands were processed")


def caught_up(world: World) -> bool:
    """Whether every command is processed."""
    topics = world.topics(Counter)
    log = open_log(world.url)
    try:
        progress = log.progress(topics.group, topics.commands)
        ends = log.ends(topics.commands)
    finally:
        log.close()
    return all(
        (progress[partition].offset if partition in progress else 0) >= end.end
        for partition, end in ends.items()
    )


def total(world: World, count: int, ids: int = 3) -> None:
    """Checks the states that `add` leaves."""
    assert sum(world.state(Counter, f"id-{number}").total for number in range(ids)) == count


def progress(world: World) -> Progress:
    """What the group has committed for partition 0."""
    topics = world.topics(Counter)
    log = open_log(world.url)
    try:
        committed: Committed = log.progress(topics.group, topics.commands)[0]
    finally:
        log.close()
    parsed = Progress.parse(*committed)
    assert parsed is not None
    return parsed[0]


def tail(world: World) -> int:
    """How many journal records lie at or past the low-water mark."""
    low_water = progress(world).low_water
    return sum(1 for record in world.journal(Counter) if record.offset >= low_water)


def noted(world: World) -> None:
    """Waits until the progress of partition 0 is noted in the snapshots topic."""

    def is_noted() -> bool:
        notes = [Progress.parse_note(each.value or b"") for each in world.checkpoints(Counter)]
        return bool(notes) and notes[-1] is not None and notes[-1].offset == progress(world).offset

    world.until(is_noted, "the progress was noted")


def execute(world: World, statement: str, *values: Any) -> int:
    """Changes the log's file behind everybody's back; how many rows."""
    path = world.url.removeprefix("sqlite:").partition("?")[0]
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        return connection.execute(statement, values).rowcount


def forget_progress(world: World) -> None:
    """The group's offsets are gone, as after a week of idleness."""
    group = world.topics(Counter).group
    assert execute(world, "DELETE FROM progress WHERE grp=?", group)


def expire_commands(world: World, start: int) -> None:
    """Retention deletes the commands of partition 0 below ``start``."""
    topic = world.topics(Counter).commands
    slot = "(SELECT slot FROM topics WHERE name=?)"
    execute(
        world,
        f"DELETE FROM records WHERE id>=({slot}<<{OFFSET_BITS}) AND id<({slot}<<{OFFSET_BITS})+?",
        topic,
        topic,
        start,
    )
    assert execute(world, f"UPDATE partitions SET start=? WHERE slot={slot}", start, topic) == 1


def recreate(world: World, topic: str, partitions: int, cleanup: Any) -> None:
    """Deletes a topic and creates it anew."""
    log = EmbeddedLog.from_url(world.url)
    try:
        log.delete_topic(topic)
        log.create_topics([TopicSpec(topic, partitions, cleanup)])
    finally:
        log.close()


@contextmanager
def store_of(world: World) -> Iterator[PartitionStore]:
    """The local store of partition 0, while no worker runs."""
    store = SqliteDictStore(_store_directory(world))
    partition = store.open(world.topics(Counter).snapshots, 0)
    try:
        yield partition
    finally:
        partition.close()


def store_files(world: World) -> list[Path]:
    """The files of the local store that hold something."""
    files = [path for path in _store_directory(world).rglob("*") if path.is_file()]
    return [path for path in files if path.stat().st_size]


def _store_directory(world: World) -> Path:
    return world.data / world.topics(Counter).group / "0" / "store"


class Takeover:
    """What the newest line "is ready" tells of a recovery."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.line = [m for m in caplog.messages if " is ready after " in m][-1]
        found = re.search(r"(\d+) records read, (\d+) entities in memory", self.line)
        assert found is not None
        self.records_read = int(found[1])
        self.in_memory = int(found[2])
