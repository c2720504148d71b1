"""The client: send commands, await replies, ask for states, read events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, overload

from kstate.client_calls import begin_call, command_write
from kstate.client_commands import (
    caller_headers,
    check_handled,
    new_command_id,
    telling_of_state,
)
from kstate.client_links import Links
from kstate.client_upkeep import Upkeep
from kstate.codec.port import Messages
from kstate.core.context import Machine
from kstate.core.messages import Command, GetState, Headers, Record, Write
from kstate.core.topics import Topics
from kstate.errors import (
    CallTimeout,
    KStateError,
    ProcessorAbsent,
)
from kstate.log.port import Log, Sender
from kstate.processor import Processor, name_of
from kstate.query.events import StoredEvent
from kstate.query.facade import Events
from kstate.query.index import Indexes
from kstate.query.journal import Journal
from kstate.query.points import Point, point_of
from kstate.query.processors import ProcessorRef as ProcessorRef
from kstate.query.processors import missing
from kstate.query.states import States
from kstate.query.tail import Tail
from kstate.replies import Answered, Call

R = TypeVar("R")
S = TypeVar("S")

DEFAULT_TIMEOUT_S = 10.0
FLUSH_S = 30.0

MessagesOf = Callable[[Topics, ProcessorRef], Messages]
MachineOf = Callable[[Topics, ProcessorRef], Machine]
Published = Callable[[Topics], bool]
"""Whether the processor's schemas are on the log, all of them."""


class Client(Upkeep):
    """Speaks to processors through a log.  May be used by many threads; close it, or use ``with``.

    Made by `kstate.connect`.
    """

    def __init__(
        self,
        log: Log,
        prefix: str,
        messages_of: MessagesOf,
        machine_of: MachineOf,
        published: Published,
        indexes: Indexes | None = None,
    ) -> None:
        self._log = log
        self._prefix = prefix
        self._messages_of = messages_of
        self._machine_of = machine_of
        self._published = published
        self._indexes = indexes
        self._lock = threading.RLock()
        self._links = Links(log)
        self._messages: dict[Any, Messages] = {}
        self._tails: dict[str, Tail] = {}  # by journal: all live queries of one share its end
        self._closed = False

    @property
    def events(self) -> Events:
        """Queries over the journals."""
        return Events(self.journal, lambda: self._closed)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    # -- commands ----------------------------------------------------------------------------

    def cast(
        self,
        processor: ProcessorRef,
        persist_id: str,
        command: Command[Any],
        *,
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
        sender: Sender | None = None,
    ) -> str:
        """Sends a command without asking for a reply; its command id.

        Returns once the command is queued; `flush` returns once it is stored.  Raises
        `ConfigError` for a header that kstate itself sets (`RESERVED_HEADERS`) and for a command
        that the processor's class does not handle.  ``sender`` is
        whose `flush` waits for it: by default the calling thread's.
        """
        _, value = self._encoded(processor, command)
        return self.cast_encoded(
            processor,
            persist_id,
            value,
            command_id=command_id,
            expected_seq=expected_seq,
            headers=headers,
            sender=sender,
        )

    def cast_encoded(
        self,
        processor: ProcessorRef,
        persist_id: str,
        value: bytes,
        *,
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
        sender: Sender | None = None,
    ) -> str:
        """`cast` of a command that is already encoded."""
        extra = caller_headers(headers)
        command_id = command_id or new_command_id()
        topics = self._topics(processor)
        write = command_write(topics, persist_id, value, command_id, expected_seq, extra)
        self._check_open()
        self._links.producer(topics).send(write, sender)
        return command_id

    def call(
        self,
        processor: ProcessorRef,
        persist_id: str,
        command: Command[R],
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> R:
        """Sends a command and waits for its reply, up to ``timeout`` seconds.

        Raises `Rejected`, `Conflict`, `CommandFailed`, `AlreadyDone`, or `CallTimeout`: then
        repeat it with the same ``command_id`` to get the original answer.  Its kind `NotSent` says
        that the log was not reached in that time.
        """
        return self.call_with_position(
            processor,
            persist_id,
            command,
            timeout=timeout,
            command_id=command_id,
            expected_seq=expected_seq,
            headers=headers,
        ).value

    def call_with_position(
        self,
        processor: ProcessorRef,
        persist_id: str,
        command: Command[R],
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Answered[R]:
        """`call`, with the position that readers elsewhere can wait for: read your own writes."""
        deadline = time.monotonic() + timeout
        call = self.begin(
            processor, persist_id, command, command_id, expected_seq, headers, timeout
        )
        try:
            record = self._reply_to(call, max(0.0, deadline - time.monotonic()))
        except CallTimeout:
            raise CallTimeout(call.command_id, timeout) from None
        answered: Answered[R] = call.answered(record)
        return answered

    def begin(
        self,
        processor: ProcessorRef,
        persist_id: str,
        command: Command[Any],
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
        timeout: float = FLUSH_S,
    ) -> Call:
        """Sends a command whose reply is awaited elsewhere; many may be under way at once.

        Returns once the command is stored; raises `CallTimeout` when it is not within ``timeout``
        seconds, and `NotSent` when not even the log was reached in that time.
        """
        messages, value = self._encoded(processor, command)
        if isinstance(command, GetState):
            decode = messages.decode_state
        else:
            decode = partial(messages.decode_reply, type(command))
        return self.begin_encoded(
            processor, persist_id, value, decode, command_id, expected_seq, headers, timeout
        )

    def begin_encoded(
        self,
        processor: ProcessorRef,
        persist_id: str,
        value: bytes,
        decode: Callable[[bytes], Any],
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
        timeout: float = FLUSH_S,
    ) -> Call:
        """`begin` of a command that is already encoded; ``decode`` makes a value of its reply."""
        given = caller_headers(headers)
        command_id = command_id or new_command_id()
        self._check_open()
        topics = self._topics(processor)

        def write_with(awaited: Headers) -> Write:
            extra = [*awaited, *given]
            return command_write(topics, persist_id, value, command_id, expected_seq, extra)

        return begin_call(
            self._links, self._log.url, topics, command_id, write_with, decode, timeout
        )

    def wait(self, processor: ProcessorRef, call: Call, timeout: float = DEFAULT_TIMEOUT_S) -> Any:
        """The result of a call to the processor that was begun; see `call`."""
        return self.answer(call, timeout).value

    def answer(self, call: Call, timeout: float = DEFAULT_TIMEOUT_S) -> Answered[Any]:
        """`wait`, with the position that readers elsewhere can wait for."""
        return call.answered(self._reply_to(call, timeout))

    def _reply_to(self, call: Call, timeout: float) -> Record:
        try:
            return call.future.result(timeout)
        except TimeoutError:
            raise CallTimeout(call.command_id, timeout) from None
        finally:
            call.abandon()

    @overload
    def state(
        self, processor: type[Processor[S]], persist_id: str, *, at_seq: int | None = ...,
        at: Point | datetime | None = ..., timeout: float = ...,
    ) -> S: ...  # fmt: skip

    @overload
    def state(
        self, processor: str, persist_id: str, *, at_seq: int | None = ...,
        at: Point | datetime | None = ..., timeout: float = ...,
    ) -> Any: ...  # fmt: skip

    def state(
        self,
        processor: ProcessorRef,
        persist_id: str,
        *,
        at_seq: int | None = None,
        at: Point | datetime | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Any:
        """The state now, answered by the owner; or after ``at_seq`` or ``at`` a point in time,
        folded from the journal.

        A persist id without events has its initial state.  Raises `StateTimeout` or `NotSent` when
        the owner does not answer, `ConfigError` when the journal does not reach ``at_seq`` or has
        no event of the point's command, `JournalError` where its events were removed.
        """
        if at_seq is None and at is None:
            with telling_of_state(processor, persist_id, timeout):
                return self.call(processor, persist_id, GetState(), timeout=timeout)
        return self.states(processor).then(persist_id, point_of(at_seq, at))

    def history(
        self,
        processor: type[Processor[S]],
        persist_id: str,
        start: Point | datetime | None = None,
        end: Point | datetime | None = None,
    ) -> Iterator[tuple[StoredEvent, S]]:
        """Each event of an entity between two points, with the state after it."""
        begin, until = (None if each is None else point_of(None, each) for each in (start, end))
        return self.states(processor).steps(persist_id, begin, until)

    def ids(self, processor: ProcessorRef) -> list[str]:
        """The persist ids that have events and were not deleted, sorted."""
        return self.journal(processor).ids()

    def flush(self, timeout: float = FLUSH_S, sender: Sender | None = None) -> None:
        """Returns when every command that the calling thread cast is stored, up to ``timeout``
        seconds; raises `LogError` for one that is not.

        The casts of threads that have ended count as its own, those of other threads do not.
        ``sender`` flushes the casts with that sender instead.
        """
        self._links.flush(timeout, sender)

    def close(self) -> None:
        """Flushes for all threads, ends its own, releases the log; idempotent.

        Raises `LogError` for a command that is not stored, unless its sender was told.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            tails = list(self._tails.values())
        try:
            for tail in tails:
                tail.close()
            self._links.close()
        finally:
            if self._indexes is not None:
                self._indexes.close()
            self._log.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it takes -----------------------------------------------------------------------

    def find(self, processor: ProcessorRef, schemas: bool = False) -> None:
        """Returns when the processor is on the log: its topics, and with ``schemas`` those of its
        messages, as its first worker publishes them.

        Raises `ProcessorAbsent`.
        """
        topics = self._topics(processor)
        needed = (topics.commands, topics.replies, topics.journal, topics.schemas)
        if len(self._log.topics(needed)) < len(needed):
            raise ProcessorAbsent(missing(topics))
        if schemas and not self._published(topics):
            raise ProcessorAbsent(
                f"the schemas of {topics.group} are not on this log yet: start a worker of it "
                "(kstate run), or give its class"
            )

    def journal(self, processor: ProcessorRef) -> Journal:
        """The processor's journal, to be read."""
        topics = self._topics(processor)
        messages = self.messages(processor)
        with self._lock:
            self._check_open()
            tail = self._tails.get(topics.journal)
            if tail is None:
                tail = self._tails[topics.journal] = Tail(self._log, topics.journal)
        index = self._indexes.of(topics.journal) if self._indexes is not None else None
        return Journal(self._log, topics, messages, tail, index)

    def states(self, processor: ProcessorRef) -> States:
        """What folds the processor's journal; raises `KStateError` where its code is not given."""
        machine = self.machine(processor)
        return States(self.journal(processor), machine, self.messages(processor))

    def machine(self, processor: ProcessorRef) -> Machine:
        """What folds the processor's events; raises `KStateError` where its code is not given."""
        return self._machine_of(self._topics(processor), processor)

    def messages(self, processor: ProcessorRef) -> Messages:
        """The codec for a processor, made once."""
        with self._lock:
            self._check_open()
            if processor not in self._messages:
                topics = self._topics(processor)
                self._messages[processor] = self._messages_of(topics, processor)
            return self._messages[processor]

    def _encoded(self, processor: ProcessorRef, command: Command[Any]) -> tuple[Messages, bytes]:
        messages = self.messages(processor)
        if not isinstance(processor, str):
            check_handled(processor, command)
        return messages, messages.encode_command(name_of(processor), command)

    def _topics(self, processor: ProcessorRef) -> Topics:
        return Topics.of(name_of(processor), self._prefix)

    def _check_open(self) -> None:
        if self._closed:
            raise KStateError("the client is closed")
