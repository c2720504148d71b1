"""What is in the file of the store sqlitedict, and what is said when it is damaged."""

import os
import pickle
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlitedict

from kstate.errors import StoreCorrupt, StoreError
from kstate.store.sqlitedict import SqliteDictStore
from kstate.testing.store_children import TOPIC, checkpoint_at

FILE = f"{TOPIC}-0.sqlite"


def fill(directory: Path, count: int = 100, size: int = 100) -> dict[bytes, bytes]:
    snapshots = {b"acct-%d" % n: os.urandom(size) for n in range(count)}
    partition = SqliteDictStore(directory).open(TOPIC, 0)
    partition.apply(snapshots, checkpoint_at(1))
    partition.close()
    return snapshots


def execute(directory: Path, statement: str, *arguments: object) -> list[tuple]:
    with closing(sqlite3.connect(directory / FILE, isolation_level=None)) as connection:
        return connection.execute(statement, arguments).fetchall()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("pickle was used")

    monkeypatch.setattr(sqlitedict, "dumps", refuse)
    monkeypatch.setattr(sqlitedict, "loads", refuse)
    snapshots = fill(tmp_path)
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert dict(partition.items()) == snapshots
    partition.close()


def test_the_file_holds_the_bytes_themselves_after_a_checksum(tmp_path):
    snapshots = fill(tmp_path)
    rows = execute(tmp_path, "SELECT key, value FROM snapshots")
    assert {key: value[4:] for key, value in rows} == snapshots


def test_a_file_that_sqlitedict_pickled_is_refused_unread(tmp_path):
    with sqlitedict.SqliteDict(str(tmp_path / FILE), tablename="snapshots") as foreign:
        foreign["acct-1"] = Bomb(tmp_path / "exploded")
        foreign.commit()
    with pytest.raises(StoreCorrupt, match="another program"):
        SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_in_place_of_a_snapshot_is_refused_unread(tmp_path):
    fill(tmp_path)
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    execute(tmp_path, "UPDATE snapshots SET value = ? WHERE key = ?", bomb, b"acct-1")
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    with pytest.raises(StoreCorrupt, match="checksum"):
        partition.get(b"acct-1")
    with pytest.raises(StoreCorrupt, match="checksum"):
        list(partition.items())
    partition.close()
    assert not (tmp_path / "exploded").exists()


def test_a_newer_format_is_refused_but_not_called_damaged(tmp_path):
    fill(tmp_path)
    execute(tmp_path, "PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="written by a newer kstate") as caught:
        SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert not isinstance(caught.value, StoreCorrupt)
    assert execute(tmp_path, "SELECT COUNT(*) FROM snapshots") == [(100,)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE checkpoint SET value = x'00'",
        "UPDATE checkpoint SET value = 'text'",
        "DELETE FROM checkpoint",
        "DROP TABLE checkpoint",
        "DROP TABLE snapshots",
        "PRAGMA user_version = 0",
    ],
)
def test_a_store_without_a_readable_part_of_it_is_damaged(tmp_path, damage):
    fill(tmp_path)
    execute(tmp_path, damage)
    with pytest.raises(StoreCorrupt):
        SqliteDictStore(tmp_path).open(TOPIC, 0)


def test_a_flipped_byte_is_damage_or_harmless(tmp_path):
    snapshots = fill(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    refused = 0
    for position in range(100, len(whole), 61):
        flipped = bytearray(whole)
        flipped[position] ^= 0x55
        (tmp_path / FILE).write_bytes(flipped)
        try:
            partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
        except StoreCorrupt:
            refused += 1
            continue
        for key, value in snapshots.items():
            try:
                assert partition.get(key) == value
            except StoreCorrupt:
                refused += 1
        partition.close()
    assert refused > 20


def test_a_directory_in_place_of_the_file_is_damage_that_destroy_cures(tmp_path):
    (tmp_path / FILE / "inner").mkdir(parents=True)
    store = SqliteDictStore(tmp_path)
    with pytest.raises(StoreCorrupt):
        store.open(TOPIC, 0)
    store.destroy(TOPIC, 0)
    store.open(TOPIC, 0).close()


def test_a_creation_that_was_cut_short_is_begun_anew(tmp_path):
    (tmp_path / FILE).touch()
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert partition.checkpoint() is None
    partition.close()


def limit_pages(partition, more: int) -> None:
    """Fills the disk, as SQLite sees it, for the connection that writes."""
    connection = partition._writer.conn
    pages = connection.select_one("PRAGMA page_count")[0]
    connection.select_one(f"PRAGMA max_page_count = {pages + more}")


def test_a_full_disk_in_the_middle_of_a_change_leaves_none_of_it(tmp_path):
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    partition.apply({b"old": b"1"}, checkpoint_at(1))
    limit_pages(partition, more=8)
    # The large one fails; sqlitedict goes on with those behind it, which would fit.
    changes = {b"a": b"2", b"large": bytes(100_000), b"b": b"3", b"old": None}
    with pytest.raises(StoreError, match="no room"):
        partition.apply(changes, checkpoint_at(2))
    assert dict(partition.items()) == {b"old": b"1"}
    assert partition.checkpoint() == checkpoint_at(1)
    partition.close()
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert dict(partition.items()) == {b"old": b"1"}
    assert partition.checkpoint() == checkpoint_at(1)
    partition.close()


def test_after_a_full_disk_the_next_change_goes_through(tmp_path):
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    partition.apply({b"old": b"1"}, checkpoint_at(1))
    limit_pages(partition, more=1)
    with pytest.raises(StoreError, match="no room"):
        # What is queued behind the large one must not come along with the next change.
        partition.apply({b"large": bytes(100_000), b"behind": b"3"}, checkpoint_at(2))
    partition.apply({b"new": b"2"}, checkpoint_at(3))
    assert dict(partition.items()) == {b"old": b"1", b"new": b"2"}
    partition.close()


def test_a_value_of_another_type_is_refused_whole(tmp_path):
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    with pytest.raises(TypeError):
        partition.apply({b"a": b"1", b"b": "text"}, checkpoint_at(1))
    assert partition.count() == 0
    partition.apply({b"c": b"2"}, checkpoint_at(2))
    assert dict(partition.items()) == {b"c": b"2"}
    partition.close()


def test_closing_ends_the_thread_of_sqlitedict_and_leaves_one_file(tmp_path):
    before = threading.enumerate()
    fill(tmp_path)
    assert threading.enumerate() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, FILE + ".lock"]


def test_a_failed_opening_leaves_neither_thread_nor_lock(tmp_path):
    before = threading.enumerate()
    (tmp_path / FILE).write_bytes(os.urandom(5000))
    for _ in range(2):
        with pytest.raises(StoreCorrupt):
            SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert threading.enumerate() == before


def test_a_power_cut_cannot_destroy_the_file(tmp_path):
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert partition._writer.conn.select_one("PRAGMA synchronous") == (1,)  # NORMAL
    assert partition._writer.conn.select_one("PRAGMA journal_mode") == ("wal",)
    partition.close()


def test_a_store_says_whether_it_is_open(tmp_path):
    partition = SqliteDictStore(tmp_path).open(TOPIC, 0)
    assert repr(partition).endswith(": open>")
    partition.close()
    assert repr(partition).endswith(": closed>")
