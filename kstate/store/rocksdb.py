"""Snapshots in one RocksDB per partition, through the package rocksdict: for large states.

rocksdict runs in raw mode: bytes in, bytes out, nothing pickled.  RocksDB checks a checksum with
every block it reads, so damage shows as an error, never as another value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from kstate.errors import ConfigError, StoreError
from kstate.store.files import (
    FORMAT,
    PartitionLock,
    check_format,
    closed,
    corrupt,
    disk_full,
    encode_checkpoint,
    make_directory,
    partition_name,
    refuse_unknown_options,
    remove,
    stored_checkpoint,
    undeletable,
    unusable,
)
from kstate.store.port import Checkpoint

if TYPE_CHECKING:
    from rocksdict import Cache, Options, WriteBatch

# One column family, so that the log's order is the order of everything; a prefix keeps the
# snapshots of any key apart from what the store notes about itself.
_FORMAT_KEY = b"\x00format"
_CHECKPOINT_KEY = b"\x00checkpoint"
_SNAPSHOT = b"k"
_SNAPSHOTS_END = b"l"

_PAGE_ROWS = 64
_CACHE_BYTES = 64 << 20  # shared by the partitions of a store
_WRITE_BUFFER_BYTES = 16 << 20  # per partition; RocksDB's own default is 64 MiB


class RocksDBPartition:
    """The snapshots of one partition, in one RocksDB."""

    def __init__(self, path: Path, options: Options) -> None:
        """Opens or creates the database; raises `StoreError` and `StoreCorrupt`."""
        from rocksdict import Rdict

        self._path = path
        self._closed = False
        with ExitStack() as undo:
            self._lock = undo.enter_context(PartitionLock(path))
            if path.exists() and not path.is_dir():
                raise corrupt(path, "it is not a directory")
            try:
                # WriteOptions stay at sync=False: the write-ahead log reaches the operating system
                # with each batch and so survives a killed process.  A power cut may take the last
                # batches, which the log of Kafka still has, but each is there whole or not at all.
                self._db = Rdict(str(path), options)
                undo.callback(self._db.close)
                self._check_or_create()
                self._checkpoint = self._read_checkpoint()
            except StoreError:
                raise
            except Exception as error:
                raise _translated(error, path, opening=True) from error
            undo.pop_all()

    def __repr__(self) -> str:
        return f"<RocksDBPartition {self._path}: {'closed' if self._closed else 'open'}>"

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(_SNAPSHOT + key)
        except Exception as error:
            raise self._failure(error) from error
        return value

    def apply(self, changes: Mapping[bytes, bytes | None], checkpoint: Checkpoint) -> None:
        batch = _new_batch()
        for key, value in changes.items():
            if value is None:
                batch.delete(_SNAPSHOT + key)
            else:
                batch.put(_SNAPSHOT + key, value)
        batch.put(_CHECKPOINT_KEY, encode_checkpoint(checkpoint))
        self._write(batch)
        self._checkpoint = checkpoint

    def checkpoint(self) -> Checkpoint | None:
        if self._closed:
            raise closed(self._path)
        return self._checkpoint

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        # Page by page: an iterator left alive keeps the database open after `close`.
        rows = self._page(_SNAPSHOT)
        while rows:
            for key, value in rows:
                yield key[len(_SNAPSHOT) :], value
            rows = self._page(rows[-1][0] + b"\x00")

    def count(self) -> int:
        try:
            rows = self._db.iter()
            rows.seek(_SNAPSHOT)
            count = 0
            while rows.valid():
                count += 1
                rows.next()
            rows.status()
        except Exception as error:
            raise self._failure(error) from error
        return count

    def clear(self) -> None:
        batch = _new_batch()
        batch.delete_range(_SNAPSHOT, _SNAPSHOTS_END)
        batch.delete(_CHECKPOINT_KEY)
        self._write(batch)
        self._checkpoint = None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._db.close()
        except Exception as error:
            raise _translated(error, self._path) from error
        finally:
            self._lock.release()

    def _page(self, start: bytes) -> list[tuple[bytes, bytes]]:
        page: list[tuple[bytes, bytes]] = []
        try:
            rows = self._db.iter()
            rows.seek(start)
            while rows.valid() and len(page) < _PAGE_ROWS:
                page.append((rows.key(), rows.value()))
                rows.next()
            rows.status()  # an iterator that met damage is merely no longer valid
        except Exception as error:
            raise self._failure(error) from error
        return page

    def _write(self, batch: WriteBatch) -> None:
        try:
            self._db.write(batch)
        except Exception as error:
            raise self._failure(error) from error

    def _check_or_create(self) -> None:
        stored: bytes | None = self._db.get(_FORMAT_KEY)
        if stored is None:
            rows = self._db.iter()
            rows.seek_to_first()
            if rows.valid():
                raise corrupt(self._path, "it is a database of another program")
            rows.status()
            self._db.put(_FORMAT_KEY, b"%d" % FORMAT)
            return
        if not stored.isdigit():
            raise corrupt(self._path, "its format version is unreadable")
        check_format(self._path, int(stored))

    def _read_checkpoint(self) -> Checkpoint | None:
        stored: bytes | None = self._db.get(_CHECKPOINT_KEY)
        has_snapshots = stored is None and bool(self._page(_SNAPSHOT))
        return stored_checkpoint(self._path, stored, has_snapshots)

    def _failure(self, error: Exception) -> StoreError:
        return closed(self._path) if self._closed else _translated(error, self._path)


class RocksDBStore:
    """Opens one RocksDB directory per partition in the directory; takes no options."""

    persistent = True

    def __init__(self, directory: Path, **options: str) -> None:
        """Raises `ConfigError` when rocksdict is not installed."""
        refuse_unknown_options("rocksdb", options)
        try:
            from rocksdict import Cache
        except ImportError as error:
            raise ConfigError(
                f"the store 'rocksdb' needs the package rocksdict ({error}); "
                "install it with: pip install 'kstate[rocksdb]'"
            ) from error
        self._directory = directory.absolute()
        self._cache = Cache(_CACHE_BYTES)

    def open(self, topic: str, partition: int) -> RocksDBPartition:
        make_directory(self._directory)
        return RocksDBPartition(self._path(topic, partition), _options(self._cache))

    def destroy(self, topic: str, partition: int) -> None:
        make_directory(self._directory)
        path = self._path(topic, partition)
        doomed = path.with_name(path.name + ".deleted")
        with PartitionLock(path):
            remove(doomed)
            # Renamed first, so that a crash half-way leaves no half of a database to be opened.
            if path.exists():
                try:
                    path.rename(doomed)
                except OSError as error:
                    raise undeletable(path, error) from error
                remove(doomed)

    def _path(self, topic: str, partition: int) -> Path:
        return self._directory / f"{partition_name(topic, partition)}.rocksdb"


def _new_batch() -> WriteBatch:
    from rocksdict import WriteBatch

    return WriteBatch(raw_mode=True)


def _options(cache: Cache) -> Options:
    from rocksdict import BlockBasedOptions, Options

    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(10, False)  # a new entity's miss then rarely touches the disk
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_keep_log_file_num(2)  # RocksDB's own diary; a new file with each opening
    return options


def _translated(error: Exception, path: Path, opening: bool = False) -> StoreError:
    """The one place that knows RocksDB's errors, which come as words alone."""
    words = str(error)
    # While opening, a file that another file names but is gone is damage as well, and so is a
    # database with column families or a comparator that are not ours.
    if words.startswith("Corruption") or (
        opening and ("No such file" in words or words.startswith("Invalid argument"))
    ):
        return corrupt(path, error)
    if "No space left" in words:
        return disk_full(path, error)
    return unusable(path, error)
