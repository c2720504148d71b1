"""A worker's seat in a group of the embedded log: standing by, owning, committing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from kstate.core.messages import Record, WriteRow
from kstate.errors import (
    EncodeError,
    Fenced,
    LogError,
    LogUnavailable,
    OutcomeUnknown,
    TransactionAborted,
)
from kstate.log.embedded_cleaner import Cleaner
from kstate.log.embedded_file import Database
from kstate.log.embedded_lease import Lease
from kstate.log.embedded_records import append, encode_writes, ends_of, fetch, slot_of, topic_of
from kstate.log.embedded_wait import Pace
from kstate.log.port import Assignment, Committed, Polled

_NOTHING = Polled((), (), ())
_STANDBY_S = 0.02  # between two tries of a standby to take over


class EmbeddedMember:
    """See `kstate.log.port.Member`.  One member owns all partitions, the others stand by."""

    def __init__(
        self,
        database: Database,
        key: tuple[str, str],
        instance: str,
        *,
        lease_s: float,
        max_record_bytes: int,
        clock: Callable[[], int],
        cleaner: Cleaner,
    ) -> None:
        self._database = database
        self._group, self._topic = key
        self._instance = instance
        self._limit = max_record_bytes
        self._clock = clock
        self._cleaner = cleaner
        cleaner.watch(self._topic)
        self._lease = Lease(database, key, instance, lease_s, clock)
        self._numbers = 0
        self._positions: dict[int, int] = {}  # of the started partitions: the next offset to read
        self._turn = 0
        self._version = -1  # of the file, at the last look
        self._ahead: list[WriteRow] = []  # what the next commit begins with
        self._unread = True  # there may be records at or past the positions
        self._next_try = 0.0
        self._pace = Pace()
        self._over: str | None = None  # why this member is of no use any more

    def __repr__(self) -> str:
        state = self._over or ("standby" if self._lease.epoch is None else "owner")
        return f"<EmbeddedMember {self._instance} of {self._group} on {self._topic}: {state}>"

    @property
    def instance(self) -> str:
        """The stable id of this worker slot."""
        return self._instance

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        """See the port.  ``revoked`` is always empty: the loss of the seat is `Fenced`."""
        deadline = time.monotonic() + timeout_s
        self._check_alive()
        while True:
            polled = self._look(max_records)
            if polled is not None:
                self._pace.touch()
                return polled
            if time.monotonic() >= deadline:
                return _NOTHING
            if not self._cleaner.busy:
                self._pace.pause(deadline)

    def _look(self, max_records: int) -> Polled | None:
        if self._lease.epoch is None:
            return self._try_take()
        try:
            if self._lease.due():
                with self._database.write() as connection:
                    self._lease.renew(connection)
            records = self._read(max_records)
        except (Fenced, OutcomeUnknown) as error:
            self._lost(error)
            raise
        self._cleaner.turn(idle=not records)
        return Polled((), (), records) if records else None

    def _try_take(self) -> Polled | None:
        now = time.monotonic()
        if now < self._next_try:
            return None
        self._next_try = now + _STANDBY_S
        try:
            if not self._lease.try_take():
                return None
        except OutcomeUnknown as error:
            self._lost(error)
            raise
        self._positions.clear()
        self._unread = True
        with self._database.read():
            partitions = topic_of(self._database.topics, self._topic).partitions
        first = self._numbers + 1
        self._numbers += partitions
        return Polled((), [Assignment(p, first + p) for p in range(partitions)], ())

    def _read(self, max_records: int) -> Sequence[Record]:
        version = self._database.version()  # before the read: what comes later is seen later
        if version == self._version and not self._unread:
            return ()
        with self._database.read() as connection:
            self._lease.verify(connection)
            topic = topic_of(self._database.topics, self._topic)
            ends = ends_of(connection, topic)
            order = self._rotated()
            records = fetch(connection, topic, order, ends, max_records)
        self._positions.update(order)
        self._version = version
        self._unread = any(position < ends[p][1] for p, position in order.items())
        return records

    def _rotated(self) -> dict[int, int]:
        """The positions, beginning with another partition each time: none starves the others."""
        items = list(self._positions.items())
        if not items:
            return {}
        self._turn = (self._turn + 1) % len(items)
        return dict(items[self._turn :] + items[: self._turn])

    def start(self, partition: int, offset: int) -> None:
        """See the port.  Raises `LogError` for an offset whose record is gone or never was."""
        self._check_owner()
        with self._database.read() as connection:
            slot_of(self._database.topics, self._topic, partition)
            ends = ends_of(connection, self._database.topics[self._topic])
        start, end = ends[partition]
        if not start <= offset <= end:
            raise LogError(
                f"{self._topic}/{partition} has the offsets {start} to {end}; it cannot be "
                f"processed from {offset} on without losing or inventing records"
            )
        self._positions[partition] = offset
        self._unread = True

    def committed(self, partition: int) -> Committed | None:
        """See the port; never waits here, as no transaction outlives its call."""
        with self._database.read() as connection:
            slot = slot_of(self._database.topics, self._topic, partition)
            found = connection.execute(
                "SELECT next, metadata FROM progress WHERE grp=? AND slot=?", (self._group, slot)
            ).fetchone()
        return None if found is None else Committed(*found)

    def write_ahead(self, writes: Sequence[WriteRow]) -> None:
        """See the port; here they wait for the commit: one writer holds the whole file."""
        self._ahead += writes

    def abort(self) -> None:
        """See the port."""
        self._ahead = []

    def commit(
        self, writes: Sequence[WriteRow], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        """See the port; the bounds it returns are exact, and those of all topics.

        Raises `RecordTooLarge`, `EncodeError` or `TopicError`, too: then nothing was written.
        """
        writes, self._ahead = [*self._ahead, *writes], []
        self._check_owner()
        blobs = encode_writes(writes, self._limit)
        try:
            bounds = self._transaction(writes, blobs, progress)
        except (Fenced, OutcomeUnknown) as error:
            self._lost(error)
            raise
        except LogUnavailable as error:
            raise TransactionAborted(f"nothing was written: {error}") from error
        self._unread = self._unread or any(topic == self._topic for topic, _ in bounds)
        for topic, _ in bounds:
            self._cleaner.watch(topic)
        return bounds

    def _transaction(
        self, writes: Sequence[WriteRow], blobs: Sequence[bytes], progress: Mapping[int, Committed]
    ) -> dict[tuple[str, int], int]:
        with self._database.write() as connection:
            topics = self._database.topics
            if self._lease.due():
                self._lease.renew(connection)
            else:
                self._lease.verify(connection)
            bounds = append(connection, topics, writes, blobs, self._clock())
            rows = [
                (self._group, slot_of(topics, self._topic, partition), done.offset, done.metadata)
                for partition, done in progress.items()
            ]
            try:
                connection.executemany("INSERT OR REPLACE INTO progress VALUES (?,?,?,?)", rows)
            except (OverflowError, UnicodeError) as error:
                raise EncodeError(f"progress that cannot be stored: {error}") from error
        return bounds

    def _check_alive(self) -> None:
        if self._over is not None:
            raise Fenced(f"the seat of instance {self._instance} is over: {self._over}")

    def _check_owner(self) -> None:
        self._check_alive()
        if self._lease.epoch is None:
            raise Fenced(
                f"instance {self._instance} stands by: another owns the partitions of {self._topic}"
            )

    def _lost(self, error: Fenced | OutcomeUnknown) -> None:
        self._over = str(error)
        self._positions.clear()
        self._lease.abandon()

    def close(self) -> None:
        """See the port."""
        if self._over != "closed":
            self._over = "closed"
            self._lease.release()
            self._database.close()
