"""Before a projection runs: its tables are there, and belong to this journal and this code."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from kstate.errors import ProjectionError
from kstate.projection import ledger
from kstate.projection.database import Database
from kstate.projection.definition import Projection
from kstate.projection.following import Journal
from kstate.projection.ledger import Facts

_ONE_AT_A_TIME = 7_310_562_801
"""The number of the advisory lock (PostgreSQL) that whoever makes tables takes."""


Ready = Callable[[], tuple[Journal, Facts]]
"""Looks at the journal and the database before work begins; raises what is wrong."""


def prepare(database: Database, projection: Projection, journal: Journal) -> Facts:
    """Makes what is missing in the database; what it knows of the projection.

    Raises `ProjectionError` when it is of another journal or of another version of the code.
    """
    with database.transaction() as connection:
        found = make_tables(connection, database, projection, journal)
    check_journal(found, database, projection, journal)
    if found.version != projection.version:
        cure = (
            "rebuild it (kstate projection rebuild)"
            if found.version < projection.version
            else "run the newer code"
        )
        raise ProjectionError(
            f"the tables of {projection.name} are of version {found.version}, this code is version "
            f"{projection.version}: {cure}"
        )
    return found


def check_journal(
    found: Facts, database: Database, projection: Projection, journal: Journal
) -> None:
    """Raises `ProjectionError` when the rows are of another journal."""
    if found.journal != journal.topic:
        raise ProjectionError(
            f"{database.shown} holds the projection {projection.name} of {found.journal}, not of "
            f"{journal.topic}: name another database, or reset it (kstate projection reset)"
        )
    if found.identity != journal.identity:
        raise ProjectionError(
            f"{journal.topic} was created anew since {projection.name} read it, or is on another "
            "log: name the right log, or reset the projection (kstate projection reset)"
        )


def make_tables(
    connection: Connection, database: Database, projection: Projection, journal: Journal
) -> Facts:
    """Makes kstate's tables and, for a projection that is new here, its own."""
    if not database.sqlite:  # there a transaction is alone anyway
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ONE_AT_A_TIME}
        )
    ledger.METADATA.create_all(connection)
    found = ledger.facts(connection, projection.name)
    if found is None:
        projection.metadata.create_all(connection)
        found = Facts(journal.topic, journal.identity, projection.version, False, None)
        ledger.register(connection, projection.name, found)
    return found


def create_anew(connection: Connection, projection: Projection) -> None:
    """Makes the projection's tables in the first schema of the search path, where none are.

    Types of the database's own are those of the live tables.
    """
    for table in projection.metadata.sorted_tables:
        connection.execute(CreateTable(table))
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            connection.execute(CreateIndex(index))


def drop(connection: Connection, projection: Projection) -> None:
    """Drops the projection's tables; views that stand on them make it fail."""
    for table in reversed(projection.metadata.sorted_tables):
        connection.execute(DropTable(table, if_exists=True))
