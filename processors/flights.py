"""Aircraft and what they did: one process per tail number, fed with departures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kstate import Command, Context, EventAdapter, Processor, Rejected, command, event, tagged

LATE_MINUTES = 180


@dataclass(frozen=True)
class Departure(Command[int]):
    """One scheduled departure; the reply is the number of flights flown so far.

    ``departed`` is False for a cancelled flight.  Delays in minutes (negative: early), distance in
    miles, air time in minutes; None where the record has none.
    """

    carrier: str
    flight: int
    origin: str
    destination: str
    scheduled: datetime
    distance: int
    departed: bool
    departure_delay: int | None = None
    arrival_delay: int | None = None
    air_time: int | None = None


@dataclass(frozen=True)
class Flown:
    carrier: str
    flight: int
    origin: str
    destination: str
    scheduled: datetime
    distance: int
    departure_delay: int | None
    arrival_delay: int | None
    air_time: int | None


@dataclass(frozen=True)
class Cancelled:
    carrier: str
    flight: int
    origin: str
    destination: str
    scheduled: datetime


@dataclass(frozen=True)
class Aircraft:
    """The state: totals over all departures so far."""

    flown: int = 0
    cancelled: int = 0
    distance: int = 0  # miles
    air_time: int = 0  # minutes
    departure_delay: int = 0  # minutes, the sum
    arrival_delay: int = 0  # minutes, the sum
    longest_delay: int = 0  # minutes
    last_seen: datetime | None = None
    last_at: str | None = None  # airport code


class Tags(EventAdapter):
    """Tags events with their carrier, and long delays as such."""

    tags = ("carrier:…", "late")

    def to_journal(self, event: Any) -> Any:
        return tagged(event, *_tags(event))


def _tags(event: Any) -> Iterable[str]:
    yield f"carrier:{event.carrier}"
    if isinstance(event, Flown) and (event.departure_delay or 0) > LATE_MINUTES:
        yield "late"


class Flights(Processor[Aircraft]):
    name = "flights"
    snapshot_every = 200
    adapters = (Tags(),)

    def init(self, persist_id: str) -> Aircraft:
        return Aircraft()

    @command
    def departure(self, ctx: Context[Aircraft], cmd: Departure) -> int:
        if cmd.distance <= 0:
            raise Rejected(f"a distance of {cmd.distance} miles", code="distance")
        if cmd.departed:
            ctx.persist(
                Flown(
                    cmd.carrier,
                    cmd.flight,
                    cmd.origin,
                    cmd.destination,
                    cmd.scheduled,
                    cmd.distance,
                    cmd.departure_delay,
                    cmd.arrival_delay,
                    cmd.air_time,
                )
            )
        else:
            ctx.persist(
                Cancelled(cmd.carrier, cmd.flight, cmd.origin, cmd.destination, cmd.scheduled)
            )
        return ctx.state.flown

    @event
    def flew(self, state: Aircraft, event: Flown) -> Aircraft:
        return replace(
            state,
            flown=state.flown + 1,
            distance=state.distance + event.distance,
            air_time=state.air_time + (event.air_time or 0),
            departure_delay=state.departure_delay + (event.departure_delay or 0),
            arrival_delay=state.arrival_delay + (event.arrival_delay or 0),
            longest_delay=max(state.longest_delay, event.departure_delay or 0),
            last_seen=event.scheduled,
            last_at=event.destination,
        )

    @event
    def was_cancelled(self, state: Aircraft, event: Cancelled) -> Aircraft:
        return replace(state, cancelled=state.cancelled + 1)
