"""Writing to the embedded log outside a member's transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kstate.core.messages import Write
from kstate.errors import EncodeError, LogError, LogUnavailable, TopicError
from kstate.log.embedded_file import Database
from kstate.log.embedded_records import append, encode_writes, slot_of, topic_of

_BATCH = 5_000  # records that are worth a transaction without waiting for more
_BATCH_BYTES = 8 * 2**20
_LINGER_S = 0.002
_PATIENCE_S = 30.0  # for records that nobody flushes, while the log is locked or its disk full


class EmbeddedProducer:
    """See `kstate.log.port.Producer`.

    Whoever finds the queue full, or flushes, writes it himself, in one transaction; a thread of
    the producer's own writes what has been lying for 2 ms.
    """

    def __init__(self, database: Database, max_record_bytes: int, clock: Callable[[], int]) -> None:
        self._database = database
        self._limit = max_record_bytes
        self._clock = clock
        self._queue: list[Write] = []
        self._blobs: list[bytes] = []
        self._bytes = 0
        self._errors: list[LogError] = []
        self._queued = threading.Condition()  # guards the five above
        self._writing = threading.Lock()  # guards the database
        self._thread: threading.Thread | None = None
        self._closed = False

    def send(self, write: Write) -> None:
        """See the port.  Raises `RecordTooLarge` and `EncodeError` for this record, at once."""
        (blob,) = encode_writes((write,), self._limit)
        if not -(2**63) <= write.timestamp < 2**63:
            raise EncodeError("a record's timestamp has more than 64 bits")
        with self._queued:
            if self._closed:
                raise LogError("this producer is closed")
            self._queue.append(write)
            self._blobs.append(blob)
            self._bytes += len(blob) + len(write.key or b"") + len(write.value or b"")
            first = len(self._queue) == 1
            full = len(self._queue) >= _BATCH or self._bytes >= _BATCH_BYTES
            if first:
                self._wake()
        if full:
            self._drain(time.monotonic() + _PATIENCE_S)

    def flush(self, timeout_s: float) -> None:
        """See the port.  What it raises for is not stored and will not be."""
        self._drain(time.monotonic() + timeout_s)
        with self._queued:
            errors, self._errors = self._errors, []
        if errors:
            raise errors[0]

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
            self._drain(time.monotonic() + _PATIENCE_S)

    def _drain(self, deadline: float) -> None:
        """Writes what is queued; tries again until the deadline (monotonic clock)."""
        if not self._writing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LogUnavailable("the producer is still writing earlier records; flush again")
        try:
            with self._queued:
                queue, self._queue = self._queue, []
                blobs, self._blobs = self._blobs, []
                self._bytes = 0
            if queue:
                self._store(queue, blobs, deadline)
        finally:
            self._writing.release()

    def _store(self, queue: list[Write], blobs: list[bytes], deadline: float) -> None:
        while True:
            try:
                with self._database.write() as connection:
                    fit, misfits = self._sort_out(queue, blobs)
                    append(connection, self._database.topics, *fit, self._clock())
                errors: list[LogError] = list(misfits)
                break
            except LogUnavailable as error:
                if time.monotonic() >= deadline:
                    errors = [error]
                    break
                time.sleep(0.01)
            except LogError as error:
                errors = [error]
                break
        if errors:
            with self._queued:
                self._errors.extend(errors)

    def _sort_out(
        self, queue: list[Write], blobs: list[bytes]
    ) -> tuple[tuple[list[Write], list[bytes]], list[TopicError]]:
        """Parts the records of partitions that do not exist from the others."""
        topics = self._database.topics
        misfits: dict[tuple[str, int | None], TopicError] = {}
        for topic, partition in {(write.topic, write.partition) for write in queue}:
            try:
                if partition is None:
                    topic_of(topics, topic)
                else:
                    slot_of(topics, topic, partition)
            except TopicError as error:
                misfits[topic, partition] = error
        if not misfits:
            return (queue, blobs), []
        pairs = zip(queue, blobs, strict=True)
        kept = [pair for pair in pairs if (pair[0].topic, pair[0].partition) not in misfits]
        return ([write for write, _ in kept], [blob for _, blob in kept]), list(misfits.values())

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
            self.flush(_PATIENCE_S)
        finally:
            self._database.close()
