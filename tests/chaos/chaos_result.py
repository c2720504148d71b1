"""A run from its options to its line in a report, and what is kept of it."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from chaos_cluster import cluster
from chaos_run import WORKERS, ChaosRun

from demo.answers import read_all
from kstate.core.messages import Record
from kstate.errors import KStateError

REPORT = "report.jsonl"
TOLD = ("history-*.jsonl", "faults.jsonl", "worker-*.log")
"""What is kept of every run: what clients, faults and workers said."""


@dataclass
class Result:
    """What came of a run; one line of a report."""

    seed: int
    brokers: int
    commands: int = 0
    acknowledged: int = 0
    unknown: int = 0  # answers that did not come in time
    answered_again: int = 0  # as a loss of offsets explains
    faults: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    held: int = 0  # snapshots in the local stores that were judged
    held_at_standby: int = 0  # of them, in stores that were followed for others
    ended: str = ""
    kept: str = ""  # the directory, beside the report

    def lines(self) -> Iterable[str]:
        """The result in words and figures."""
        for name, figure in sorted(self.faults.items()):
            yield f"{name:48} {figure:8,}"
        figures = ("commands", "acknowledged", "unknown", "answered_again")
        for name in (*figures, "held", "held_at_standby"):
            yield f"{name.replace('_', ' '):48} {getattr(self, name):8,}"
        yield f"{'seconds':48} {self.seconds:8.1f}"
        yield f"{'violations':48} {len(self.violations):8,}"


def run(options: argparse.Namespace) -> Result:
    """One run in a directory of its own, judged; what it said is kept, of a bad one all that is
    left.

    Raises `NoLocalKafka`.  Only a run that came to its end has a line in the report: not one that
    was interrupted, whatever else went wrong because of that.
    """
    began = time.monotonic()
    result = Result(options.seed, options.brokers)
    workers = WORKERS[options.brokers]
    with tempfile.TemporaryDirectory(prefix="kstate-chaos-") as temporary:
        directory = Path(temporary)
        (directory / "workers").mkdir()
        with cluster(directory / "kafka", options.brokers, workers, options.patience) as made:
            this = ChaosRun(made, directory / "workers", options)
            try:
                this.judge()
            except Exception as error:  # it is what has come of the run
                if _interrupted(error):
                    raise KeyboardInterrupt from error
                this.wrong.append(f"the run ended with {type(error).__name__}: {error}")
                (directory / "workers" / "traceback.txt").write_text(traceback.format_exc())
            if options.keep:
                place = _new_place(options.keep, f"seed-{options.seed}-on-{options.brokers}")
                result.kept = place.name
                if this.wrong:
                    _keep_all(this, directory, place)
                else:
                    _keep_told(directory / "workers", place)
    result.commands = len(this.evidence.commands)
    result.acknowledged = sum(map(len, this.evidence.acknowledged.values()))
    result.unknown, result.answered_again = this.unknown, this.forgiven
    result.faults = dict(this.arena.counts)
    result.violations = this.wrong
    result.held, result.held_at_standby = this.held, this.held_at_standby
    result.seconds = round(time.monotonic() - began, 1)
    result.ended = datetime.now(UTC).isoformat(timespec="seconds")
    if options.keep:
        add(options.keep / REPORT, result)
    return result


def _interrupted(error: BaseException) -> bool:
    """Whether an interrupt was under way when an error came of it."""
    behind: list[BaseException | None] = [error]
    for each in behind:
        if isinstance(each, KeyboardInterrupt):
            return True
        if each is not None:
            behind += [more for more in (each.__cause__, each.__context__) if more not in behind]
    return False


# -- reports -------------------------------------------------------------------------------------


def add(report: Path, result: Result) -> None:
    """Adds a line, on the disk when this returns; behind one that was cut off it begins anew."""
    report.parent.mkdir(parents=True, exist_ok=True)
    with report.open("a+b") as file:
        file.seek(0)
        before = file.read()
        newline = "" if not before or before.endswith(b"\n") else "\n"
        file.write(f"{newline}{json.dumps(asdict(result))}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def read_report(report: Path) -> list[Result]:
    """The lines of a report, of one that is not there none; what was cut off is left out."""
    results = []
    for line in report.read_text(errors="replace").splitlines() if report.exists() else []:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        results.append(Result(**found))
    return results


def once(results: Iterable[Result]) -> list[Result]:
    """One result for each seed and number of brokers: the first that was bad, else the first."""
    found: dict[tuple[int, int], Result] = {}
    for each in results:
        before = found.setdefault((each.seed, each.brokers), each)
        if each.violations and not before.violations:
            found[each.seed, each.brokers] = each
    return list(found.values())


def run_before(report: Path, seed: int, brokers: int) -> Result | None:
    """What a report has of a run already."""
    found = once(read_report(report))
    return next((each for each in found if (each.seed, each.brokers) == (seed, brokers)), None)


# -- what is kept --------------------------------------------------------------------------------


def _new_place(keep: Path, name: str) -> Path:
    """A new directory: what an earlier run left, be it one that was cut off, stays as it is."""
    for number in count(1):
        place = keep / (name if number == 1 else f"{name}.{number}")
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            continue
        return place
    raise AssertionError  # numbers do not end


def _keep_told(workers: Path, place: Path) -> None:
    """Keeps what clients, faults and workers said, compressed."""
    for pattern in TOLD:
        for path in workers.glob(pattern):
            with path.open("rb") as said, gzip.open(place / f"{path.name}.gz", "wb") as kept:
                shutil.copyfileobj(said, kept)


def _keep_all(this: ChaosRun, directory: Path, place: Path) -> None:
    """Copies what workers, clients and brokers left, and every record of every topic."""
    shutil.copytree(directory / "workers", place, dirs_exist_ok=True)
    for output in (directory / "kafka").glob("*/output"):
        shutil.copy(output, place / f"{output.parent.name}.log")
    (place / "violations.txt").write_text("\n".join(this.wrong) + "\n")
    try:
        this.cluster.heal()
        for topic in this.topics[:-1]:  # the last one is the group
            with (place / f"{topic}.jsonl").open("w") as file:
                for record in read_all(this.log, topic):
                    file.write(json.dumps(_shown(record)) + "\n")
    except (AssertionError, KStateError) as error:
        (place / "not-kept.txt").write_text(f"the topics could not be read: {error}\n")


def _shown(record: Record) -> dict[str, object]:
    return {
        "partition": record.partition,
        "offset": record.offset,
        "key": repr(record.key),
        "headers": [[name, repr(value)] for name, value in record.headers],
        "value": None if record.value is None else record.value.hex(),
    }


def totals(results: Iterable[Result]) -> tuple[Result, list[tuple[int, int]]]:
    """The sum of results, and seed and brokers of each run that went wrong."""
    total, bad = Result(0, 0), []
    faults: Counter[str] = Counter()
    for each in results:
        total.commands += each.commands
        total.acknowledged += each.acknowledged
        total.unknown += each.unknown
        total.answered_again += each.answered_again
        total.held += each.held
        total.held_at_standby += each.held_at_standby
        total.violations += each.violations
        total.seconds += each.seconds
        faults.update(each.faults)
        if each.violations:
            bad.append((each.seed, each.brokers))
    total.faults = dict(faults)
    return total, bad
