"""The README is true: what it prints is run, in its order, and must print what it says."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from datetime import datetime
from pathlib import Path

from pages import Shell, blocks, check_types, follow
from rich.console import Console

from demo.answers import Answers
from demo.flights_file import Flight, flights_file, read_flights
from demo.plain import PAST_SEQ, Plain, busiest, plain_pass, seq_of
from demo.report import compare, show
from kstate import StoredEvent
from kstate.core.messages import Record
from processors.flights import Flown

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = blocks(ROOT / "README.md")


def test_the_first_half_hour_prints_what_it_says(shell: Shell, tmp_path: Path) -> None:
    assert follow(BLOCKS, tmp_path, shell) > 10


def test_the_client_of_the_first_half_hour_is_typed(tmp_path: Path) -> None:
    check_types(BLOCKS, tmp_path)


def test_what_is_made_can_be_made() -> None:
    targets = set(re.findall(r"\bmake ([\w-]+)", README))
    assert {"setup", "demo", "test"} <= targets
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    paths = re.findall(r"`((?:processors|demo|tests)/[\w./]*)`", README)
    inside = [each for each in links if not each.startswith("https://")]
    for each in [*inside, *paths]:
        assert (ROOT / each).exists(), each


# -- the demo ------------------------------------------------------------------------------------


def late_events(flights: list[Flight]) -> list[StoredEvent]:
    """What a query for late events must find."""
    found = []
    for each in flights:
        if each.tailnum == "NA" or each.dep_delay == "NA" or int(each.dep_delay) <= 180:
            continue
        at = datetime.fromisoformat(each.time_hour)
        event = Flown(
            each.carrier, int(each.flight), each.origin, each.dest, at, int(each.distance),
            int(each.dep_delay), None, None,
        )  # fmt: skip
        found.append(
            StoredEvent(each.tailnum.encode(), 1, Record(0, 0, None, None, [], 0), {}, event)
        )
    return found


def answers_of(plain: Plain, late: list[StoredEvent]) -> Answers:
    """What the demo must be told, by the plain pass alone."""
    carrier = min(
        (tag for tag in plain.tags if tag != "late"), key=lambda tag: (plain.tags[tag], tag)
    )
    (top,) = busiest(plain.aircraft, 1)
    return Answers(
        asked=plain.aircraft,
        folded=plain.aircraft,
        seqs={tail: seq_of(each) for tail, each in plain.aircraft.items()},
        events=plain.events,
        tags=plain.tags,
        late=late,
        carrier=carrier,
        by_carrier=plain.tags[carrier],
        past_of=top,
        past=plain.past[top],
        past_seq=PAST_SEQ,
        dead_letters=Counter({"BadPersistId": plain.without_tail}),
    )


def test_the_result_of_the_demo_is_what_the_file_comes_to() -> None:
    (shown,) = (text for language, text in BLOCKS if language == "text")
    flights = list(read_flights(flights_file()))
    plain = plain_pass(flights)
    answers = answers_of(plain, late_events(flights))
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        show(console, answers)
    printed = [line.rstrip() for line in captured.get().splitlines()]
    matching = compare(answers, plain).matching
    printed.append(f"all {matching:,} figures match a plain pass over the file")
    lines = shown.splitlines()
    assert [line for line in lines if not line.startswith("processed in ")] == printed
