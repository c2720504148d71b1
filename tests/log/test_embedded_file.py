"""The embedded log's file: its URL, and everything that can be wrong with it."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kstate.core.messages import Write
from kstate.errors import (
    ConfigError,
    EncodeError,
    LogError,
    LogUnavailable,
    TopicError,
    TransactionAborted,
)
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Committed, TopicSpec
from kstate.testing.log_world import World, write


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(lambda: EmbeddedLog(tmp_path / "log.db", busy_timeout_s=0.2), 20.0)
    yield world
    world.close()


# -- URLs --------------------------------------------------------------------------------------


def test_a_url_names_a_file_and_its_options(tmp_path: Path) -> None:
    log = EmbeddedLog.from_url(f"sqlite:{tmp_path}/a%20b.db?sync=normal&max_record_bytes=100")
    log.close()
    assert (tmp_path / "a b.db").exists()
    assert log.max_record_bytes == 100
    assert log.url == f"sqlite:{tmp_path}/a%20b.db"


def test_a_relative_path_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    EmbeddedLog.from_url("sqlite:bank.db").close()
    assert (tmp_path / "bank.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite:?sync=full",
        "sqlite::memory:",
        "sqlite://bank.db",
        "kafka://localhost",
        "sqlite:bank.db?sink=full",
        "sqlite:bank.db?sync=off",
        "sqlite:bank.db?lease_s=long",
        "sqlite:bank.db?lease_s=0",
        "sqlite:bank.db?max_record_bytes=0",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        EmbeddedLog.from_url(url)
    assert list(tmp_path.iterdir()) == []


# -- files that are no log ---------------------------------------------------------------------


def test_a_log_of_a_newer_format_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    EmbeddedLog(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value=2 WHERE name='format'")
    connection.commit()
    connection.close()
    with pytest.raises(LogError, match=r"format 2.*use the kstate version that wrote it"):
        EmbeddedLog(path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(LogError, match="damaged or no log"):
        EmbeddedLog(path)
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    with pytest.raises(LogError, match="another program"):
        EmbeddedLog(path)


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="check that its directory exists"):
        EmbeddedLog(tmp_path / "missing" / "log.db")


def test_damage_inside_the_file_is_told_as_an_error_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    log.create_topics([TopicSpec("t", 1, "delete")])
    producer = log.producer()
    for _ in range(1000):
        producer.send(write("t", 0, bytes(1000)))
    producer.close()
    log.close()
    damaged = bytearray(path.read_bytes())
    damaged[65536:200_000] = b"\xff" * (200_000 - 65536)
    path.write_bytes(damaged)

    def read_everything() -> None:
        log = EmbeddedLog(path)
        reader = log.reader()
        try:
            reader.assign("t", {0: 0})
            reader.poll(1000, 0)
        finally:
            reader.close()
            log.close()

    with pytest.raises(LogError, match="damaged"):
        read_everything()


# -- full disks and locks ----------------------------------------------------------------------


def test_a_full_disk_aborts_the_transaction_and_space_lets_it_through(world: World) -> None:
    commands, journal = world.topic(), world.topic()
    seat = world.owner(world.group(), commands)
    connection = seat.member._database._connection  # type: ignore[attr-defined]
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 10}")
    big = [write(journal, 0, bytes(10_000)) for _ in range(20)]
    with pytest.raises(TransactionAborted, match="no space is left"):
        seat.member.commit(big, {0: Committed(1, "")})
    assert world.values(journal) == []
    assert seat.member.committed(0) is None
    connection.execute("PRAGMA max_page_count=1000000")
    seat.member.commit(big, {0: Committed(1, "")})
    assert len(world.values(journal)) == 20


def test_a_log_locked_by_another_process_is_waited_for_and_then_told(
    world: World, tmp_path: Path
) -> None:
    commands, journal = world.topic(), world.topic()
    seat = world.owner(world.group(), commands)
    blocker = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransactionAborted, match="locked"):
        seat.member.commit([write(journal, 0, b"v")], {0: Committed(1, "")})
    with pytest.raises(LogUnavailable):
        world.log.create_topics([TopicSpec("t", 1, "delete")])
    producer = world.producer()
    producer.send(write(journal, 0, b"lost"))
    with pytest.raises(LogUnavailable):
        producer.flush(0.1)
    assert world.values(journal) == []  # readers do not wait for writers
    blocker.execute("ROLLBACK")
    blocker.close()
    seat.member.commit([write(journal, 0, b"v")], {0: Committed(1, "")})
    producer.flush(1.0)
    assert world.values(journal) == [b"v"]  # what flush had raised for was not stored later


def test_the_write_ahead_log_does_not_grow_with_what_is_written(
    world: World, tmp_path: Path
) -> None:
    commands, journal = world.topic(), world.topic()
    seat = world.owner(world.group(), commands)
    reader = world.reader()
    reader.assign(journal, {0: 0})
    for n in range(80):
        seat.member.commit([write(journal, 0, bytes(1_000_000))], {0: Committed(n, "")})
        reader.poll(10, 0)
    assert (tmp_path / "log.db-wal").stat().st_size < 40_000_000


# -- topics and values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        TopicSpec("", 1, "delete"),
        TopicSpec("a/b", 1, "delete"),
        TopicSpec("a" * 250, 1, "delete"),
        TopicSpec("t", 0, "delete"),
        TopicSpec("t", 10_001, "delete"),
        TopicSpec("t", 1, "shred"),  # type: ignore[arg-type]
    ],
)
def test_an_impossible_topic_is_refused_and_its_neighbours_are_not_created(
    world: World, spec: TopicSpec
) -> None:
    with pytest.raises(TopicError):
        world.log.create_topics([TopicSpec("good", 1, "delete"), spec])
    assert world.log.topics() == {}


def test_odd_timestamps_are_only_numbers(world: World) -> None:
    topic = world.topic()
    times = [-1, 0, 253_402_300_799_000, 2**63 - 1]
    world.produce([write(topic, 0, b"v", timestamp=time) for time in times])
    assert [record.timestamp for record in world.read(topic)] == times


def test_a_timestamp_beyond_64_bits_is_refused_and_nothing_written(world: World) -> None:
    commands, journal = world.topic(), world.topic()
    seat = world.owner(world.group(), commands)
    writes = [write(journal, 0, b"v"), write(journal, 0, b"v", timestamp=2**63)]
    with pytest.raises(EncodeError):
        seat.member.commit(writes, {0: Committed(1, "")})
    with pytest.raises(EncodeError):
        world.producer().send(writes[1])
    assert world.values(journal) == []


def test_names_are_data_and_no_sql_or_paths(world: World, tmp_path: Path) -> None:
    topic = world.topic()
    for group in ("../../etc/passwd", "'; DROP TABLE records;--", "A", "a", "é", "e\u0301"):
        seat = world.owner(group, topic, group)
        seat.member.commit([], {0: Committed(1, group)})
        assert world.log.progress(group, topic) == {0: Committed(1, group)}
    assert {path.parent for path in tmp_path.rglob("*")} == {tmp_path}


def test_a_copy_of_a_closed_log_is_the_same_log(world: World, tmp_path: Path) -> None:
    topic = world.topic()
    world.produce([write(topic, 0, b"v")])
    world.close()
    shutil.copy(tmp_path / "log.db", tmp_path / "copy.db")
    copy = World(lambda: EmbeddedLog(tmp_path / "copy.db"), 20.0)
    assert copy.values(topic) == [b"v"]
    copy.close()


def test_a_large_poll_is_cut_by_bytes_and_loses_nothing(world: World) -> None:
    topic = world.topic()
    world.produce([Write(topic, 0, b"%d" % n, bytes(1_000_000), [], 0) for n in range(70)])
    reader = world.reader()
    reader.assign(topic, {0: 0})
    sizes = []
    while sum(sizes) < 70:
        sizes.append(len(reader.poll(1000, 5.0).records))
    assert sum(sizes) == 70
    assert max(sizes) < 40
