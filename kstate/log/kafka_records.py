"""The client's messages as records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import methodcaller
from typing import overload

from confluent_kafka import Message

from kstate.core.messages import UNREADABLE_HEADERS, Headers, Record, new_record

_headers_of: Callable[[Message], Headers | None] = methodcaller("headers")
# A method called in a loop is soon called without a look at whether it raised (CPython 3.11), and
# this one may raise and return a value all the same: the error would come up anywhere later.


def chosen(messages: Iterable[Message], only: Callable[[Headers], bool]) -> list[Message]:
    """The messages for whose headers ``only`` is true."""
    found = []
    for message in messages:
        try:
            headers = _headers_of(message) or []
        except SystemError:
            headers = _unreadable(message)
        if only(headers):
            found.append(message)
    return found


def _unreadable(message: Message) -> Headers:
    """In place of headers of which a name is not UTF-8 (confluent-kafka 2.16)."""
    # or the client, asked again, would give a list with a hole in it
    message.set_headers(UNREADABLE_HEADERS)
    return UNREADABLE_HEADERS


def records_of(messages: Iterable[Message]) -> list[Record]:
    """Messages as records."""
    records = []
    for message in messages:
        try:
            headers = _headers_of(message) or []
        except SystemError:
            headers = _unreadable(message)
        partition, offset, at = message.partition(), message.offset(), message.timestamp()[1]
        records.append(new_record((partition, offset, message.key(), message.value(), headers, at)))
    return records


class Records(Sequence[Record]):
    """Messages that become records when they are asked for, anew each time.

    The content of a message is made when its methods are called: done shortly before the record is
    used, it is still in the processor's cache then.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Record]:
        return iter(self[:])

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return records_of(self._messages[index])
        return records_of([self._messages[index]])[0]
