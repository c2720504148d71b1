"""How far long work is: a bar on a terminal, a line now and then elsewhere; never on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

PERIOD_S = 5.0

Advance = Callable[[int], None]


@contextmanager
def progress(title: str, total: int, silent: bool = False) -> Iterator[Advance]:
    """Gives a function that takes how many units were done since the last time.

    ``silent``: nothing is printed on standard output meanwhile, so that a bar disturbs nobody.
    """
    if not sys.stderr.isatty():
        yield _Lines(title, total).advance
    elif silent or not sys.stdout.isatty():
        with _bar(title, total) as advance:
            yield advance
    else:
        yield lambda count: None  # what is printed shows how far it is


@contextmanager
def _bar(title: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units per second."""

        def render(self, task: RichTask) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s")

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total)
        yield lambda count: shown.advance(task, count)


class _Lines:
    """One line every `PERIOD_S` seconds: short work says nothing."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._began = self._told = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told < PERIOD_S:
            return
        self._told = now
        rate = self._done / (now - self._began)
        click.echo(
            f"{self._title}: {self._done:,} of about {self._total:,} ({rate:,.0f}/s)", err=True
        )
