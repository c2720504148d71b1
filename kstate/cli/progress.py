"""How far long work is: a bar on a terminal, a line now and then elsewhere; never on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PERIOD_S = 5.0
QUIET_S = 1.0
"""How long a question that is mostly answered at once may take before a bar is shown."""


class Shown(Protocol):
    """How far the work is, on the screen."""

    def advance(self, count: int) -> None:
        """So many units were done since the last time."""

    def clear(self) -> None:
        """A line is about to be printed."""


@contextmanager
def progress(title: str, total: int, pauses: bool = False, after_s: float = 0.0) -> Iterator[Shown]:
    """Shows work of about ``total`` units.

    ``pauses``: long stretches print nothing, so that a bar is of use in between where the output
    is the same terminal.  A bar comes when nothing was printed for ``after_s`` seconds.
    """
    if not sys.stderr.isatty():
        yield _Lines(title, total)
    elif sys.stdout.isatty() and not pauses:
        yield _Nothing()  # what is printed shows how far it is
    else:
        with _bar(title, total, after_s) as bar:
            yield bar


class _Nothing:
    def advance(self, count: int) -> None:
        """Shows nothing."""

    def clear(self) -> None:
        """Nothing is there to be cleared."""


class _Bar:
    """Gone while lines are printed on the same terminal, back when work goes on."""

    def __init__(self, shown: Progress, task: TaskID, after_s: float) -> None:
        self._shown = shown
        self._task = task
        self._after_s = after_s
        self._quiet_since = time.monotonic()
        self._same_screen = sys.stdout.isatty()

    def advance(self, count: int) -> None:
        if time.monotonic() - self._quiet_since >= self._after_s:
            self._shown.start()
        self._shown.advance(self._task, count)

    def clear(self) -> None:
        if self._same_screen:
            self._shown.stop()
            self._quiet_since = time.monotonic()


@contextmanager
def _bar(title: str, total: int, after_s: float) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s")

    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # the data would go where the bar is
        redirect_stderr=False,
    )
    try:
        yield _Bar(shown, shown.add_task(title, total=total), after_s)
    finally:
        shown.stop()


class _Lines:
    """One line every `PERIOD_S` seconds: short work says nothing."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._began = self._told = time.monotonic()

    def clear(self) -> None:
        """Lines on standard error disturb nobody."""

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told < PERIOD_S:
            return
        self._told = now
        rate = self._done / (now - self._began)
        left = self._total - self._done
        when = f", about {left / rate:,.0f} s left" if left > 0 and rate > 0 else ""
        click.echo(
            f"{self._title}: {self._done:,} of about {self._total:,} ({rate:,.0f}/s{when})",
            err=True,
        )
