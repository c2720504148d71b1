"""``python -m demo``: see the package."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
import uuid
from itertools import islice
from pathlib import Path

import click
from rich.console import Console

from demo.answers import ask
from demo.feeding import Watch, feed
from demo.flights_file import DEPARTURES, flights_file, read_flights
from demo.plain import plain_pass
from demo.progress import Progress
from demo.report import compare, show, show_differences
from demo.worker_process import WorkerProcess
from kstate import KStateError, connect
from kstate.core.topics import Topics
from kstate.wiring import open_log
from processors.flights import Flights

MAX_MEMORY_MB = 500
EXIT_INTERRUPTED = 130


class Demo:
    """One run, in a directory of its own."""

    def __init__(self, url: str | None, directory: Path, departures: int) -> None:
        self.console = Console()
        self.directory = directory
        self.departures = departures
        self.url = url or f"sqlite:{directory}/flights.db"
        # another run on the same Kafka begins with topics of its own
        self.prefix = f"demo-{uuid.uuid4().hex[:8]}-"
        self.worker = WorkerProcess(
            "processors.flights:Flights",
            self.url,
            self.prefix,
            directory / "data",
            directory / "worker.log",
        )

    def run(self) -> bool:
        """Whether all is as it should be."""
        path = flights_file()
        began = time.monotonic()
        topics = Topics.of(Flights.name, self.prefix)
        log = open_log(self.url)
        try:
            self.worker.start()
            with connect(self.url, prefix=self.prefix) as client:
                watch, took_s = self._process(client, log, topics, path)
                asking = time.monotonic()
                answers = ask(client, log, topics.dead_letters)
                asked_s = time.monotonic() - asking
        finally:
            code = self.worker.stop()
            log.close()
        show(self.console, answers)
        comparison = compare(answers, plain_pass(islice(read_flights(path), self.departures)))
        back = watch.back_after_s or 0.0
        self.say(
            f"processed in {took_s:.1f} s ({self.departures / took_s:,.0f}/s, the kill included: "
            f"at work again after {back:.1f} s); read back in {asked_s:.1f} s; "
            f"all in {time.monotonic() - began:.1f} s; worker's memory at most {self._memory()}"
        )
        return self._verdict(code, comparison)

    def _process(self, client, log, topics, path):  # type: ignore[no-untyped-def]
        ...

    def say(self, line: str) -> None:
        """Prints a line."""
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)
