"""The same figures by a plain pass over the file: no processor, no events, no folds of kstate's.

It shares nothing with ``processors/flights.py``, so that one can be held against the other.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from demo.flights_file import MISSING, Flight

PAST_SEQ = 50
LONGEST = 3

Figures = dict[str, int | str | None]
"""The totals of one aircraft, times as the file has them."""


@dataclass
class Plain:
    """What the file comes to."""

    departures: int = 0
    without_tail: int = 0
    aircraft: dict[str, Figures] = field(default_factory=dict)
    past: dict[str, Figures] = field(default_factory=dict)  # after the first PAST_SEQ departures
    tags: Counter[str] = field(default_factory=Counter)
    longest: list[int] = field(default_factory=list)  # the longest late delays, minutes

    @property
    def events(self) -> int:
        """How many events there must be."""
        return self.departures - self.without_tail


def plain_pass(flights: Iterable[Flight]) -> Plain:
    """Adds everything up."""
    plain = Plain()
    late = []
    for each in flights:
        plain.departures += 1
        if each.tailnum == MISSING:
            plain.without_tail += 1
            continue
        figures = plain.aircraft.get(each.tailnum)
        if figures is None:
            figures = plain.aircraft[each.tailnum] = _nothing()
        plain.tags["carrier:" + each.carrier] += 1
        if each.dep_time == MISSING:
            _add(figures, "cancelled", "1")
        else:
            _add_flown(figures, each)
            delay = int(each.dep_delay)
            if delay > 180:
                plain.tags["late"] += 1
                late.append(delay)
        if seq_of(figures) == PAST_SEQ:
            plain.past[each.tailnum] = dict(figures)
    plain.longest = heapq.nlargest(LONGEST, late)
    return plain


def seq_of(figures: Figures) -> int:
    """How many departures an aircraft had."""
    return _number(figures["flown"]) + _number(figures["cancelled"])


def busiest(aircraft: dict[str, Figures], count: int) -> list[str]:
    """The tail numbers of those that flew most; of equals the first by name."""
    return sorted(aircraft, key=lambda tail: (-_number(aircraft[tail]["flown"]), tail))[:count]


def _nothing() -> Figures:
    sums = ("flown", "cancelled", "distance", "air_time", "departure_delay", "arrival_delay")
    return {**dict.fromkeys(sums, 0), "longest_delay": 0, "last_seen": None, "last_at": None}


def _add_flown(figures: Figures, flight: Flight) -> None:
    _add(figures, "flown", "1")
    _add(figures, "distance", flight.distance)
    _add(figures, "air_time", flight.air_time)
    _add(figures, "departure_delay", flight.dep_delay)
    _add(figures, "arrival_delay", flight.arr_delay)
    figures["longest_delay"] = max(_number(figures["longest_delay"]), int(flight.dep_delay))
    figures["last_seen"] = flight.time_hour
    figures["last_at"] = flight.dest


def _add(figures: Figures, name: str, amount: str) -> None:
    if amount != MISSING:
        figures[name] = _number(figures[name]) + int(amount)


def _number(figure: int | str | None) -> int:
    assert isinstance(figure, int)
    return figure
