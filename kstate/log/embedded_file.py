"""The SQLite file under the embedded log: opening it, its transactions, its errors.

One `Database` is one connection.  WAL mode: readers never wait for the writer and see one committed
state; a writer appends to the WAL and its commit record is the last thing written, so that a
process killed at any moment leaves the transactions that were committed and nothing else.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from kstate.errors import LogError, LogUnavailable, OutcomeUnknown
from kstate.log.port import Cleanup

Sync = Literal["full", "normal"]

FORMAT = 1
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1

_WAL_PAGES = 4_000  # pages in the WAL before a commit also moves them into the file
_WAL_BYTES = 64 * 2**20  # a WAL that once grew beyond this is cut when it starts anew

# A record's id is its partition's slot and its offset in one integer: a plain rowid is SQLite's
# fastest key, and the records of a partition lie side by side.  Blobs come last and the value at
# the very end, so that looking at times and keys reads no overflow pages.
_TABLES = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE topics (
    slot INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    cleanup TEXT NOT NULL, identity TEXT NOT NULL, retention_ms INTEGER NOT NULL,
    delete_retention_ms INTEGER NOT NULL, log_append_time INTEGER NOT NULL, short INTEGER NOT NULL);
CREATE TABLE partitions (
    slot INTEGER PRIMARY KEY, start INTEGER NOT NULL, next INTEGER NOT NULL,
    cleaned INTEGER NOT NULL, live INTEGER NOT NULL);
CREATE TABLE records (
    id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, appended INTEGER NOT NULL,
    key BLOB, headers BLOB NOT NULL, value BLOB);
CREATE INDEX tombstones ON records (id, appended) WHERE value IS NULL;
CREATE TABLE progress (
    grp TEXT NOT NULL, slot INTEGER NOT NULL, next INTEGER NOT NULL, metadata TEXT NOT NULL,
    PRIMARY KEY (grp, slot)) WITHOUT ROWID;
CREATE TABLE leases (
    grp TEXT NOT NULL, topic INTEGER NOT NULL, instance TEXT, epoch INTEGER NOT NULL,
    expires INTEGER NOT NULL, length_ms INTEGER NOT NULL, locked INTEGER NOT NULL,
    PRIMARY KEY (grp, topic)) WITHOUT ROWID;
INSERT INTO meta VALUES ('format', {FORMAT}), ('catalogue', 1), ('next_slot', 1)
"""


class Topic(NamedTuple):
    """A row of the catalogue.  Partition p has the slot ``slot + p``; slots are never reused."""

    slot: int
    name: str
    partitions: int
    cleanup: Cleanup
    identity: str
    retention_ms: int
    delete_retention_ms: int
    log_append_time: int
    short: int


def translate(error: sqlite3.Error, path: Path) -> LogError:
    """The one place that knows SQLite's errors: what each of them means to a user of the log."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return LogUnavailable(f"the log {path} is locked by another process; try again")
    if code == sqlite3.SQLITE_FULL:
        return LogUnavailable(f"no space is left for the log {path}; free some and try again")
    if code == sqlite3.SQLITE_IOERR:
        return LogUnavailable(f"the disk of the log {path} fails ({error}); try again")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return LogError(f"the log {path} is damaged or no log at all; restore it from a backup")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return LogError(
            f"the log {path} cannot be opened for writing ({error}); "
            "check that its directory exists and may be written"
        )
    return LogError(f"the log {path} cannot be used: {error}")


class Database:
    """One connection to the log's file, used by one thread at a time."""

    def __init__(self, path: Path, sync: Sync, busy_timeout_s: float) -> None:
        self.path = path
        self.topics: dict[str, Topic] = {}
        self._catalogue = 0
        self._busy_timeout_s = busy_timeout_s
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise translate(error, path) from error
        try:
            self._prepare(sync)
        except sqlite3.Error as error:
            self.close()
            raise translate(error, path) from error
        except BaseException:
            self.close()
            raise

    def _prepare(self, sync: Sync) -> None:
        # SQLite's own busy handler sleeps up to 100 ms at a time; the loop in `_patiently` is as
        # fair and much quicker for transactions of a millisecond.
        self._connection.execute("PRAGMA busy_timeout=0")
        self._patiently("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={sync}")
        self._connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        self._connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        # An erased record must not survive in a page that is no longer used.
        self._connection.execute("PRAGMA secure_delete=ON")
        self._connection.execute("PRAGMA cache_size=-16384")
        self._patiently("BEGIN")
        try:
            tables = self._patiently("SELECT name FROM sqlite_master WHERE type='table'")
        finally:
            self._connection.execute("ROLLBACK")
        if not tables:
            self._create()
        elif ("meta",) not in tables:
            raise LogError(f"{self.path} is a database of another program; choose another file")
        (found,) = self._patiently("SELECT value FROM meta WHERE name='format'")[0]
        if found != FORMAT:
            raise LogError(
                f"the log {self.path} has format {found}, this kstate reads format {FORMAT}; "
                "use the kstate version that wrote it, or a newer one"
            )

    def _create(self) -> None:
        self._patiently("BEGIN IMMEDIATE")
        try:
            # Another process may have been faster.
            if not self._patiently("SELECT name FROM sqlite_master WHERE type='table'"):
                for statement in _TABLES.split(";"):
                    self._connection.execute(statement)
            self._connection.execute("COMMIT")
        finally:
            self._rollback()

    def _patiently(self, statement: str, patience_s: float = math.inf) -> list[tuple[object, ...]]:
        """Runs a statement that may find the file locked, again until the busy timeout, or until
        its caller's patience is over."""
        deadline: float | None = None
        pause_s = 0.0002
        while True:
            try:
                return self._connection.execute(statement).fetchall()
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                now = time.monotonic()
                if deadline is None:
                    deadline = now + min(self._busy_timeout_s, patience_s)
                if now >= deadline:
                    raise
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 0.005)

    def version(self) -> int:
        """A number that changes when another connection has committed; costs microseconds."""
        try:
            (row,) = self._patiently("PRAGMA data_version")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        return int(str(row[0]))

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: one committed state of the log.  Keep it short: it pins the WAL."""
        try:
            self._patiently("BEGIN")
            try:
                self._refresh()
                yield self._connection
            finally:
                self._rollback()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    @contextmanager
    def write(self, patience_s: float = math.inf) -> Iterator[sqlite3.Connection]:
        """A write transaction: all or nothing, durable when it is left without an error.

        Another's is waited for until the busy timeout, and no longer than ``patience_s``.
        Raises `OutcomeUnknown` when the commit itself failed; for every other error, `LogError`s
        and those of the body, nothing was written.
        """
        try:
            self._patiently("BEGIN IMMEDIATE", patience_s)
            try:
                self._refresh()
                yield self._connection
            except BaseException:
                self._rollback()
                raise
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise OutcomeUnknown(
                f"a commit to the log {self.path} failed midway: {translate(error, self.path)}"
            ) from error

    def _refresh(self) -> None:
        """Brings the catalogue up to date with this transaction; takes its snapshot as well."""
        (row,) = self._patiently("SELECT value FROM meta WHERE name='catalogue'")
        if row[0] != self._catalogue:
            rows = self._connection.execute("SELECT * FROM topics")
            self.topics = {topic.name: topic for topic in map(Topic._make, rows)}
            self._catalogue = int(str(row[0]))

    def _rollback(self) -> None:
        # Some errors have ended the transaction already; and a rollback that fails leaves it to
        # the closing of the connection, which discards it all the same.
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Closes the connection; idempotent."""
        self._connection.close()
