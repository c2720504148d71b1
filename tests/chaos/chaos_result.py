"""A run from its options to its line in a report, and what is kept of one that went wrong."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos_cluster import cluster
from chaos_run import WORKERS, ChaosRun

from demo.answers import read_all
from kstate.core.messages import Record
from kstate.errors import KStateError

REPORT = "report.jsonl"


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

    def lines(self) -> Iterable[str]:
        """The result in words and figures."""
        for name, figure in sorted(self.faults.items()):
            yield f"{name:48} {figure:8,}"
        for name in ("commands", "acknowledged", "unknown", "answered_again"):
            yield f"{name.replace('_', ' '):48} {getattr(self, name):8,}"
        yield f"{'seconds':48} {self.seconds:8.1f}"
        yield f"{'violations':48} {len(self.violations):8,}"


def run(options: argparse.Namespace) -> Result:
    """One run in a directory of its own, judged; what is left of a bad one is kept.

    Raises `NoLocalKafka`.
    """
    began = time.monotonic()
    result = Result(options.seed, options.brokers)
    with tempfile.TemporaryDirectory(prefix="kstate-chaos-") as temporary:
        directory = Path(temporary)
        (directory / "workers").mkdir()
        with cluster(directory / "kafka", options.brokers, WORKERS[options.brokers]) as made:
            this = ChaosRun(made, directory / "workers", options)
            try:
                this.judge()
            except Exception as error:  # noqa: BLE001 - it is what has come of the run
                this.wrong.append(f"the run ended with {type(error).__name__}: {error}")
                (directory / "workers" / "traceback.txt").write_text(traceback.format_exc())
            if this.wrong and options.keep:
                _keep(this, directory, options.keep / f"seed-{options.seed}-on-{options.brokers}")
    result.commands = len(this.evidence.commands)
    result.acknowledged = sum(map(len, this.evidence.acknowledged.values()))
    result.unknown, result.answered_again = this.unknown, this.forgiven
    result.faults = dict(this.arena.counts)
    result.violations = this.wrong
    result.seconds = round(time.monotonic() - began, 1)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        with (options.keep / REPORT).open("a") as report:
            report.write(json.dumps(asdict(result)) + "\n")
    return result


def _keep(this: ChaosRun, directory: Path, place: Path) -> None:
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
        total.violations += each.violations
        total.seconds += each.seconds
        faults.update(each.faults)
        if each.violations:
            bad.append((each.seed, each.brokers))
    total.faults = dict(faults)
    return total, bad
