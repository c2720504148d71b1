"""Real flights go from the embedded log into Kafka, with another partition count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from transfer_tools import typed
from world import LOGS, World

from demo.feeding import departure
from demo.flights_file import MISSING, flights_file, read_flights
from processors.flights import Flights

FLIGHTS = int(os.environ.get("KSTATE_TEST_FLIGHTS", "2000"))
PATIENCE_S = 600.0  # for all of the file


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World(LOGS["embedded"](request, tmp_path), tmp_path)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    directory = tmp_path / "there"
    directory.mkdir()
    world = World(LOGS["kafka"](request, directory), directory)
    try:
        yield world
    finally:
        world.close()


@pytest.mark.timeout(2 * PATIENCE_S)
def test_flights_that_are_exported_and_imported_are_sound_equal_and_go_on(
    here: World, there: World, tmp_path: Path
) -> None:
    flights = [
        each for each in islice(read_flights(flights_file()), FLIGHTS) if each.tailnum != MISSING
    ]
    here.run(Flights, partitions=2)
    for flight in flights:
        here.client.cast(Flights, flight.tailnum, departure(flight))
    here.client.flush()
    done = here.worker(Flights).partitions.counts
    here.until(lambda: done().commands == len(flights), "all flights are processed", PATIENCE_S)
    here.stop()
    folded = {each: (seq, state) for each, seq, state in here.client.states(Flights).final()}
    assert sum(seq for seq, _ in folded.values()) == len(flights)

    archive = tmp_path / "archive"
    out = typed(here, "export", "flights", archive)
    assert out.exit_code == 0, out.stderr
    taken = typed(there, "import", archive, "--partitions", 5)
    assert taken.exit_code == 0, taken.stderr
    found = typed(there, "verify", "processors.flights:Flights")
    assert (found.exit_code, "flights: sound" in found.output) == (0, True), found.output

    states = {each: (seq, state) for each, seq, state in there.client.states(Flights).final()}
    assert states == folded
    there.run(Flights, partitions=5)
    aircraft, last = flights[-1].tailnum, departure(flights[-1])
    before = folded[aircraft][1]
    assert there.state(Flights, aircraft) == before
    there.call(Flights, aircraft, last)
    there.settled(Flights)
    after = there.state(Flights, aircraft)
    assert after.flown + after.cancelled == before.flown + before.cancelled + 1
