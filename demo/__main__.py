"""``python -m demo``: see the package."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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
from kstate import Client, KStateError, connect
from kstate.core.topics import Topics
from kstate.errors import ConfigError
from kstate.log.port import Log
from kstate.testing.broker import NoBroker, broker
from kstate.wiring import open_log
from processors.flights import Flights

MAX_MEMORY_MB = 500
EXIT_INTERRUPTED = 130


class Demo:
    """One run, in a directory of its own."""

    def __init__(self, url: str | None, directory: Path, departures: int) -> None:
        self._console = Console()
        self._departures = departures
        self._url = url or f"sqlite:{directory}/flights.db"
        prefix = f"demo-{uuid.uuid4().hex[:8]}-"  # every run has topics of its own
        self._prefix = prefix
        self._topics = Topics.of(Flights.name, prefix)
        self.worker = WorkerProcess(
            "processors.flights:Flights",
            self._url,
            prefix,
            directory / "data",
            directory / "worker.log",
        )

    def run(self) -> bool:
        """Whether all is as it should be."""
        path = flights_file()
        log = open_log(self._url)
        self._say(f"{self._departures:,} departures through kstate run, on {log.url}")
        began = time.monotonic()
        try:
            self.worker.start()
            with connect(self._url, prefix=self._prefix) as client:
                watch = self._process(client, log, path)
                processed = time.monotonic()
                self._say("all processed; asking every aircraft, and reading the journal")
                answers = ask(client, log, self._topics.dead_letters)
                asked = time.monotonic()
        finally:
            code = self.worker.stop()
            log.close()
        show(self._console, answers)
        comparison = compare(answers, plain_pass(self._flights(path)))
        took_s = processed - began
        self._say(
            f"processed in {took_s:.1f} s, {self._departures / took_s:,.0f}/s, the kill included "
            f"(back at work after {watch.back_after_s or 0.0:.1f} s); read back in "
            f"{asked - processed:.1f} s; all in {time.monotonic() - began:.1f} s; "
            f"worker's memory at most {self._memory()}"
        )
        if comparison.differences:
            show_differences(self._console, comparison)
        else:
            self._say(f"all {comparison.matching:,} figures match a plain pass over the file")
        return not comparison.differences and self._ended_well(code)

    def _process(self, client: Client, log: Log, path: Path) -> Watch:
        """Feeds the worker, kills it, and waits until it has processed everything."""
        with Progress(self._console, "processed", self._departures) as progress:
            watch = Watch(log, self._topics, self.worker, self._departures, progress)
            watch.until_ready()
            feed(client, log, self._topics, self._flights(path), self._departures, watch)
            watch.until_done()
        return watch

    def _flights(self, path: Path) -> islice:  # type: ignore[type-arg]
        return islice(read_flights(path), self._departures)

    def _ended_well(self, code: int | None) -> bool:
        if self.worker.peak_kb > MAX_MEMORY_MB * 1024:
            self._say(f"the worker took more than {MAX_MEMORY_MB} MB")
        elif code:
            self._say(f"the worker was told to stop and ended with exit code {code}")
        else:
            return True
        return False

    def _memory(self) -> str:
        peak = self.worker.peak_kb
        return f"{peak / 1024:.0f} MB" if peak else "(not measured on this system)"

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)


@click.command()
@click.option(
    "--log",
    "url",
    metavar="URL",
    help="Another log than a fresh embedded one: its URL, or kafka for a broker of the demo's own.",
)
@click.option(
    "--departures",
    type=click.IntRange(100, DEPARTURES),
    default=DEPARTURES,
    show_default=True,
    help="Only the first so many.",
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=".demo",
    show_default=True,
    help="Where the run's own directory is made, and removed when all went well.",
)
def main(url: str | None, departures: int, directory: Path) -> None:
    """A year of departures from New York through one persistent process per aircraft."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the worker goes, too
    directory.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix="run-", dir=directory)).absolute()
    try:
        with _log(url) as found:
            good = Demo(found, run, departures).run()
        if not good:
            _tell(f"what the worker said is in {run / 'worker.log'}")
    except KeyboardInterrupt:
        shutil.rmtree(run)
        _tell("interrupted: the worker was stopped, nothing is left running")
        sys.exit(EXIT_INTERRUPTED)
    except KStateError as error:
        said = run / "worker.log"
        if said.exists():
            _tell(f"{error}; what the worker said is in {said}")
        else:
            shutil.rmtree(run)
            _tell(str(error))
        sys.exit(error.exit_code)
    if not good:
        sys.exit(1)
    shutil.rmtree(run)


@contextmanager
def _log(url: str | None) -> Iterator[str | None]:
    """The log to run on; ``kafka`` alone is a broker that lives as long as the demo."""
    if url != "kafka":
        yield url
        return
    try:
        with broker() as servers:
            yield f"kafka://{servers}"
    except NoBroker as error:
        raise ConfigError(str(error)) from error


def _tell(message: str) -> None:
    click.echo(f"demo: {message}", err=True)


if __name__ == "__main__":
    main()
