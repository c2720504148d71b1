"""The end of a journal, read once for all live queries of a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from kstate.core.messages import Record
from kstate.errors import KStateError
from kstate.log.port import Chunk, Log, Reader
from kstate.query.wanted import Wanted

CHUNK = 2_000
WAIT_S = 0.2
ROOM = 10_000
"""Records that wait for a query; one that falls further behind reads the journal by itself."""


class Seat:
    """One live query's place at the tail; used by its thread alone."""

    def __init__(
        self,
        fits: Callable[[Record], bool],
        starts: Mapping[int, int],
        leave: Callable[[Seat], None],
    ) -> None:
        self.starts = dict(starts)
        """Per partition, the offset from which on the tail tells everything that fits."""
        self._fits = fits
        self._leave = leave
        self._records: list[Record] = []
        self._reached: Mapping[int, int] = self.starts
        self._failure: BaseException | None = None
        self._gone = False
        self._news = threading.Condition()

    def take(self, timeout_s: float) -> tuple[Sequence[Record], Mapping[int, int]] | None:
        """What came since the last time, and the positions behind it; None when the query fell
        behind and has to read by itself.  Raises what the tail failed with."""
        with self._news:
            if not (self._records or self._gone or self._failure):
                self._news.wait(timeout_s)
            if self._failure is not None:
                raise self._failure
            if self._gone:
                return None
            records, self._records = self._records, []
            return records, self._reached

    def put(self, records: Sequence[Record], reached: Mapping[int, int]) -> bool:
        """Adds what fits; False when there is no room for it."""
        fitting = list(filter(self._fits, records))
        with self._news:
            self._reached = reached
            if len(self._records) + len(fitting) > ROOM:
                self._gone = True
                self._records.clear()
            self._records += () if self._gone else fitting
            if fitting:
                self._news.notify()
            return not self._gone

    def fail(self, error: BaseException) -> None:
        """Has `take` raise this."""
        with self._news:
            self._failure = error
            self._news.notify()

    def leave(self) -> None:
        """Gives the place up; idempotent."""
        self._leave(self)


class Tail:
    """Reads a journal from its present end on while at least one live query sits at it."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._lock = threading.Lock()
        self._seats: list[Seat] = []
        self._positions: dict[int, int] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def sit(self, wanted: Wanted) -> Seat:
        """A place at the tail; raises `KStateError` once it is closed, and what the log says."""
        with self._lock:
            if self._closed:
                raise KStateError("the client is closed")
            if self._thread is None:
                self._begin()
            seat = Seat(wanted.filter(), self._positions, self._left)
            self._seats.append(seat)
            return seat

    def close(self) -> None:
        """Ends the thread; idempotent."""
        with self._lock:
            self._closed = True
            self._seats.clear()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _begin(self) -> None:
        # not the ends: what lies in an open transaction is told when that is over
        self._positions = {p: each.stable for p, each in self._log.ends(self._topic).items()}
        reader = self._log.reader(follows=True)
        try:
            reader.assign(self._topic, self._positions)
        except BaseException:
            reader.close()
            raise
        self._thread = threading.Thread(
            target=self._run, args=(reader,), name=f"kstate-{self._topic}", daemon=True
        )
        self._thread.start()

    def _left(self, seat: Seat) -> None:
        with self._lock:
            if seat in self._seats:
                self._seats.remove(seat)

    def _run(self, reader: Reader) -> None:
        try:
            while self._wanted():
                chunk = reader.poll(CHUNK, WAIT_S)
                with self._lock:
                    self._tell(chunk)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            with self._lock:
                for seat in self._seats:
                    seat.fail(error)
                self._seats.clear()
                self._thread = None
        finally:
            reader.close()

    def _wanted(self) -> bool:
        with self._lock:
            if not self._seats:
                self._thread = None
            return bool(self._seats)

    def _tell(self, chunk: Chunk) -> None:
        reached = moved(self._positions, chunk)
        self._positions = reached
        self._seats = [seat for seat in self._seats if seat.put(chunk.records, reached)]


def moved(positions: Mapping[int, int], chunk: Chunk) -> dict[int, int]:
    """The positions behind a chunk that was read from these on."""
    last = {record[0]: record[1] + 1 for record in chunk.records}
    return {**positions, **last, **chunk.passed, **chunk.ends}
