"""The promises of `kstate.store.port`, as tests that any store can be put through.

A store's test file is a subclass::

    class TestMyStore(StoreContract):
        def make_store(self, directory: Path) -> Store:
            return MyStore(directory)

The class must be importable by name (a test module's top level), because the tests of crashes
and of other processes create it anew in a child process.  Needs pytest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kstate.errors import ConfigError, StoreCorrupt, StoreError
from kstate.store.port import PartitionStore, Store
from kstate.testing.store_children import (
    TOPIC,
    apply_for_ever,
    checkpoint_at,
    child,
    hold_open,
    numbered_snapshots,
    run_out_of_room,
)

HOSTILE_KEYS = (
    b"../../etc/passwd",
    b"'; DROP TABLE snapshots;--",
    b"a@1",
    b"a",
    b"A",
    "é".encode(),  # composed
    "e\u0301".encode(),  # the same to the eye, decomposed
    b"\x00checkpoint",
    b"checkpoint",
    b"a\x00",
    b"a\x00b",
    b"%00",
    b"\xff\xfe not utf-8",
    b" ",
    b"1",
    b"1.0",
    b"x" * 512,
    b"",
)


class StoreContract:
    """Every promise of the port, one test each."""

    def make_store(self, directory: Path) -> Store:
        """A new store of the kind under test, with its files in the directory."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return self.make_store(tmp_path)

    @pytest.fixture
    def partition(self, store: Store) -> Iterator[PartitionStore]:
        partition = store.open(TOPIC, 0)
        yield partition
        partition.close()

    # -- reading and writing -------------------------------------------------------------------

    def test_a_new_store_is_empty(self, partition: PartitionStore) -> None:
        assert partition.checkpoint() is None
        assert partition.get(b"acct-1") is None
        assert partition.count() == 0
        assert list(partition.items()) == []

    def test_what_was_applied_can_be_read(self, partition: PartitionStore) -> None:
        partition.apply({b"a": b"1", b"b": b"2"}, checkpoint_at(7))
        assert partition.get(b"a") == b"1"
        assert dict(partition.items()) == {b"a": b"1", b"b": b"2"}
        assert partition.count() == 2
        assert partition.checkpoint() == checkpoint_at(7)

    def test_a_later_snapshot_replaces_an_earlier_one(self, partition: PartitionStore) -> None:
        partition.apply({b"a": b"1"}, checkpoint_at(1))
        partition.apply({b"a": b"2"}, checkpoint_at(2))
        assert partition.get(b"a") == b"2"
        assert partition.count() == 1
        assert partition.checkpoint() == checkpoint_at(2)

    def test_a_tombstone_hides_the_key(self, partition: PartitionStore) -> None:
        partition.apply({b"a": b"1", b"b": b"2"}, checkpoint_at(1))
        partition.apply({b"a": None, b"never there": None}, checkpoint_at(2))
        assert partition.get(b"a") is None
        assert dict(partition.items()) == {b"b": b"2"}

    def test_a_checkpoint_may_come_without_changes(self, partition: PartitionStore) -> None:
        partition.apply({b"a": b"1"}, checkpoint_at(1))
        partition.apply({}, checkpoint_at(2))
        assert partition.checkpoint() == checkpoint_at(2)
        assert partition.get(b"a") == b"1"

    def test_an_empty_snapshot_is_not_a_missing_one(self, partition: PartitionStore) -> None:
        partition.apply({b"a": b""}, checkpoint_at(1))
        assert partition.get(b"a") == b""

    def test_a_snapshot_keeps_each_of_its_bytes(self, partition: PartitionStore) -> None:
        values = {b"all": bytes(range(256)), b"large": os.urandom(3_000_000)}
        partition.apply(values, checkpoint_at(1))
        assert dict(partition.items()) == values

    def test_keys_are_told_apart_byte_for_byte(self, partition: PartitionStore) -> None:
        snapshots = {key: b"of " + key for key in HOSTILE_KEYS}
        partition.apply(snapshots, checkpoint_at(1))
        assert {key: partition.get(key) for key in HOSTILE_KEYS} == snapshots
        assert dict(partition.items()) == snapshots
        assert partition.checkpoint() == checkpoint_at(1)

    def test_keys_never_become_files(self, store: Store, tmp_path: Path) -> None:
        partition = store.open(TOPIC, 0)
        partition.apply(dict.fromkeys(HOSTILE_KEYS, b"x"), checkpoint_at(1))
        partition.close()
        names = [path.name for path in tmp_path.rglob("*")]
        assert not [name for name in names if "passwd" in name or "DROP" in name]

    def test_items_can_be_applied_to_while_they_are_read(self, partition: PartitionStore) -> None:
        before = {b"%04d" % n: b"old" for n in range(500)}
        partition.apply(before, checkpoint_at(1))
        seen = []
        for key, _ in partition.items():
            seen.append(key)
            partition.apply({key: b"new"}, checkpoint_at(2))
            assert partition.get(key) == b"new"
        assert sorted(seen) == sorted(before)

    def test_clear_forgets_everything(self, partition: PartitionStore) -> None:
        partition.apply({b"a": b"1", b"\xff\xff": b"2"}, checkpoint_at(1))
        partition.clear()
        assert partition.checkpoint() is None
        assert partition.get(b"a") is None
        assert partition.count() == 0
        partition.apply({b"b": b"3"}, checkpoint_at(2))
        assert dict(partition.items()) == {b"b": b"3"}

    # -- partitions, options, closing ----------------------------------------------------------

    @pytest.mark.parametrize(
        "other", [(TOPIC, 1), ("bank.Snapshots", 0), ("bank_snapshots", 0), (TOPIC + "-0", 0)]
    )
    def test_partitions_and_topics_are_kept_apart(
        self, store: Store, other: tuple[str, int]
    ) -> None:
        one, two = store.open(TOPIC, 0), store.open(*other)
        one.apply({b"a": b"1"}, checkpoint_at(1))
        assert two.get(b"a") is None
        assert two.checkpoint() is None
        one.close()
        two.close()

    @pytest.mark.parametrize(
        "topic", ["..", "../../escape", "/escape", ".", "a/b", "a\x00b", "ü" * 249, "t" * 249]
    )
    def test_no_topic_leaves_the_directory(self, tmp_path: Path, topic: str) -> None:
        home = tmp_path / "deep" / "home"
        partition = self.make_store(home).open(topic, 0)
        partition.apply({b"a": b"1"}, checkpoint_at(1))
        assert partition.get(b"a") == b"1"
        partition.close()
        assert {path.name for path in tmp_path.iterdir()} <= {"deep"}
        assert {path.name for path in home.parent.glob("*")} <= {"home"}

    def test_an_unknown_option_is_refused_by_name(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="flavour"):
            type(store)(tmp_path, flavour="sweet")

    def test_closing_twice_is_closing_once(self, store: Store) -> None:
        partition = store.open(TOPIC, 0)
        partition.close()
        partition.close()

    @pytest.mark.parametrize(
        "use",
        [
            lambda partition: partition.get(b"a"),
            lambda partition: partition.apply({b"a": b"1"}, checkpoint_at(1)),
            lambda partition: partition.checkpoint(),
            lambda partition: list(partition.items()),
            lambda partition: partition.count(),
            lambda partition: partition.clear(),
        ],
        ids=["get", "apply", "checkpoint", "items", "count", "clear"],
    )
    def test_a_closed_store_refuses(
        self, store: Store, use: Callable[[PartitionStore], object]
    ) -> None:
        partition = store.open(TOPIC, 0)
        partition.close()
        with pytest.raises(StoreError, match="closed"):
            use(partition)

    def test_an_abandoned_iteration_does_not_keep_the_store_open(self, store: Store) -> None:
        partition = store.open(TOPIC, 0)
        partition.apply({b"%d" % n: b"x" for n in range(500)}, checkpoint_at(1))
        items = partition.items()
        next(items)
        partition.close()
        store.open(TOPIC, 0).close()

    def test_a_second_holder_is_refused(self, store: Store) -> None:
        partition = store.open(TOPIC, 0)
        with pytest.raises(StoreError, match=r"in use") as caught:
            store.open(TOPIC, 0)
        assert not isinstance(caught.value, StoreCorrupt)
        assert TOPIC in str(caught.value)
        partition.close()
        store.open(TOPIC, 0).close()

    def test_a_store_in_use_is_not_destroyed(self, store: Store) -> None:
        partition = store.open(TOPIC, 0)
        partition.apply({b"a": b"1"}, checkpoint_at(1))
        with pytest.raises(StoreError, match="in use"):
            store.destroy(TOPIC, 0)
        assert partition.get(b"a") == b"1"
        partition.close()

    def test_destroying_what_is_not_there_is_no_error(self, store: Store) -> None:
        store.destroy(TOPIC, 0)
        store.destroy(TOPIC, 0)

    def test_a_destroyed_store_opens_empty(self, store: Store) -> None:
        for partition in (store.open(TOPIC, 0), store.open(TOPIC, 1)):
            partition.apply({b"a": b"1"}, checkpoint_at(1))
            partition.close()
        store.destroy(TOPIC, 0)
        partition = store.open(TOPIC, 0)
        assert partition.checkpoint() is None
        assert partition.count() == 0
        partition.close()


class PersistentStoreContract(StoreContract):
    """The promises of a store that outlives its process, too."""

    def test_a_reopened_store_is_as_it_was(self, store: Store) -> None:
        partition = store.open(TOPIC, 0)
        partition.apply({b"a": b"1", b"b": b"2"}, checkpoint_at(1))
        partition.apply({b"a": None}, checkpoint_at(2))
        partition.close()
        partition = store.open(TOPIC, 0)
        assert dict(partition.items()) == {b"b": b"2"}
        assert partition.checkpoint() == checkpoint_at(2)
        partition.close()

    @pytest.mark.parametrize("damage", ["garbage", "truncated"])
    def test_a_damaged_store_is_reported_and_can_be_replaced(
        self, store: Store, tmp_path: Path, damage: str
    ) -> None:
        partition = store.open(TOPIC, 0)
        partition.apply({b"%d" % n: os.urandom(100) for n in range(1000)}, checkpoint_at(1))
        partition.close()
        for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
            size = path.stat().st_size
            path.write_bytes(
                os.urandom(size) if damage == "garbage" else path.read_bytes()[: size // 2]
            )
        with pytest.raises(StoreCorrupt) as caught:
            store.open(TOPIC, 0)
        assert str(tmp_path) in str(caught.value)
        store.destroy(TOPIC, 0)
        partition = store.open(TOPIC, 0)
        assert partition.count() == 0
        partition.apply({b"a": b"1"}, checkpoint_at(2))
        assert partition.get(b"a") == b"1"
        partition.close()

    def test_another_process_is_kept_out_until_the_holder_dies(
        self, store: Store, tmp_path: Path
    ) -> None:
        with child(hold_open, self.make_store, tmp_path) as (process, pipe):
            assert pipe.recv() == "open"
            with pytest.raises(StoreError, match="in use"):
                store.open(TOPIC, 0)
            process.kill()
            process.join()
            store.open(TOPIC, 0).close()

    def test_kill_9_leaves_each_change_whole_or_absent(self, store: Store, tmp_path: Path) -> None:
        for _ in range(3):
            with child(apply_for_ever, self.make_store, tmp_path) as (process, pipe):
                start = applied = pipe.recv()
                while applied < start + 20:
                    applied = pipe.recv()
                process.kill()
                process.join()
            partition = store.open(TOPIC, 0)
            checkpoint = partition.checkpoint()
            assert checkpoint is not None
            assert checkpoint.snapshots_offset >= applied
            assert dict(partition.items()) == numbered_snapshots(checkpoint.snapshots_offset)
            partition.close()

    def test_without_room_a_change_is_refused_whole(self, store: Store, tmp_path: Path) -> None:
        with child(run_out_of_room, self.make_store, tmp_path) as (process, pipe):
            error, snapshots, checkpoint = pipe.recv()
            process.join()
        assert error == "StoreError"
        assert (snapshots, checkpoint) == ({b"old": b"1"}, checkpoint_at(1))
        partition = store.open(TOPIC, 0)
        assert dict(partition.items()) == {b"old": b"1"}
        assert partition.checkpoint() == checkpoint_at(1)
        partition.apply({b"new": b"2"}, checkpoint_at(2))
        assert partition.count() == 2
        partition.close()
