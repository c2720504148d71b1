"""A call, from its command to the promise of a reply."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kstate.client_links import Links
from kstate.core.messages import Headers, Write
from kstate.core.topics import Topics, encode_persist_id
from kstate.errors import CallTimeout, LogUnavailable, NotSent
from kstate.log.port import Sender
from kstate.replies import Call


def command_write(
    topics: Topics,
    persist_id: str,
    value: bytes,
    command_id: str,
    expected_seq: int | None,
    extra: Headers,
) -> Write:
    """The record of a command, with headers beside its own; raises `BadPersistId`."""
    headers: Headers = [("command-id", command_id.encode())]
    if expected_seq is not None:
        headers.append(("expected-seq", b"%d" % expected_seq))
    key = encode_persist_id(persist_id)
    return Write(topics.commands, None, key, value, headers + extra, int(time.time() * 1000))


def begin_call(
    links: Links,
    url: str,
    topics: Topics,
    command_id: str,
    write_with: Callable[[Headers], Write],
    decode: Callable[[bytes], Any],
    timeout: float,
) -> Call:
    """Sends a command, made ``write_with`` the headers that say where its reply is awaited.

    Returns once it is stored; raises `NotSent` when the log at ``url`` was not reached within
    ``timeout`` seconds, and `CallTimeout` when it was and the command may be stored.
    """
    deadline = time.monotonic() + timeout
    try:
        replies = links.replies(topics, timeout)
        producer = links.producer(topics, deadline - time.monotonic())
    except LogUnavailable as error:
        raise NotSent(command_id, timeout, url) from error
    awaited: Headers = [
        ("reply-to", replies.topic.encode()),
        ("reply-partition", b"%d" % replies.partition),
    ]
    write = write_with(awaited)
    call = replies.expect(command_id, write.key, decode)
    try:
        sender = Sender()  # it fails for its own record, and for no other's
        producer.send(write, sender)
        producer.flush(max(0.0, deadline - time.monotonic()), sender)
    except LogUnavailable as error:
        call.abandon()
        # it may be stored all the same, later or without our notice
        raise CallTimeout(command_id, timeout) from error
    except BaseException:
        call.abandon()
        raise
    return call
