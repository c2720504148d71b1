"""Snapshots in one SQLite file per partition, through the package sqlitedict: the default.

sqlitedict gives a connection a thread of its own and queues statements to it.  What follows from
that, and is relied upon here:

* With ``autocommit=False`` everything queued since the last COMMIT is one SQLite transaction: the
  snapshots and, in a second table, the checkpoint.
* A statement that fails does not stop those queued behind it; they would run, and a COMMIT among
  them would commit half a change.  So COMMIT is sent only after a statement whose outcome was
  waited for, and after a failure the connection is closed, which drops all that is uncommitted.
* Its own ``commit()`` and its reads run where an error ends the thread and leaves the caller
  waiting for ever; COMMIT sent as a statement does not, and reads do not go there at all.
* A read costs two thread switches (147 µs, against 5 µs on a connection of one's own): reads have
  a second connection, which sees every commit because each read is a transaction of its own.

Keys and values are BLOBs, compared byte for byte; the hooks of sqlitedict that would pickle pass
bytes through.  SQLite has no checksums: each snapshot carries one over key and value, because one
changed byte in SQLite's index would else answer with the snapshot of another entity.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlitedict import SqliteDict

from kstate.errors import StoreError
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
    seal,
    stored_checkpoint,
    unseal,
    unusable,
)
from kstate.store.port import Checkpoint

_APPLICATION_ID = 0x6B737461  # "ksta" in the file's header: a foreign file is told at once
_PAGE_ROWS = 64

_TABLES = (
    "CREATE TABLE snapshots (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL)",
    "CREATE TABLE checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL)",
)
_MARKS = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)
_GET = "SELECT value FROM snapshots WHERE key = ?"
_DELETE = "DELETE FROM snapshots WHERE key = ?"
_FIRST_PAGE = f"SELECT key, value FROM snapshots WHERE key >= ? ORDER BY key LIMIT {_PAGE_ROWS}"
_NEXT_PAGE = f"SELECT key, value FROM snapshots WHERE key > ? ORDER BY key LIMIT {_PAGE_ROWS}"
_SET_CHECKPOINT = "REPLACE INTO checkpoint (id, value) VALUES (1, ?)"

# SQLite quotes damaged names in its messages, and Python then fails to read the message.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)

# Every failure reaches the caller as an exception; sqlitedict would log each queued statement too.
_SILENT = logging.Logger("kstate.store.sqlitedict", logging.CRITICAL + 1)


class SqliteDictPartition:
    """The snapshots of one partition, in one SQLite database."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file; raises `StoreError` and `StoreCorrupt` as the port says."""
        self._path = path
        self._closed = False
        self._writer: SqliteDict | None = None
        with ExitStack() as undo:
            self._lock = undo.enter_context(PartitionLock(path))
            try:
                self._reader = _open_reader(path)
                undo.callback(self._reader.close)
                self._checkpoint = _read_checkpoint(self._reader, path)
                self._writer = _start_writer(path)
            except _ERRORS as error:
                raise _translated(error, path, opening=True) from error
            undo.pop_all()

    def __repr__(self) -> str:
        return f"<SqliteDictPartition {self._path}: {'closed' if self._closed else 'open'}>"

    def get(self, key: bytes) -> bytes | None:
        rows = self._read(_GET, (key,))
        return self._unseal(rows[0][0], key) if rows else None

    def apply(self, changes: Mapping[bytes, bytes | None], checkpoint: Checkpoint) -> None:
        with self._transaction() as writer:
            writer.update(
                {key: seal(value, key) for key, value in changes.items() if value is not None}
            )
            for key, value in changes.items():
                if value is None:
                    # `del writer[key]` would first wait for a SELECT.
                    writer.conn.execute(_DELETE, (key,))
            writer.conn.select_one(_SET_CHECKPOINT, (encode_checkpoint(checkpoint),))
        self._checkpoint = checkpoint

    def checkpoint(self) -> Checkpoint | None:
        if self._closed:
            raise closed(self._path)
        return self._checkpoint

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        # Page by page: a statement left open would pin this connection to one moment, hiding
        # later commits from `get` and keeping the write-ahead log from being emptied.
        rows = self._read(_FIRST_PAGE, (b"",))
        while rows:
            for key, stored in rows:
                yield key, self._unseal(stored, key)
            rows = self._read(_NEXT_PAGE, (rows[-1][0],))

    def count(self) -> int:
        return int(self._read("SELECT COUNT(*) FROM snapshots", ())[0][0])

    def clear(self) -> None:
        with self._transaction() as writer:
            writer.conn.execute("DELETE FROM snapshots")
            writer.conn.select_one("DELETE FROM checkpoint")
        self._checkpoint = None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # The reader first: the last connection to close empties the write-ahead log.
        self._reader.close()
        self._stop_writer()
        self._lock.release()

    def _read(self, statement: str, arguments: tuple[bytes, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(statement, arguments).fetchall()
        except _ERRORS as error:
            raise closed(self._path) if self._closed else _translated(error, self._path) from error

    def _unseal(self, stored: object, key: bytes) -> bytes:
        try:
            return unseal(stored, key)
        except ValueError as error:
            raise corrupt(self._path, f"of a snapshot, {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[SqliteDict]:
        """Commits what the body sent, provided that it waited for its last statement."""
        if self._closed:
            raise closed(self._path)
        try:
            if self._writer is None:
                self._writer = _start_writer(self._path)
            yield self._writer
            self._writer.conn.select_one("COMMIT")
        except _ERRORS as error:
            self._stop_writer()
            raise _translated(error, self._path) from error
        except BaseException:
            self._stop_writer()
            raise

    def _stop_writer(self) -> None:
        """Ends the writer's thread; what it had not committed is gone.  The next write starts one.

        By force, because the polite close raises what went wrong before instead of closing, and
        waits for ever if the thread is dead.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            thread = writer.conn
            writer.close(do_log=False, force=True)
            thread.join()


class SqliteDictStore:
    """Opens one SQLite file per partition in the directory; takes no options."""

    persistent = True

    def __init__(self, directory: Path, **options: str) -> None:
        refuse_unknown_options("sqlitedict", options)
        self._directory = directory.absolute()

    def open(self, topic: str, partition: int) -> SqliteDictPartition:
        make_directory(self._directory)
        return SqliteDictPartition(self._path(topic, partition))

    def destroy(self, topic: str, partition: int) -> None:
        make_directory(self._directory)
        path = self._path(topic, partition)
        with PartitionLock(path):
            # The database first: without its log it could pass for an older, whole one, whereas
            # SQLite discards a log without a database.
            for ending in ("", "-wal", "-shm", "-journal"):
                remove(path.with_name(path.name + ending))

    def _path(self, topic: str, partition: int) -> Path:
        return self._directory / f"{partition_name(topic, partition)}.sqlite"


def _open_reader(path: Path) -> sqlite3.Connection:
    if path.is_dir():
        raise corrupt(path, "it is a directory")
    # One thread at a time is the port's rule; which one is not SQLite's business.
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.text_factory = bytes  # damaged text must not fail as an error of decoding
    try:
        _check_or_create(reader, path)
        reader.execute("PRAGMA query_only = ON")
    except BaseException:
        reader.close()
        raise
    return reader


def _check_or_create(connection: sqlite3.Connection, path: Path) -> None:
    def value_of(statement: str) -> Any:
        return connection.execute(statement).fetchone()[0]

    application, version = value_of("PRAGMA application_id"), value_of("PRAGMA user_version")
    empty = value_of("SELECT COUNT(*) FROM sqlite_master") == 0 and application == 0
    if not empty and application != _APPLICATION_ID:
        raise corrupt(path, "it is a file of another program")
    if not empty:
        check_format(path, version)
    if value_of("PRAGMA journal_mode = WAL") != b"wal":
        raise StoreError(
            f"{path} cannot have a write-ahead log there; put the data directory on a local disk"
        )
    if empty:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES + _MARKS:
            connection.execute(statement)
        connection.execute("COMMIT")
        return
    schema = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(sql for (sql,) in schema) != sorted(table.encode() for table in _TABLES):
        raise corrupt(path, "its tables are not those of a store")
    # The checksums tell a changed snapshot, but nothing else tells a hidden one: a key changed in
    # the index alone would read as an entity without a snapshot.  0.5 µs per snapshot.
    verdict = value_of("PRAGMA integrity_check(1)")
    if verdict != b"ok":
        raise corrupt(path, verdict.decode(errors="replace"))


def _read_checkpoint(connection: sqlite3.Connection, path: Path) -> Checkpoint | None:
    row = connection.execute("SELECT value FROM checkpoint WHERE id = 1").fetchone()
    some = connection.execute("SELECT 1 FROM snapshots LIMIT 1").fetchone()
    return stored_checkpoint(path, row and row[0], some is not None)


def _start_writer(path: Path) -> SqliteDict:
    writer = SqliteDict(
        str(path),
        tablename="snapshots",
        autocommit=False,
        journal_mode="WAL",
        encode=bytes,
        decode=bytes,
        encode_key=bytes,
        decode_key=bytes,
        outer_stack=False,  # it would format a stack trace for every statement
    )
    writer.conn.log = _SILENT
    # sqlitedict says OFF, with which a power cut may destroy the file.  NORMAL in WAL mode syncs
    # when the log moves into the database, not at each commit: a power cut may take the last
    # commits, which the log of Kafka still has, but what is left is a whole earlier store.
    writer.conn.select_one("PRAGMA synchronous = NORMAL")
    return writer


def _translated(error: Exception, path: Path, opening: bool = False) -> StoreError:
    """The one place that knows SQLite's errors."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    # While opening, a plain error is a schema that cannot be read.
    if (
        primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        or isinstance(error, UnicodeDecodeError)
        or (opening and primary == sqlite3.SQLITE_ERROR)
    ):
        return corrupt(path, error)
    if primary == sqlite3.SQLITE_FULL:
        return disk_full(path, error)
    return unusable(path, error)
