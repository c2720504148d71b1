"""The client for asyncio: the same names, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, Unpack, overload
from weakref import WeakKeyDictionary, ref

from kstate.client import DEFAULT_TIMEOUT_S, FLUSH_S, Client, ProcessorRef
from kstate.client_commands import telling_of_state
from kstate.client_upkeep import REBUILD_TIMEOUT_S, UPKEEP_TIMEOUT_S
from kstate.core.messages import Command, GetState
from kstate.errors import CallTimeout
from kstate.log.port import Sender
from kstate.processor import Processor
from kstate.query.events import StoredEvent
from kstate.query.points import Point
from kstate.query.wanted import EventType, Selection
from kstate.replies import Answered

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")


class AsyncClient:
    """Speaks to processors through a log, without blocking the event loop.

    Made by `kstate.aio.connect`; many calls may be under way at once.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._senders: WeakKeyDictionary[asyncio.Task[Any], Sender] = WeakKeyDictionary()

    async def cast(
        self,
        processor: ProcessorRef,
        persist_id: str,
        command: Command[Any],
        *,
        command_id: str | None = None,
        expected_seq: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> str:
        """See `Client.cast`; `flush` in the same task waits for it."""
        return await asyncio.to_thread(
            self._client.cast,
            processor,
            persist_id,
            command,
            command_id=command_id,
            expected_seq=expected_seq,
            headers=headers,
            sender=self._sender(),
        )

    async def call(
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
        """See `Client.call`."""
        answered = await self.call_with_position(
            processor,
            persist_id,
            command,
            timeout=timeout,
            command_id=command_id,
            expected_seq=expected_seq,
            headers=headers,
        )
        return answered.value

    async def call_with_position(
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
        """See `Client.call_with_position`."""
        began = time.monotonic()
        call = await asyncio.to_thread(
            self._client.begin, processor, persist_id, command, command_id, expected_seq, headers,
            timeout,
        )  # fmt: skip
        left = max(0.0, began + timeout - time.monotonic())
        try:
            record = await asyncio.wait_for(asyncio.wrap_future(call.future), left)
        except TimeoutError:
            raise CallTimeout(call.command_id, timeout) from None
        finally:
            call.abandon()
        answered: Answered[R] = call.answered(record)
        return answered

    @overload
    async def state(
        self, processor: type[Processor[S]], persist_id: str, *, at_seq: int | None = ...,
        at: Point | datetime | None = ..., timeout: float = ...,
    ) -> S: ...  # fmt: skip

    @overload
    async def state(
        self, processor: str, persist_id: str, *, at_seq: int | None = ...,
        at: Point | datetime | None = ..., timeout: float = ...,
    ) -> Any: ...  # fmt: skip

    async def state(
        self,
        processor: ProcessorRef,
        persist_id: str,
        *,
        at_seq: int | None = None,
        at: Point | datetime | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Any:
        """See `Client.state`."""
        if at_seq is None and at is None:
            with telling_of_state(processor, persist_id, timeout):
                return await self.call(processor, persist_id, GetState(), timeout=timeout)
        return await asyncio.to_thread(
            lambda: self._client.state(processor, persist_id, at_seq=at_seq, at=at)
        )

    def history(
        self,
        processor: type[Processor[S]],
        persist_id: str,
        start: Point | datetime | None = None,
        end: Point | datetime | None = None,
    ) -> AsyncIterator[tuple[StoredEvent, S]]:
        """See `Client.history`."""
        return _stepped(lambda _: self._client.history(processor, persist_id, start, end))

    async def erase(
        self,
        processor: ProcessorRef,
        persist_id: str,
        *,
        timeout: float = UPKEEP_TIMEOUT_S,
        command_id: str | None = None,
    ) -> int:
        """See `Client.erase`."""
        return await asyncio.to_thread(
            lambda: self._client.erase(
                processor, persist_id, timeout=timeout, command_id=command_id
            )
        )

    async def rebuild(self, processor: ProcessorRef, *, timeout: float = REBUILD_TIMEOUT_S) -> int:
        """See `Client.rebuild`."""
        return await asyncio.to_thread(lambda: self._client.rebuild(processor, timeout=timeout))

    async def ids(self, processor: ProcessorRef) -> list[str]:
        """See `Client.ids`."""
        return await asyncio.to_thread(self._client.ids, processor)

    @property
    def events(self) -> AsyncEvents:
        """Queries over the journals."""
        return AsyncEvents(self._client)

    async def flush(self, timeout: float = FLUSH_S) -> None:
        """See `Client.flush`; what is said of threads there, goes for tasks here."""
        await asyncio.to_thread(self._client.flush, timeout, self._sender())

    def _sender(self) -> Sender:
        """The current task: its casts run in threads that other tasks use, too."""
        task = asyncio.current_task()
        assert task is not None
        found = self._senders.get(task)
        if found is None:
            found = self._senders[task] = Sender(partial(_ended, ref(task)))
        return found

    async def close(self) -> None:
        """See `Client.close`."""
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _ended(task: ref[asyncio.Task[Any]]) -> bool:
    found = task()
    return found is None or found.done()


class AsyncEvents:
    """Queries over journals, as asynchronous iterators."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def by_id(
        self,
        processor: ProcessorRef,
        persist_id: str,
        *,
        from_seq: int = 1,
        to_seq: int | None = None,
        since: datetime | None = None,
        after: str | None = None,
        live: bool = False,
    ) -> AsyncIterator[StoredEvent]:
        """See `kstate.query.facade.Events.by_id`."""
        return _stepped(
            lambda stop: self._client.journal(processor).by_id(
                persist_id,
                from_seq=from_seq,
                to_seq=to_seq,
                since=since,
                after=after,
                live=live,
                stop=stop,
            )
        )

    def by_tag(
        self, processor: ProcessorRef, *tags: str, **selection: Unpack[Selection]
    ) -> AsyncIterator[StoredEvent]:
        """See `kstate.query.facade.Events.by_tag`."""
        selection["any_of"] = (*tags, *selection.get("any_of", ()))
        return self.all(processor, **selection)

    def by_type(
        self, processor: ProcessorRef, *events: EventType, **selection: Unpack[Selection]
    ) -> AsyncIterator[StoredEvent]:
        """See `kstate.query.facade.Events.by_type`."""
        selection["types"] = (*events, *selection.get("types", ()))
        return self.all(processor, **selection)

    def all(
        self, processor: ProcessorRef, **selection: Unpack[Selection]
    ) -> AsyncIterator[StoredEvent]:
        """See `kstate.query.facade.Events.all`."""
        return _stepped(lambda stop: self._client.journal(processor).all(stop=stop, **selection))

    def ids(self, processor: ProcessorRef, *, live: bool = False) -> AsyncIterator[str]:
        """See `kstate.query.facade.Events.ids`."""

        def begin(stop: Callable[[], bool]) -> Iterator[str]:
            journal = self._client.journal(processor)
            return journal.live_ids(stop=stop) if live else (each for each in journal.ids())

        return _stepped(begin)

    async def wait_for(self, processor: ProcessorRef, position: str, timeout: float = 10.0) -> None:
        """See `kstate.query.facade.Events.wait_for`."""
        await asyncio.to_thread(self._client.events.wait_for, processor, position, timeout)


async def _stepped(
    begin: Callable[[Callable[[], bool]], Iterator[T]],
) -> AsyncIterator[T]:
    """Steps a blocking iterator in threads, one step at a time."""
    stopped = False
    iterator = await asyncio.to_thread(begin, lambda: stopped)
    step = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, iterator, None))
            found = await asyncio.shield(step)
            if found is None:
                return
            yield found
    finally:
        stopped = True
        if step is not None and not step.done():
            await step  # a generator must not be closed while a thread is in it
        await asyncio.to_thread(iterator.close)  # type: ignore[attr-defined]
