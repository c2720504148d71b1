"""What a client holds open: its producer, and the listeners for replies.

A cluster that is away may keep a call of its own client for many seconds.  So everything is opened
in a thread, once, and whoever needs it waits no longer than it wants to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from kstate.core.topics import Topics
from kstate.errors import KStateError, LogUnavailable, ProcessorAbsent
from kstate.log.port import Log, Producer
from kstate.query.processors import missing
from kstate.replies import Replies

T = TypeVar("T")

PRODUCER = ""
"""The producer's key among the names of topics."""


class _Closable(Protocol):
    def close(self) -> None: ...


def within(timeout: float | None, attempt: Callable[[], T], late: Exception) -> T:
    """What ``attempt`` gives or raises, run in a thread; raises ``late`` after ``timeout`` seconds.

    An attempt that is late goes on, and nobody hears of it.  None: however long it takes.
    """
    future: Future[T] = Future()
    _run(future, attempt)
    return _result(future, timeout, late)


class Links:
    """Opens what a client needs, and closes it.  May be used by many threads."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._closed = False
        self._found: dict[str, Future[Any]] = {}  # what failed is not kept: it is tried again
        self._open: list[_Closable] = []
        self._threads: list[tuple[Future[Any], threading.Thread]] = []

    def producer(self, topics: Topics, timeout: float | None = None) -> Producer:
        """The producer for a processor's commands, at the latest after ``timeout`` seconds.

        Raises `ProcessorAbsent` when the processor is not on the log, `LogUnavailable` when that
        cannot be told in time.
        """
        deadline = _deadline(timeout)
        self._get(topics.commands, lambda: self._look_for(topics), deadline)
        producer: Producer = self._get(PRODUCER, self._make_producer, deadline)
        return producer

    def replies(self, topics: Topics, timeout: float | None = None) -> Replies:
        """The listener for a processor's replies; as `producer`."""
        replies: Replies = self._get(
            topics.replies, lambda: self._listen(topics), _deadline(timeout)
        )
        return replies

    def flush(self, timeout: float, sender: Any) -> None:
        """See `kstate.log.port.Producer.flush`."""
        future = self._found.get(PRODUCER)
        if future is not None and future.done():
            future.result().flush(timeout, sender)

    def close(self) -> None:
        """Closes the producer first, which flushes, then the listeners; idempotent.

        What is still being opened is closed as soon as it is there.  Raises the first error.
        """
        with self._lock:
            self._closed = True
            found, self._open = self._open, []
        for future, thread in self._threads:
            if future.done():
                thread.join()  # it has nothing left to do
        found.sort(key=lambda each: isinstance(each, Replies))
        self._close_all(found)

    def _close_all(self, found: list[_Closable]) -> None:
        if found:
            try:
                found[0].close()
            finally:
                self._close_all(found[1:])

    def _get(self, key: str, make: Callable[[], Any], deadline: float | None) -> Any:
        future = self._found.get(key)
        if future is not None and future.done():
            return future.result()
        with self._lock:
            future = self._found.get(key)
            if future is None:
                future = self._found[key] = Future()
                self._threads = [each for each in self._threads if each[1].is_alive()]
                self._threads.append((future, _run(future, lambda: self._kept(key, make))))
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        late = LogUnavailable(f"{self._log.url} did not answer in time")
        return _result(future, timeout, late)

    def _kept(self, key: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except BaseException:
            with self._lock:
                del self._found[key]
            raise

    def _look_for(self, topics: Topics) -> None:
        if topics.commands not in self._log.topics([topics.commands]):
            raise ProcessorAbsent(missing(topics))

    def _make_producer(self) -> Producer:
        return self._unless_closed(self._log.producer())

    def _listen(self, topics: Topics) -> Replies:
        info = self._log.topics([topics.replies]).get(topics.replies)
        if info is None:
            raise ProcessorAbsent(missing(topics))
        return self._unless_closed(Replies(self._log, topics.replies, info.partitions))

    def _unless_closed(self, made: T) -> T:
        with self._lock:
            closed = self._closed
            if not closed:
                self._open.append(made)  # type: ignore[arg-type]  # producers and listeners alone
        if closed:
            made.close()  # type: ignore[attr-defined]
            raise KStateError("the client is closed")
        return made


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _run(future: Future[T], attempt: Callable[[], T]) -> threading.Thread:
    def run() -> None:
        try:
            future.set_result(attempt())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            future.set_exception(error)

    # a daemon: whoever gave up may end the program
    thread = threading.Thread(target=run, name="kstate-opening", daemon=True)
    thread.start()
    return thread


def _result(future: Future[T], timeout: float | None, late: Exception) -> T:
    try:
        return future.result(timeout)
    except TimeoutError:
        raise late from None
