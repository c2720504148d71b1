"""Prints what was found, and holds it against the plain pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from demo.answers import Answers
from demo.plain import LONGEST, PAST_SEQ, Figures, Plain, busiest, seq_of

BUSIEST = 10
SHOWN = 10


class Comparison:
    """Counts what matches and keeps what does not."""

    def __init__(self) -> None:
        self.matching = 0
        self.differences: list[str] = []

    def same(self, what: str, found: object, expected: object) -> None:
        """Compares one figure."""
        if found == expected and type(found) is type(expected):
            self.matching += 1
        else:
            self.differences.append(f"{what}: {found!r}, in the file {expected!r}")

    def all_same(self, what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """Compares figures by name, those included that only one side has."""
        for name in sorted(found.keys() | expected.keys()):
            self.same(f"{what}, {name}", found.get(name, "none"), expected.get(name, "none"))


def compare(answers: Answers, plain: Plain) -> Comparison:
    """Every figure of every aircraft, asked and folded; tags, dead letters, events; the past."""
    comparison = Comparison()
    for source, states in (("asked", answers.asked), ("folded", answers.folded)):
        for tail in sorted(states.keys() | plain.aircraft.keys()):
            found, expected = states.get(tail, {}), plain.aircraft.get(tail, {})
            comparison.all_same(f"{tail}, {source}", found, expected)
    seqs = {tail: seq_of(each) for tail, each in plain.aircraft.items()}
    comparison.all_same("last seq", answers.seqs, seqs)
    comparison.all_same("events with the tag", answers.tags, plain.tags)
    comparison.same("events", answers.events, plain.events)
    comparison.same("late events found", len(answers.late), plain.tags["late"])
    comparison.same("longest delays", _longest(answers), plain.longest)
    comparison.same(answers.carrier, answers.by_carrier, plain.tags[answers.carrier])
    comparison.same("dead letters", answers.dead_letters.total(), plain.without_tail)
    past = plain.past if answers.past_seq == PAST_SEQ else plain.aircraft
    comparison.all_same(
        f"{answers.past_of} at seq {answers.past_seq}", answers.past, past[answers.past_of]
    )
    return comparison


def _longest(answers: Answers) -> list[int]:
    return sorted((each.event.departure_delay for each in answers.late), reverse=True)[:LONGEST]


def show(console: Console, answers: Answers) -> None:
    """The table, the queries, the past, the dirt."""
    console.print(_table(answers.asked))
    late = sorted(answers.late, key=lambda e: (-e.event.departure_delay, e.persist_id, e.seq))
    _say(console, f'events tagged "late": {len(late):,}; the longest delays:')
    for each in late[:LONGEST]:
        event = each.event
        _say(
            console,
            f"  {event.departure_delay:,} min  {event.carrier} {event.flight} "
            f"{event.origin}-{event.destination} on {event.scheduled:%Y-%m-%d}, {each.persist_id}",
        )
    _say(console, f'events tagged "{answers.carrier}": {answers.by_carrier:,}')
    tail = answers.past_of
    now = answers.asked[tail]
    _say(console, f"{tail} after event {answers.past_seq}: {_line(answers.past)}")
    _say(console, f"{tail} now, after event {seq_of(now)}: {_line(now)}")
    for kind, count in sorted(answers.dead_letters.items()):
        _say(console, f"dead letters, {kind}: {count:,} (departures without a tail number)")


def _table(aircraft: dict[str, Figures]) -> Table:
    title = f"The {BUSIEST} busiest of {len(aircraft):,} aircraft"
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    table.add_column("aircraft")
    for column in ("flown", "cancelled", "miles", "hours in the air", "mean delay (min)"):
        table.add_column(column, justify="right")
    for tail in busiest(aircraft, BUSIEST):
        each: dict[str, Any] = dict(aircraft[tail])
        table.add_row(
            tail,
            f"{each['flown']:,}",
            f"{each['cancelled']:,}",
            f"{each['distance']:,}",
            f"{each['air_time'] / 60:,.1f}",
            f"{each['departure_delay'] / (each['flown'] or 1):.2f}",
        )
    return table


def _line(figures: Figures) -> str:
    names = ("flown", "cancelled", "distance", "departure_delay", "last_seen", "last_at")
    return " ".join(f"{name}={figures[name]}" for name in names)


def show_differences(console: Console, comparison: Comparison) -> None:
    """The first differences."""
    count = len(comparison.differences)
    _say(console, f"{count:,} figures differ, {comparison.matching:,} match:")
    for each in comparison.differences[:SHOWN]:
        _say(console, f"  {each}")
    if count > SHOWN:
        _say(console, f"  and {count - SHOWN:,} more")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)
