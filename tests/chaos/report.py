"""Adds up the reports of chaos runs.

    python tests/chaos/report.py chaos/report.jsonl

A seed on so many brokers counts once, and a bad run of it stays bad.  Ends with 1 when any run went
wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "crash"), str(Path(__file__).parent)]

from chaos_result import once, read_report, totals  # noqa: E402 - it is found only now


def main() -> None:
    """Reads the files named, and prints their totals."""
    files = [Path(each) for each in sys.argv[1:]]
    if not files:
        sys.exit("usage: report.py FILE...")
    lines = [each for file in files for each in read_report(file)]
    results = once(lines)
    total, bad = totals(results)
    print(f"{len(results)} runs")
    if len(lines) > len(results):
        print(f"{len(lines) - len(results)} more of seeds that are counted already")
    for line in total.lines():
        print(line)
    for seed, brokers in bad:
        print(f"BAD: seed {seed} on {brokers} brokers")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
