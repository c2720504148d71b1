"""Adds up the reports of chaos runs.

    python tests/chaos/report.py chaos/report.jsonl

Ends with 1 when any run went wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "crash"), str(Path(__file__).parent)]

from chaos_result import Result, totals  # noqa: E402 - it is found only now


def main() -> None:
    """Reads the files named, and prints their totals."""
    files = [Path(each) for each in sys.argv[1:]]
    if not files:
        sys.exit("usage: report.py FILE...")
    results = [
        Result(**json.loads(line)) for file in files for line in file.read_text().splitlines()
    ]
    total, bad = totals(results)
    print(f"{len(results)} runs")
    for line in total.lines():
        print(line)
    for seed, brokers in bad:
        print(f"BAD: seed {seed} on {brokers} brokers")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
