"""What a client asks of owners beside commands: to erase an entity, to make snapshots anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial
from typing import Protocol

from kstate.client_calls import begin_call
from kstate.client_commands import new_command_id
from kstate.client_links import Links
from kstate.codec.port import Messages
from kstate.core.messages import Command, Erase, Headers, Rebuild, Write
from kstate.core.topics import Topics
from kstate.errors import AlreadyDone, RebuildTimeout
from kstate.log.port import Log
from kstate.processor import name_of
from kstate.query.journal import Journal
from kstate.query.processors import ProcessorRef
from kstate.replies import Call

UPKEEP_TIMEOUT_S = 60.0
REBUILD_TIMEOUT_S = 600.0
"""Owners read their whole journal, and answer when they have come to its end."""
TELL_S = 1.0

Watch = Callable[[int, int], object]
"""Gets the partitions that are done, and how many there are, each second or more often."""


class _Asks(Protocol):
    """What `Upkeep` needs of the client that it is part of."""

    _links: Links
    _log: Log

    def call(
        self,
        processor: ProcessorRef,
        persist_id: str,
        command: Command[int],
        *,
        timeout: float = ...,
        command_id: str | None = ...,
    ) -> int: ...

    def journal(self, processor: ProcessorRef) -> Journal: ...

    def messages(self, processor: ProcessorRef) -> Messages: ...

    def _topics(self, processor: ProcessorRef) -> Topics: ...


class Upkeep:
    """The part of a client that asks owners to look after what is stored."""

    def erase(
        self: _Asks,
        processor: ProcessorRef,
        persist_id: str,
        *,
        timeout: float = UPKEEP_TIMEOUT_S,
        command_id: str | None = None,
    ) -> int:
        """Lets an entity's owner erase its state and all its events; the seq of the last of them.

        0: there was nothing.  The entity begins anew, and its next event has the seq after that.
        Returns when the last tombstone is committed; when the records themselves are gone is the
        log's matter (``kstate erase --status``).  Raises as `call`; after a `CallTimeout` the same
        ``command_id`` tells whether it is done, and erases nothing that came since.
        """
        deadline = time.monotonic() + timeout
        command_id = command_id or new_command_id()
        try:
            return self.call(processor, persist_id, Erase(), timeout=timeout, command_id=command_id)
        except AlreadyDone as begun:
            # it was too much for one transaction: what is left of it, if anything
            left = max(0.0, deadline - time.monotonic())
            return self.call(processor, persist_id, Erase(upto=begun.seq), timeout=left)

    def rebuild(
        self: _Asks,
        processor: ProcessorRef,
        *,
        timeout: float = REBUILD_TIMEOUT_S,
        watch: Watch | None = None,
    ) -> int:
        """Lets the owners of all partitions fold every state from the first event on, and write
        new snapshots; how many they wrote.

        The partitions run no commands meanwhile.  No single entity is rebuilt.  ``watch``
        hears how far it is.  Raises `RebuildTimeout` when an owner did not answer, `CommandFailed`
        when the journal does not have the events any more.
        """
        deadline = time.monotonic() + timeout
        value = self.messages(processor).encode_command(name_of(processor), Rebuild())
        decode = partial(self.messages(processor).decode_reply, Rebuild)
        topics, count = self._topics(processor), self.journal(processor).partitions()
        calls: dict[int, Call] = {}
        try:
            for partition in range(count):
                command_id = new_command_id()
                calls[partition] = begin_call(
                    self._links,
                    self._log.url,
                    topics,
                    command_id,
                    _to_partition(topics, partition, value, command_id),
                    decode,
                    max(0.0, deadline - time.monotonic()),
                )
            return _all_written(calls, deadline, timeout, topics.group, watch)
        finally:
            for call in calls.values():
                call.abandon()


def _to_partition(
    topics: Topics, partition: int, value: bytes, command_id: str
) -> Callable[[Headers], Write]:
    def write_with(awaited: Headers) -> Write:
        headers: Headers = [("command-id", command_id.encode()), *awaited]
        now = int(time.time() * 1000)
        return Write(topics.commands, partition, None, value, headers, now)

    return write_with


def _all_written(
    calls: dict[int, Call], deadline: float, timeout: float, name: str, watch: Watch | None
) -> int:
    """The sum of what the owners answer; raises `RebuildTimeout`."""
    written, silent = 0, dict(calls)
    while silent:
        left = deadline - time.monotonic()
        futures = [call.future for call in silent.values()]
        wait(futures, max(0.0, min(left, TELL_S)), FIRST_COMPLETED)
        for partition, call in list(silent.items()):
            if call.future.done():
                written += silent.pop(partition).result_of(call.future.result())
        if watch is not None:
            watch(len(calls) - len(silent), len(calls))
        if silent and left <= 0:
            first = next(iter(silent.values()))
            raise RebuildTimeout(first.command_id, timeout, name, list(silent))
    return written
