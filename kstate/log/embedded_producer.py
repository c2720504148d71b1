"""Writing to the embedded log outside a member's transactions."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from kstate.core.messages import Write
from kstate.errors import EncodeError, LogError, LogUnavailable, TopicError
from kstate.log.embedded_file import Database
from kstate.log.embedded_records import append, encode_writes, slot_of, topic_of
from kstate.log.port import Sender, Senders

_BATCH = 5_000  # records that are worth a transaction without waiting for more
_BATCH_BYTES = 8 * 2**20
_LINGER_S = 0.002
_PATIENCE_S = 30.0  # for records that nobody flushes, while the log is locked or its disk full


class _Queued(NamedTuple):
    write: Write
    blob: bytes  # its headers
    sender: Sender


class EmbeddedProducer:
    """See `kstate.log.port.Producer`.

    Whoever finds the queue full, or flushes, writes it himself, in one transaction; a thread of
    the producer's own writes what has been lying for 2 ms.  What a flush could not write in time
    is given up for its sender, and stays in the queue for all others.
    """

    def __init__(self, database: Database, max_record_bytes: int, clock: Callable[[], int]) -> None:
        self._database = database
        self._limit = max_record_bytes
        self._clock = clock
        self._senders = Senders()
        self._queue: list[_Queued] = []
        self._bytes = 0
        self._queued = threading.Condition()  # guards the two above
        self._writing = threading.Lock()  # guards the database
        self._thread: threading.Thread | None = None
        self._closed = False

    def send(self, write: Write, sender: Sender | None = None) -> None:
        """See the port.  Raises `RecordTooLarge` and `EncodeError` for this record, at once."""
        (blob,) = encode_writes((write,), self._limit)
        if not -(2**63) <= write.timestamp < 2**63:
            raise EncodeError("a record's timestamp has more than 64 bits")
        sender = sender or self._senders.current()
        with self._queued:
            if self._closed:
                raise LogError("this producer is closed")
            self._senders.queued(sender)
            self._queue.append(_Queued(write, blob, sender))
            self._bytes += _size(write, blob)
            first = len(self._queue) == 1
            full = len(self._queue) >= _BATCH or self._bytes >= _BATCH_BYTES
            if first:
                self._wake()
        if full:
            self._drain(time.monotonic() + _PATIENCE_S)

    def flush(self, timeout_s: float, sender: Sender | None = None) -> None:
        """See the port.  The records of this sender that it raises for are not stored later."""
        sender = sender or self._senders.current()
        if self._senders.open(sender):
            self._drain(time.monotonic() + timeout_s, sender)
        self._senders.tell(sender)
        if count := self._senders.open(sender):
            raise LogUnavailable(f"{count} records of others were not stored in {timeout_s:g} s")

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="kstate-embedded-producer", daemon=True
            )
            self._thread.start()
        else:
            self._queued.notify()

    def _run(self) -> None:
        while True:
            with self._queued:
                self._queued.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
            time.sleep(_LINGER_S)
            with suppress(LogUnavailable):  # another thread is writing for that long: its turn
                self._drain(time.monotonic() + _PATIENCE_S)

    def _drain(self, deadline: float, sender: Sender | None = None) -> None:
        """Writes what is queued; tries again until the deadline (monotonic clock).

        Then the records of ``sender`` are given up; of all, where it is None.
        """
        if not self._writing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LogUnavailable("the producer is still writing earlier records; flush again")
        try:
            with self._queued:
                queue, self._queue = self._queue, []
                self._bytes = 0
            if queue:
                self._store(queue, deadline, sender)
        finally:
            self._writing.release()

    def _store(self, queue: list[_Queued], deadline: float, sender: Sender | None) -> None:
        while True:
            try:
                with self._database.write(deadline - time.monotonic()) as connection:
                    fit, misfits = self._sort_out(queue)
                    writes, blobs = [each.write for each in fit], [each.blob for each in fit]
                    append(connection, self._database.topics, writes, blobs, self._clock())
                break
            except LogUnavailable as error:
                if time.monotonic() >= deadline:
                    concerned = queue if sender is None else self._put_back(queue, sender)
                    fit, misfits = [], [(each, error) for each in concerned]
                    break
                time.sleep(0.01)
            except LogError as error:
                fit, misfits = [], [(each, error) for each in queue]
                break
        for owner, count in Counter(each.sender for each in fit).items():
            self._senders.settled(owner, count)
        for each, told in misfits:
            self._senders.settled(each.sender, error=told)

    def _put_back(self, queue: list[_Queued], sender: Sender) -> list[_Queued]:
        """Queues again, before all others, what is not the sender's; gives what is."""
        others = [each for each in queue if each.sender is not sender]
        with self._queued:
            self._queue[:0] = others
            self._bytes += sum(_size(each.write, each.blob) for each in others)
            if others:
                self._queued.notify()
        return [each for each in queue if each.sender is sender]

    def _sort_out(
        self, queue: list[_Queued]
    ) -> tuple[list[_Queued], Sequence[tuple[_Queued, LogError]]]:
        """Parts the records of partitions that do not exist, with their errors, from the others."""
        topics = self._database.topics
        misfits: dict[tuple[str, int | None], TopicError] = {}
        for topic, partition in {(each.write.topic, each.write.partition) for each in queue}:
            try:
                if partition is None:
                    topic_of(topics, topic)
                else:
                    slot_of(topics, topic, partition)
            except TopicError as error:
                misfits[topic, partition] = error
        if not misfits:
            return queue, ()
        places = [(each, misfits.get((each.write.topic, each.write.partition))) for each in queue]
        return (
            [each for each, error in places if error is None],
            [(each, error) for each, error in places if error is not None],
        )

    def close(self) -> None:
        """See the port.  Raises as `flush` does, after everything was released."""
        with self._queued:
            if self._closed:
                return
            self._closed = True
            self._queued.notify_all()
        if self._thread is not None:
            self._thread.join()
        try:
            self._drain(time.monotonic() + _PATIENCE_S)
            self._senders.tell_all()
        finally:
            self._database.close()


def _size(write: Write, blob: bytes) -> int:
    return len(blob) + len(write.key or b"") + len(write.value or b"")
