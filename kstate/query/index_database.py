"""A SQLite file that several processes share, and that one of them may delete when it is damaged.

It is deleted only by one that uses it alone: all others hold a lock on a file beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from kstate.errors import ConfigError, KStateError, StoreCorrupt, StoreError

BUSY_S = 60.0
CACHE_KIB = 65_536
WAL_PAGES = 8_000
"""So much is written ahead before it goes into the file itself."""


class Database:
    """One file; may be used by many threads.

    Raises `StoreCorrupt` for one that is damaged, `StoreError` for one that cannot be written or
    is locked, `ConfigError` for a directory that cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._erased = False  # what was deleted may still stand in the write-ahead log
        self._db: sqlite3.Connection | None = None
        self._guard = -1
        self._closed = False

    def discard(self) -> bool:
        """Deletes the file; False, and nothing is done, while others use it."""
        with self._lock:
            self._check_open()
            self._disconnect()
            guard = self._guarded(fcntl.LOCK_EX | fcntl.LOCK_NB)
            if guard < 0:
                return False
            try:
                for ending in ("", "-wal", "-shm"):
                    Path(f"{self.path}{ending}").unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{self.path} cannot be deleted: {error.strerror}") from error
            finally:
                os.close(guard)
            self._forget()
            return True

    def close(self) -> None:
        """Releases the file; idempotent."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def size(self) -> int:
        """Bytes on the disk."""
        files = [Path(f"{self.path}{ending}") for ending in ("", "-wal")]
        return sum(each.stat().st_size for each in files if each.exists())

    def clean(self) -> None:
        """Takes what was deleted out of the write-ahead log, too, unless others read it now."""
        if self._erased:
            with self._translated(), self._lock:
                busy, _, _ = self._connected().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._erased = bool(busy)

    def _forget(self) -> None:
        """What is in memory of the file may not hold any more: a transaction was rolled back."""

    @contextlib.contextmanager
    def _transaction(self, kind: str = "DEFERRED") -> Iterator[sqlite3.Connection]:
        """One transaction; within another one, that."""
        with self._lock, self._translated():
            db = self._connected()
            if db.in_transaction:
                yield db
                return
            db.execute(f"BEGIN {kind}")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                self._forget()
                if db.in_transaction:  # a full disk has ended it already
                    db.execute("ROLLBACK")
                raise

    def _connected(self) -> sqlite3.Connection:
        self._check_open()
        if self._db is None:
            self._guard = self._guarded(fcntl.LOCK_SH)
            if self._guard < 0:
                raise StoreError(f"{self.path} cannot be locked: keep an index on a local disk")
            try:
                self._db = _connection(self.path)
            except BaseException:
                os.close(self._guard)
                self._guard = -1
                raise
        return self._db

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def _check_open(self) -> None:
        if self._closed:
            raise KStateError("the client is closed")

    def _guarded(self, operation: int) -> int:
        """The lock beside the file; negative where it is not to be had at once."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            guard = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigError(
                f"{self.path.parent} cannot hold an index ({error.strerror}): "
                "name a directory that can be written"
            ) from error
        try:
            fcntl.flock(guard, operation)
        except OSError:
            os.close(guard)
            return -1
        return guard

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_INTERNAL) & 0xFF
            damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            if damaged or str(error).startswith("no such "):  # a table or a column
                raise StoreCorrupt(f"the index {self.path} is damaged ({error})") from error
            raise StoreError(
                f"the index {self.path} cannot be used ({error}): make room or let it be written, "
                "or do without it; the journal is as it was"
            ) from error


def _connection(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")  # what was erased must not be read from the file
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    except BaseException:
        db.close()
        raise
    return db
