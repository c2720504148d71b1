"""Read your own writes: waiting until a projection's rows show what a command did."""

from __future__ import annotations

import threading
import time

from sqlalchemy import Connection, inspect, select

from kstate.core.positions import parse_source
from kstate.errors import ConfigError, ProjectionLate
from kstate.projection.database import Database
from kstate.projection.definition import Projection, url_of
from kstate.projection.ledger import OFFSETS

LOOK_S = 0.01

_lock = threading.Lock()
_databases: dict[str, Database] = {}


def wait_for(
    projection: type[Projection],
    partition: int,
    source: int,
    timeout_s: float,
    *,
    database: str | None = None,
) -> None:
    """Returns when the rows show what the command at offset ``source`` of the partition did.

    Raises `ProjectionLate` after the timeout, `ConfigError` without a database, and
    `DatabaseUnavailable`.
    """
    opened = _opened(url_of(projection, database))
    deadline = time.monotonic() + timeout_s
    while (seen := seen_source(opened, projection.name, partition)) < source:
        if time.monotonic() >= deadline:
            raise ProjectionLate(
                f"{projection.name} had not seen {partition}:{source} within {timeout_s:g} s, but "
                f"{partition}:{seen} (-1 is nothing): see whether it is at work (kstate projection "
                "status), or wait longer"
            )
        time.sleep(LOOK_S)


def place_of(position: str | int, source: int | None) -> tuple[int, int]:
    """Partition and offset, given as one text or as two numbers; raises `ConfigError`."""
    if isinstance(position, str) and source is None:
        return parse_source(position)
    if isinstance(position, str) or source is None:
        raise ConfigError(
            "give the position of an answer, like 3:117, or its two numbers: partition and offset"
        )
    return position, source


def seen_source(database: Database, name: str, partition: int) -> int:
    """The largest command offset whose events the rows show; -1: none yet."""
    query = select(OFFSETS.c.source).where(OFFSETS.c.name == name, OFFSETS.c.partition == partition)
    with database.reading() as connection:
        if not has_ledger(connection):
            return -1
        found = connection.scalar(query)
    return -1 if found is None else int(found)


def has_ledger(connection: Connection) -> bool:
    """Whether kstate's tables are there: the first process that runs makes them."""
    return inspect(connection).has_table(OFFSETS.name)


def _opened(url: str) -> Database:
    """One pool of connections per database: a wait may be part of every request."""
    with _lock:
        if url not in _databases:
            _databases[url] = Database(url)
        return _databases[url]
