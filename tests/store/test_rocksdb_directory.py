"""What is in the directory of the store rocksdb, and what is said when it is damaged."""

import os
import sys
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from kstate.errors import ConfigError, StoreCorrupt, StoreError
from kstate.store.rocksdb import RocksDBStore
from kstate.testing.store_children import TOPIC, checkpoint_at

NAME = f"{TOPIC}-0.rocksdb"


def fill(directory: Path, count: int = 500) -> dict[bytes, bytes]:
    snapshots = {b"acct-%d" % n: os.urandom(1000) for n in range(count)}
    partition = RocksDBStore(directory).open(TOPIC, 0)
    partition.apply(snapshots, checkpoint_at(1))
    partition.close()
    return snapshots


def put(directory: Path, key: bytes, value: bytes) -> None:
    db = Rdict(str(directory / NAME), Options(raw_mode=True))
    db.put(key, value)
    db.close()


def test_without_the_package_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    with pytest.raises(ConfigError, match=r"pip install 'kstate\[rocksdb\]'"):
        RocksDBStore(tmp_path)


def test_the_database_holds_the_bytes_themselves(tmp_path):
    snapshots = fill(tmp_path)
    db = Rdict(str(tmp_path / NAME), Options(raw_mode=True))
    assert {key[1:]: value for key, value in db.items() if key[:1] == b"k"} == snapshots
    db.close()


class CountingWrites:
    """A database that counts what reaches its log as a unit of its own."""

    def __init__(self, db: Rdict) -> None:
        self._db = db
        self.writes = 0

    def __getattr__(self, name: str) -> object:
        self.writes += name in ("write", "put", "delete", "delete_range")
        return getattr(self._db, name)


def test_a_change_and_its_checkpoint_are_one_batch(tmp_path):
    # A kill would have to fall within a microsecond to tell two batches from one.
    partition = RocksDBStore(tmp_path).open(TOPIC, 0)
    partition._db = db = CountingWrites(partition._db)
    partition.apply({b"a": b"1", b"b": b"2", b"c": None}, checkpoint_at(1))
    assert db.writes == 1
    partition.clear()
    assert db.writes == 2
    partition.close()


def test_a_database_of_another_program_is_refused(tmp_path):
    foreign = Rdict(str(tmp_path / NAME))
    foreign["acct-1"] = {"a": "pickled dict"}
    foreign.close()
    with pytest.raises(StoreCorrupt, match="another program"):
        RocksDBStore(tmp_path).open(TOPIC, 0)


def test_a_newer_format_is_refused_but_not_called_damaged(tmp_path):
    fill(tmp_path)
    put(tmp_path, b"\x00format", b"2")
    with pytest.raises(StoreError, match="written by a newer kstate") as caught:
        RocksDBStore(tmp_path).open(TOPIC, 0)
    assert not isinstance(caught.value, StoreCorrupt)


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"\x00format", b"one"), (b"\x00format", b"0"), (b"\x00checkpoint", b"\x00")],
)
def test_unreadable_notes_are_damage(tmp_path, key, value):
    fill(tmp_path)
    put(tmp_path, key, value)
    with pytest.raises(StoreCorrupt):
        RocksDBStore(tmp_path).open(TOPIC, 0)


def test_snapshots_without_a_checkpoint_are_damage(tmp_path):
    fill(tmp_path)
    db = Rdict(str(tmp_path / NAME), Options(raw_mode=True))
    db.delete(b"\x00checkpoint")
    db.close()
    with pytest.raises(StoreCorrupt, match="no checkpoint"):
        RocksDBStore(tmp_path).open(TOPIC, 0)


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*", "*.sst"])
def test_a_missing_file_is_damage(tmp_path, pattern):
    fill(tmp_path)
    for path in (tmp_path / NAME).glob(pattern):
        path.unlink()
    with pytest.raises(StoreCorrupt):
        RocksDBStore(tmp_path).open(TOPIC, 0)


def test_a_damaged_block_is_an_error_never_a_missing_snapshot(tmp_path):
    snapshots = fill(tmp_path)
    table = max((tmp_path / NAME).glob("*.sst"), key=lambda path: path.stat().st_size)
    content = bytearray(table.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = os.urandom(50)
    table.write_bytes(content)
    partition = RocksDBStore(tmp_path).open(TOPIC, 0)
    with pytest.raises(StoreCorrupt):
        list(partition.items())
    with pytest.raises(StoreCorrupt):
        partition.count()
    refused = 0
    for key, value in snapshots.items():
        try:
            assert partition.get(key) == value
        except StoreCorrupt:
            refused += 1
    assert refused
    partition.close()


def test_a_file_in_place_of_the_directory_is_damage_that_destroy_cures(tmp_path):
    (tmp_path / NAME).write_bytes(b"not a directory")
    store = RocksDBStore(tmp_path)
    with pytest.raises(StoreCorrupt):
        store.open(TOPIC, 0)
    store.destroy(TOPIC, 0)
    store.open(TOPIC, 0).close()


def test_what_an_interrupted_destroy_left_does_not_matter(tmp_path):
    fill(tmp_path)
    (tmp_path / (NAME + ".deleted")).mkdir()
    (tmp_path / (NAME + ".deleted") / "000001.sst").write_bytes(b"x")
    RocksDBStore(tmp_path).destroy(TOPIC, 0)
    assert [path.name for path in tmp_path.iterdir()] == [NAME + ".lock"]


def test_a_store_says_whether_it_is_open(tmp_path):
    partition = RocksDBStore(tmp_path).open(TOPIC, 0)
    assert repr(partition).endswith(": open>")
    partition.close()
    assert repr(partition).endswith(": closed>")
