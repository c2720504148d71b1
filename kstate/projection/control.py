"""What an operator does to a projection from outside: look, pause, resume, reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, func, select

from kstate.errors import ProjectionError
from kstate.log.port import Ends
from kstate.projection import ledger
from kstate.projection.ledger import OFFSETS, SKIPPED
from kstate.projection.preparing import create_anew, drop, make_tables
from kstate.projection.shadow import Shadow
from kstate.projection.site import Site
from kstate.projection.waiting import has_ledger

State = Literal["running", "retrying", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How far a projection is in a partition."""

    partition: int
    offset: int  # of the next record to read
    end: int  # of the journal
    lag: int  # offsets between them, the markers of transactions included
    source: int  # the largest command offset that the rows show, or -1
    state: State
    owner: str | None  # the instance that has it
    error: str | None  # why the event at the offset failed


@dataclass(frozen=True, slots=True)
class Status:
    """How a projection is."""

    name: str
    version: int  # of its tables
    paused: bool
    rebuilding: bool
    skipped: int  # events that failed and were passed over
    partitions: Sequence[PartitionStatus]


def status(site: Site) -> Status:
    """How a projection is; one that never ran has read nothing.  Changes nothing."""
    ends = site.log.ends(site.journal().topic)
    owners = site.log.owners(site.group, site.topics.journal)
    found, skipped, rows = None, 0, {}
    with site.database.reading() as connection:
        if has_ledger(connection):
            found = ledger.facts(connection, site.name)
            query = select(func.count()).select_from(SKIPPED).where(SKIPPED.c.name == site.name)
            skipped = connection.scalar(query) or 0
            columns = (OFFSETS.c.next_offset, OFFSETS.c.source, OFFSETS.c.error)
            chosen = select(OFFSETS.c.partition, *columns).where(OFFSETS.c.name == site.name)
            rows = {row[0]: tuple(row[1:]) for row in connection.execute(chosen)}
    paused = found is not None and found.paused
    return Status(
        name=site.name,
        version=site.projection.version if found is None else found.version,
        paused=paused,
        rebuilding=found is not None and found.rebuild is not None,
        skipped=skipped,
        partitions=_partitions(ends, rows, owners, paused),
    )


def _partitions(
    ends: Mapping[int, Ends],
    rows: Mapping[int, tuple[int, int, str | None]],
    owners: Mapping[int, str],
    paused: bool,
) -> list[PartitionStatus]:
    found = []
    for partition, (start, _, end) in sorted(ends.items()):
        offset, source, error = rows.get(partition, (start, -1, None))
        offset, owner = max(offset, start), owners.get(partition)
        state: State = "stopped" if owner is None else "running"
        if owner is not None and error is not None:
            state = "retrying"
        if paused:
            state = "paused"
        lag = max(0, end - offset)
        found.append(PartitionStatus(partition, offset, end, lag, source, state, owner, error))
    return found


def pause(site: Site, paused: bool) -> None:
    """Lets the processes give their partitions up, or take them again, within a second or so."""
    journal = site.journal()
    with site.database.transaction() as connection:
        make_tables(connection, site.database, site.projection, journal)
        ledger.note(connection, site.name, paused=paused)


def reset(site: Site) -> None:
    """Empties the tables and forgets the offsets: the projection begins anew, from today's journal
    and with the tables of today's code.

    Raises `ProjectionError` while a process has partitions and the projection is not paused.
    """
    journal = site.journal()
    with site.database.transaction() as connection:
        found = make_tables(connection, site.database, site.projection, journal)
        owners = sorted(set(site.log.owners(site.group, site.topics.journal).values()))
        if owners and not found.paused:
            raise ProjectionError(
                f"{site.name} is running ({', '.join(owners)}): pause it first (kstate projection "
                "pause), or stop it; one that was killed is forgotten after some seconds"
            )
        ledger.facts(connection, site.name, lock=True)
        ledger.lock_all(connection, site.name)  # a batch under way ends before
        ledger.begin_anew(connection, site.name)
        if found.version == site.projection.version:
            for table in reversed(site.projection.metadata.sorted_tables):
                connection.execute(delete(table))
        else:
            drop(connection, site.projection)
            create_anew(connection, site.projection)
        if found.rebuild is not None:
            Shadow(site.database, site.projection, found.rebuild).drop(connection)
        ledger.note(
            connection, site.name, journal=journal.topic, identity=journal.identity,
            version=site.projection.version, rebuild=None,
        )  # fmt: skip
