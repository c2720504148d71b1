"""The client's messages as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from confluent_kafka import Message

from kstate.core.messages import Record, new_record


def record_of(message: Message) -> Record:
    """A message as a record."""
    return new_record(
        (
            message.partition(),
            message.offset(),
            message.key(),
            message.value(),
            message.headers() or [],
            message.timestamp()[1],
        )
    )


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
        return map(record_of, self._messages)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            # `record_of`, written out: it is done for every command
            return [
                new_record(
                    (
                        m.partition(),
                        m.offset(),
                        m.key(),
                        m.value(),
                        m.headers() or [],
                        m.timestamp()[1],
                    )
                )
                for m in self._messages[index]
            ]
        return record_of(self._messages[index])
