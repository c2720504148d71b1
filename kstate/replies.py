"""Calls under way, and where their replies arrive: one partition of the replies topic, read by one
thread."""

from __future__ import annotations

import itertools
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from kstate.core.messages import Record
from kstate.errors import (
    AlreadyDone,
    CommandFailed,
    Conflict,
    KStateError,
    LogUnavailable,
    Rejected,
)
from kstate.log.port import Log

R = TypeVar("R")

WAIT_S = 0.2
CHUNK = 1_000

logger = logging.getLogger("kstate.client")


class Answered(NamedTuple, Generic[R]):
    """A reply, and the position behind which everybody can see what the command did."""

    value: R
    position: str  # for `Events.wait_for` and projections


class Call:
    """A call under way: what is needed to make its result of the reply."""

    def __init__(
        self,
        command_id: str,
        future: Future[Record],
        decode: Callable[[bytes], Any],
        abandon: Callable[[], None],
    ) -> None:
        self.command_id = command_id
        self.future = future
        self.abandon = abandon  # nobody waits any more
        self._decode = decode

    def answered(self, record: Record) -> Answered[Any]:
        """The reply's value and position; raises what the reply says went wrong."""
        position = dict(record.headers).get("position", b"")
        return Answered(self.result_of(record), position.decode(errors="replace"))

    def result_of(self, record: Record) -> Any:
        """The reply's value; raises what the reply says went wrong."""
        headers = dict(record.headers)
        status = headers.get("status", b"")
        error = headers.get("error", b"").decode(errors="replace")
        code = headers.get("code", b"").decode(errors="replace")
        seq = int(headers.get("seq", b"0"))
        if status == b"ok":
            return self._decode(record.value or b"")
        if status == b"rejected":
            raise Rejected(error, code)
        if status == b"conflict":
            raise Conflict(seq)
        if status == b"duplicate":
            raise AlreadyDone(seq)
        raise CommandFailed(error or f"a reply with the status {status!r}", code)


class _Waiting(NamedTuple):
    """Somebody who waits for the reply to a command."""

    persist_id: bytes | None  # as a record's key has it
    future: Future[Record]


class Replies:
    """Hands each reply to the one who waits for it; others' replies pass by.

    A reply is known by its command id and its persist id: one id at two entities is two commands.
    """

    def __init__(self, log: Log, topic: str, partitions: int) -> None:
        self.topic = topic
        self.partition = random.randrange(partitions)  # clients spread over the partitions
        self._waiting: dict[bytes, list[_Waiting]] = {}  # by command id
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._broken: KStateError | None = None
        self._reader = log.reader(follows=True)
        # from the end on: a reply cannot come before its command was sent
        self._reader.assign(topic, {self.partition: log.ends(topic)[self.partition].end})
        self._thread = threading.Thread(target=self._run, name=f"kstate-{topic}", daemon=True)
        self._thread.start()

    def expect(
        self, command_id: str, persist_id: bytes | None, decode: Callable[[bytes], Any]
    ) -> Call:
        """A call whose reply is to come, to be made before the command is sent."""
        key = command_id.encode()
        future: Future[Record] = Future()  # one each: several may repeat one command id
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._waiting.setdefault(key, []).append(_Waiting(persist_id, future))
        return Call(command_id, future, decode, partial(self._forget, key, future))

    def _forget(self, key: bytes, future: Future[Record]) -> None:
        with self._lock:
            self._keep(
                key, [each for each in self._waiting.get(key, ()) if each.future is not future]
            )

    def _keep(self, key: bytes, waiting: list[_Waiting]) -> None:
        if waiting:
            self._waiting[key] = waiting
        else:
            self._waiting.pop(key, None)

    def _take(self, record: Record) -> list[Future[Record]]:
        """Who waits for this reply; they wait no longer."""
        key = record.key or b""
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is None:
                return []
            # a command without a persist id is answered without one, and has an id of its own
            persist_id = dict(record.headers).get("persist-id")
            self._keep(key, [each for each in waiting if each.persist_id != persist_id])
        return [each.future for each in waiting if each.persist_id == persist_id]

    def close(self) -> None:
        """Ends the thread and fails who still waits; idempotent."""
        self._closing.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._reader.close()
        self._fail(KStateError("the client was closed while the call waited"))

    def _run(self) -> None:
        away = False
        while not self._closing.is_set():
            try:
                chunk = self._reader.poll(CHUNK, WAIT_S)
            except LogUnavailable as error:
                if not away:
                    logger.warning("replies from %s wait for the log: %s", self.topic, error)
                away = True
                self._closing.wait(WAIT_S)
                continue
            except KStateError as error:
                logger.error("replies from %s cannot be read: %s", self.topic, error)
                self._fail(error)
                return
            away = False
            for record in chunk.records:
                for future in self._take(record):
                    if future.set_running_or_notify_cancel():
                        future.set_result(record)

    def _fail(self, error: KStateError) -> None:
        with self._lock:
            self._broken = self._broken or error
            waiting, self._waiting = self._waiting, {}
        for _, future in itertools.chain.from_iterable(waiting.values()):
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
