"""The client: send commands, await replies, ask for states, read events."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, overload

from kstate.codec.port import Messages
from kstate.core.context import Machine
from kstate.core.messages import Command, GetState, Headers, Write
from kstate.core.topics import Topics, encode_persist_id
from kstate.errors import (
    CallTimeout,
    ConfigError,
    KStateError,
    TopicError,
)
from kstate.log.port import Log, Producer
from kstate.processor import Processor, name_of
from kstate.query import Journal, StoredEvent, missing
from kstate.replies import Call, Replies

R = TypeVar("R")
S = TypeVar("S")

DEFAULT_TIMEOUT_S = 10.0
FLUSH_S = 30.0

ProcessorRef = type[Processor[Any]] | str
"""A processor as a class, or its name where the code is not at hand."""

MessagesOf = Callable[[Topics, ProcessorRef], Messages]
MachineOf = Callable[[Topics, ProcessorRef], Machine]


RESERVED_HEADERS = frozenset(
    {
        # what a worker reads, beside traceparent, which is the caller's to give
        *("command-id", "content-type", "expected-seq", "reply-partition", "reply-to", "type"),
        # what a dead letter gets in place of the command's own
        *("error", "error-type", "source"),
    }
)
"""Headers of a command record that are not the caller's to set."""


def caller_headers(headers: Mapping[str, bytes] | None) -> Headers:
    """A caller's headers as a record takes them; raises `ConfigError` for one it cannot set."""
    for name, value in (headers or {}).items():
        if name in RESERVED_HEADERS:
            raise ConfigError(f"the header {name} is kstate's own: give another name to yours")
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise ConfigError(f"the header {name!r} is not a text with bytes as its value")
    return list((headers or {}).items())


class Client:
    """Speaks to processors through a log.  May be used by many threads; close it, or use ``with``.

    Made by `kstate.connect`.
    """

    def __init__(
        self, log: Log, prefix: str, messages_of: MessagesOf, machine_of: MachineOf
    ) -> None:
        self._log = log
        self._prefix = prefix
        self._messages_of = messages_of
        self._machine_of = machine_of
        self._lock = threading.RLock()
        self._producer: Producer | None = None
        self._replies: dict[str, Replies] = {}
        self._messages: dict[Any, Messages] = {}
        self._checked: set[str] = set()
        self._closed = False

    @property
    def events(self) -> Events:
        """Queries over the journals."""
        return Events(self)

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
    ) -> str:
        """Sends a command without asking for a reply; its command id.

        Returns once the command is queued; `flush` returns once it is stored.  Raises
        `ConfigError` for a header that kstate itself sets (`RESERVED_HEADERS`).
        """
        value = self.messages(processor).encode_command(name_of(processor), command)
        return self.cast_encoded(
            processor,
            persist_id,
            value,
            command_id=command_id,
            expected_seq=expected_seq,
            headers=headers,
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
    ) -> str:
        """`cast` of a command that is already encoded."""
        extra = caller_headers(headers)
        command_id = command_id or new_command_id()
        self._send(processor, persist_id, value, command_id, expected_seq, extra)
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
        repeat it with the same ``command_id`` to get the original answer.
        """
        call = self.begin(processor, persist_id, command, command_id, expected_seq, headers)
        result: R = self.wait(processor, call, timeout)
        return result

    def begin(
        self,
        processor: ProcessorRef,
        persist_id: str,
        command: Command[Any],
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Call:
        """Sends a command whose reply is awaited elsewhere; many may be under way at once."""
        messages = self.messages(processor)
        value = messages.encode_command(name_of(processor), command)
        if isinstance(command, GetState):
            decode = messages.decode_state
        else:
            decode = partial(messages.decode_reply, type(command))
        return self.begin_encoded(
            processor, persist_id, value, decode, command_id, expected_seq, headers
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
    ) -> Call:
        """`begin` of a command that is already encoded; ``decode`` makes a value of its reply."""
        given = caller_headers(headers)
        command_id = command_id or new_command_id()
        replies = self._listen(processor)
        extra: Headers = [
            ("reply-to", replies.topic.encode()),
            ("reply-partition", b"%d" % replies.partition),
            *given,
        ]
        future = replies.expect(command_id.encode())
        try:
            self._send(processor, persist_id, value, command_id, expected_seq, extra)
            self.flush()
        except BaseException:
            replies.forget(command_id.encode())
            raise
        return Call(command_id, future, decode)

    def wait(self, processor: ProcessorRef, call: Call, timeout: float = DEFAULT_TIMEOUT_S) -> Any:
        """The result of a call that was begun; see `call`."""
        try:
            record = call.future.result(timeout)
        except TimeoutError:
            raise self.timed_out(processor, call, timeout) from None
        return call.result_of(record)

    def timed_out(self, processor: ProcessorRef, call: Call, timeout: float) -> CallTimeout:
        """Forgets a call that nobody waits for any more; the error to raise."""
        self._listen(processor).forget(call.command_id.encode())
        return CallTimeout(call.command_id, timeout)

    @overload
    def state(
        self, processor: type[Processor[S]], persist_id: str, *, at_seq: int | None = ...,
        timeout: float = ...,
    ) -> S: ...  # fmt: skip

    @overload
    def state(
        self, processor: str, persist_id: str, *, at_seq: int | None = ..., timeout: float = ...
    ) -> Any: ...

    def state(
        self,
        processor: ProcessorRef,
        persist_id: str,
        *,
        at_seq: int | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Any:
        """The state now, answered by the owner; or after ``at_seq``, folded from the journal.

        A persist id without events has its initial state.  Raises `ConfigError` when the journal
        does not reach ``at_seq``.
        """
        if at_seq is None:
            return self.call(processor, persist_id, GetState(), timeout=timeout)
        if at_seq < 0:
            raise ConfigError(f"a seq is 0 or more, not {at_seq}")
        machine = self.machine(processor)
        state, seq = machine.init(persist_id), 0
        for stored, folded in self.journal(processor).states(machine, persist_id, at_seq):
            state, seq = folded, stored.seq
        if seq < at_seq:
            raise ConfigError(f"{persist_id!r} is at seq {seq}, it has no seq {at_seq} yet")
        return state

    def ids(self, processor: ProcessorRef) -> list[str]:
        """The persist ids that have events and were not deleted, sorted."""
        return self.journal(processor).ids()

    def flush(self, timeout: float = FLUSH_S) -> None:
        """Returns when every command sent so far is stored; raises `LogError` otherwise."""
        if self._producer is not None:
            self._producer.flush(timeout)

    def close(self) -> None:
        """Flushes, ends the threads, releases the log; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            if self._producer is not None:
                self._producer.close()
        finally:
            for replies in self._replies.values():
                replies.close()
            self._log.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it takes -----------------------------------------------------------------------

    def journal(self, processor: ProcessorRef) -> Journal:
        """The processor's journal, to be read."""
        topics = self._topics(processor)
        return Journal(self._log, topics, self.messages(processor))

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

    def _topics(self, processor: ProcessorRef) -> Topics:
        return Topics.of(name_of(processor), self._prefix)

    def _check_open(self) -> None:
        if self._closed:
            raise KStateError("the client is closed")

    def _send(
        self,
        processor: ProcessorRef,
        persist_id: str,
        value: bytes,
        command_id: str,
        expected_seq: int | None,
        extra: Headers,
    ) -> None:
        topics = self._topics(processor)
        key = encode_persist_id(persist_id)
        headers: Headers = [("command-id", command_id.encode())]
        if expected_seq is not None:
            headers.append(("expected-seq", b"%d" % expected_seq))
        now = int(time.time() * 1000)
        self._sender(topics).send(Write(topics.commands, None, key, value, headers + extra, now))

    def _sender(self, topics: Topics) -> Producer:
        with self._lock:
            self._check_open()
            if topics.commands not in self._checked:
                if topics.commands not in self._log.topics([topics.commands]):
                    raise TopicError(missing(topics))
                self._checked.add(topics.commands)
            if self._producer is None:
                self._producer = self._log.producer()
            return self._producer

    def _listen(self, processor: ProcessorRef) -> Replies:
        topics = self._topics(processor)
        with self._lock:
            self._check_open()
            replies = self._replies.get(topics.replies)
            if replies is None:
                info = self._log.topics([topics.replies]).get(topics.replies)
                if info is None:
                    raise TopicError(missing(topics))
                replies = Replies(self._log, topics.replies, info.partitions)
                self._replies[topics.replies] = replies
            return replies


class Events:
    """Queries over journals; see `kstate.query.Journal`.  A live one ends with its client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def _stop(self) -> bool:
        return self._client.closed

    def by_id(
        self,
        processor: ProcessorRef,
        persist_id: str,
        *,
        from_seq: int = 1,
        to_seq: int | None = None,
        live: bool = False,
    ) -> Iterator[StoredEvent]:
        """The events of one persist id in seq order; with ``live`` further ones as they come."""
        journal = self._client.journal(processor)
        return journal.by_id(
            persist_id, from_seq=from_seq, to_seq=to_seq, live=live, stop=self._stop
        )

    def by_tag(
        self, processor: ProcessorRef, tag: str, *, after: str | None = None, live: bool = False
    ) -> Iterator[StoredEvent]:
        """The events with a tag, ``after`` the position of an event found before."""
        return self._client.journal(processor).by_tag(tag, after=after, live=live, stop=self._stop)

    def all(
        self, processor: ProcessorRef, *, after: str | None = None, live: bool = False
    ) -> Iterator[StoredEvent]:
        """Every event of a processor."""
        return self._client.journal(processor).all(after=after, live=live, stop=self._stop)


def new_command_id() -> str:
    """A command id that nobody else has."""
    return uuid.uuid4().hex
