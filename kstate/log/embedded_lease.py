"""Who owns a group's partitions in the embedded log.

Two things say so, and they cover for each other:

* a row in the log's file: owner, epoch, and an expiry that the owner keeps moving.  Every commit
  checks the epoch inside its own transaction: that is the fence (Kafka: the group's generation);
* a lock on a side file, held by the owner and released by the kernel when its process dies: the
  others need not wait for the lease of a dead owner.

A stopped or hung owner keeps its lock.  Then the others wait until they have seen the expiry stand
still for the length of the lease, by their own monotonic clock (so no clock of the wall, which may
jump, decides about ownership), and take over without the lock.  The new owner takes the lock as
soon as the old one lets go of it, and meanwhile says in the row that it has none: a standby that
finds the lock free must not think it dead.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kstate.errors import Fenced, LogError
from kstate.log.embedded_file import Database

if sys.platform == "win32":

    def _lock(fd: int) -> bool:
        return False  # only the lease decides

else:
    import fcntl

    def _lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class _Row(NamedTuple):
    instance: str | None
    epoch: int
    expires: int  # milliseconds since the epoch; for onlookers, and a heartbeat for the others
    length_ms: int
    locked: int  # whether the owner holds the lock beside the lease


class SideLock:
    """The lock of one group's owner; a crash of the process releases it."""

    def __init__(self, log: Path, group: str, topic: str) -> None:
        name = hashlib.sha256(f"{group}\0{topic}".encode()).hexdigest()[:12]
        self._path = log.with_name(f"{log.name}-{name}.lock")
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def acquire(self) -> bool:
        """Tries to take the lock, without waiting; True when it is held now."""
        if self._fd is not None:
            return True
        try:
            # Never deleted: two owners could each hold the lock of a file of this name.
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise LogError(f"the lock file {self._path} cannot be opened: {error}") from error
        if _lock(fd):
            self._fd = fd
        else:
            os.close(fd)
        return self.held

    def release(self) -> None:
        """Lets go of the lock; idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Lease:
    """One member's claim to the partitions of a topic in a group."""

    def __init__(
        self,
        database: Database,
        key: tuple[str, str],
        instance: str,
        length_s: float,
        clock: Callable[[], int],
    ) -> None:
        self.epoch: int | None = None  # of this member's tenure; None: it stands by
        self._database = database
        self._group, self._topic = key
        self._instance = instance
        self._length_s = length_s
        self._clock = clock
        self._slot = 0
        self._lock = SideLock(database.path, self._group, self._topic)
        self._renewed = 0.0
        self._seen: _Row | None = None
        self._seen_since = 0.0

    def due(self) -> bool:
        """Whether the owner should renew now."""
        return time.monotonic() - self._renewed >= self._length_s / 3

    def try_take(self) -> bool:
        """Takes the lease if it is free, its owner dead, or silent for too long."""
        self._lock.acquire()
        took = False
        try:
            with self._database.read() as connection:
                promising = self._available(self._read(connection))
            if promising:
                with self._database.write() as connection:
                    row = self._read(connection)
                    took = self._available(row)
                    if took:
                        epoch = self._take(connection, row)
        finally:
            if not took:
                self._lock.release()
        if took:
            self.epoch = epoch
            self._renewed = time.monotonic()
        return took

    def _read(self, connection: sqlite3.Connection) -> _Row | None:
        topic = self._database.topics.get(self._topic)
        if topic is None:
            raise LogError(f"the topic {self._topic} was deleted; create it and join again")
        self._slot = topic.slot
        found = connection.execute(
            "SELECT instance, epoch, expires, length_ms, locked FROM leases"
            " WHERE grp=? AND topic=?",
            (self._group, self._slot),
        ).fetchone()
        return None if found is None else _Row._make(found)

    def _available(self, row: _Row | None) -> bool:
        if row is None or row.instance is None:
            return True
        if row.locked and self._lock.held:
            return True
        now = time.monotonic()
        if row != self._seen:
            self._seen, self._seen_since = row, now
        return now - self._seen_since >= row.length_ms / 1000

    def _take(self, connection: sqlite3.Connection, found: _Row | None) -> int:
        epoch = 1 if found is None else found.epoch + 1
        row = (self._instance, epoch, self._expiry(), self._length_ms, self._lock.held)
        connection.execute(
            "INSERT OR REPLACE INTO leases VALUES (?,?,?,?,?,?,?)",
            (self._group, self._slot, *row),
        )
        return epoch

    @property
    def _length_ms(self) -> int:
        return round(self._length_s * 1000)

    def _expiry(self) -> int:
        return self._clock() + self._length_ms

    def verify(self, connection: sqlite3.Connection) -> None:
        """Inside any transaction: raises `Fenced` unless the lease is still this member's."""
        found = connection.execute(
            "SELECT epoch FROM leases WHERE grp=? AND topic=? AND instance IS NOT NULL",
            (self._group, self._slot),
        ).fetchone()
        if self.epoch is None or found is None or found[0] != self.epoch:
            raise Fenced(
                f"another worker owns the partitions of {self._topic} now; "
                f"instance {self._instance} must join again"
            )

    def renew(self, connection: sqlite3.Connection) -> None:
        """Inside a write transaction, for the owner: the lease is good for its whole length."""
        self.verify(connection)
        expires = self._expiry()
        # Others look for a change; a clock that was set back must not hide this heartbeat.
        connection.execute(
            "UPDATE leases SET expires=CASE expires WHEN ? THEN expires+1 ELSE ? END, locked=?"
            " WHERE grp=? AND topic=?",
            (expires, expires, self._lock.acquire(), self._group, self._slot),
        )
        self._renewed = time.monotonic()

    def abandon(self) -> None:
        """The tenure is over: lets go of the lock, leaves the row to whoever owns it."""
        self.epoch = None
        self._lock.release()

    def release(self) -> None:
        """Gives the lease back so that another takes it at once; idempotent."""
        if self.epoch is not None:
            # If the row cannot be written, the released lock says as much to those who stand by.
            with suppress(LogError), self._database.write() as connection:
                self.verify(connection)
                connection.execute(
                    "UPDATE leases SET instance=NULL WHERE grp=? AND topic=?",
                    (self._group, self._slot),
                )
        self.abandon()
