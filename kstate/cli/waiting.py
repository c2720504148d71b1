"""A processor whose first worker is only just starting is waited for, up to a timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from kstate.cli.options import connected
from kstate.client import Client, ProcessorRef
from kstate.client_links import within
from kstate.config import Config
from kstate.errors import LogUnavailable, NoSuchLog, ProcessorAbsent
from kstate.processor import name_of

T = TypeVar("T")

LOOK_S = 0.1
TELL_AFTER_S = 1.0


class Patience:
    """What is left of a command's timeout."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds; 0 when it is over."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def spent_s(self) -> float:
        """Seconds since it began."""
        return self.timeout_s - self.left_s


@contextmanager
def client_for(
    config: Config, processor: ProcessorRef, patience: Patience, schemas: bool = False
) -> Iterator[Client]:
    """A client of the log, once the processor is there: with ``schemas``, once its commands are
    known, too.

    Raises what is missing, `NoSuchLog` or `ProcessorAbsent`, when patience ends, and
    `LogUnavailable` for a log that has not answered by then.
    """
    late = LogUnavailable(
        f"{config.log.partition('?')[0]} did not answer within {patience.timeout_s:g} s"
    )

    def bounded(attempt: Callable[[], T]) -> T:
        return _once_there(lambda: within(patience.left_s, attempt, late), processor, patience)

    with bounded(lambda: connected(config)) as client:
        bounded(lambda: client.find(processor, schemas))
        yield client


def _once_there(look: Callable[[], T], processor: ProcessorRef, patience: Patience) -> T:
    told = False
    absent: NoSuchLog | ProcessorAbsent | None = None
    while True:
        try:
            return look()
        except (NoSuchLog, ProcessorAbsent) as error:
            absent = error
        except LogUnavailable:
            if absent is None:
                raise  # else it is the last look that was cut short
        left_s = patience.left_s
        if not left_s:
            raise absent
        if not told and patience.spent_s >= TELL_AFTER_S:
            click.echo(
                f"kstate: waiting for a worker of {name_of(processor)}, up to "
                f"{patience.timeout_s:g} s",
                err=True,
            )
            told = True
        time.sleep(min(LOOK_S, left_s))
