"""Chaos on a real Kafka: everything goes wrong while commands flow, then all is judged.

    python tests/chaos/run.py --brokers 3 --seed 1 --minutes 6 --keep chaos
    python tests/chaos/report.py chaos/report.jsonl

A seed that DIR's report has already, with as many brokers, is not run again; one that was cut off
is not in it.  Ends with 1 when anything is wrong; `docs/guarantees.md` says what goes wrong and
what is judged.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "crash"), str(Path(__file__).parent)]

from chaos_result import REPORT, run, run_before  # noqa: E402 - it is found only now

from kstate.testing.kafka_local import NoLocalKafka  # noqa: E402

SHOWN = 20
PATIENCE_S = 300.0
"""A machine may stand still for long: it decides nothing but when a run is given up."""


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3, help="how many (3)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (1)")
    parser.add_argument("--minutes", type=float, default=6.0, help="how long faults fire (6)")
    parser.add_argument(
        "--commands", type=int, default=24_000, help="how many are sent in that time (24000)"
    )
    parser.add_argument("--accounts", type=int, default=160, help="how many there are (160)")
    parser.add_argument(
        "--patience",
        type=float,
        metavar="S",
        default=PATIENCE_S,
        help="how many seconds something may take that must happen (300)",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="where a report, what runs said and all that bad ones left go",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, and prints what came of it."""
    options = options_of()
    name = f"seed {options.seed} on {options.brokers} brokers"
    if options.keep:
        report = options.keep / REPORT
        before = run_before(report, options.seed, options.brokers)
        if before is not None:
            found = f"{len(before.violations)} violations" if before.violations else "no violation"
            ended = f", ended {before.ended}" if before.ended else ""
            print(f"{name}: not run again, it is in {report} ({found}{ended})", flush=True)
            sys.exit(1 if before.violations else 0)
    print(name, flush=True)
    try:
        result = run(options)
    except NoLocalKafka as error:
        sys.exit(f"chaos: {error}")
    for line in result.lines():
        print(line)
    for violation in result.violations[:SHOWN]:
        print(f"VIOLATION {violation}")
    sys.exit(1 if result.violations else 0)


if __name__ == "__main__":
    main()
