"""Readers that recoveries use one after another: to connect may take longer than to read."""

from __future__ import annotations

from collections.abc import Callable

from kstate.log.port import Reader


class Readers:
    """The readers that are at hand; ``open_reader`` makes one more."""

    def __init__(self, open_reader: Callable[[], Reader]) -> None:
        self._open = open_reader
        self._idle: list[Reader] = []

    def take(self) -> Reader:
        """One that nobody else uses, until it is given back or closed."""
        return self._idle.pop() if self._idle else self._open()

    def give_back(self, reader: Reader) -> None:
        """Takes one back that has come to the end of what it was to read."""
        self._idle.append(reader)

    def close(self) -> None:
        """Closes those at hand; idempotent."""
        while self._idle:
            self._idle.pop().close()
