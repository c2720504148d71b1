"""Tables beside the live ones, filled by a rebuild, that take their place in one transaction.

The shadow has the same table names in another place: a schema of PostgreSQL, or a file of SQLite's.
So handlers need not know of it, whatever statements they write.  In the swap PostgreSQL's tables
move from schema to schema, with their indexes; SQLite's cannot leave their file and are copied.
Either is one transaction.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.schema import CreateTable

from kstate.projection import ledger
from kstate.projection.database import Database
from kstate.projection.definition import Projection
from kstate.projection.following import Journal
from kstate.projection.ledger import Facts, Hold
from kstate.projection.preparing import create_anew, drop

_ATTACHED = "kstate_shadow"


class Shadow:
    """The place of a rebuild; its offsets bear a name that nobody else uses, whatever happens."""

    def __init__(self, live: Database, projection: Projection, identity: str) -> None:
        self._live = live
        self._projection = projection
        self.identity = identity
        self.name = f"{projection.name}#{identity}"
        self.schema = f"kstate_rebuild_{identity}"
        self.file = Path(f"{live.url.database}.rebuild-{identity}")

    def exists(self, connection: Connection) -> bool:
        """Whether it was made, seen from the live database."""
        if self._live.sqlite:
            return self.file.exists()
        query = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
        return connection.scalar(query, {"name": self.schema}) is not None

    def make(self, connection: Connection, journal: Journal) -> None:
        """Makes it, in the live database's transaction where the database allows it."""
        found = Facts(
            journal.topic, journal.identity, self._projection.version, False, self.identity
        )
        if self._live.sqlite:
            database = self.open()
            try:
                with database.transaction() as inside:
                    ledger.METADATA.create_all(inside)
                    create_anew(inside, self._projection)
                    ledger.register(inside, self.name, found)
            finally:
                database.close()
            return
        path = connection.scalar(text("SHOW search_path"))
        connection.execute(text(f'CREATE SCHEMA "{self.schema}"'))
        connection.execute(text(f'SET LOCAL search_path TO "{self.schema}", {path}'))
        for table in ledger.METADATA.sorted_tables:
            # not `create_all`: it would find those of the live schema and think that they are there
            connection.execute(CreateTable(table))
        create_anew(connection, self._projection)
        ledger.register(connection, self.name, found)
        connection.execute(text(f"SET LOCAL search_path TO {path}"))

    def open(self) -> Database:
        """A database whose tables are the shadow's."""
        if self._live.sqlite:
            return Database(self._live.url.set(database=str(self.file)))
        return Database(self._live.url, self.schema)

    def drop(self, connection: Connection) -> None:
        """Deletes it; nothing happens when it is not there."""
        if self._live.sqlite:
            self.remove_file()
        else:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{self.schema}" CASCADE'))

    def remove_file(self) -> None:
        """Deletes what SQLite's shadow is; idempotent."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)

    def swap(
        self,
        connection: Connection,
        filled: dict[int, Hold],
        skipped: list[dict[str, object]],
        old: dict[int, Hold],
    ) -> None:
        """Puts the shadow in the place of the live tables.

        In the live database's transaction, in which the offsets ``old`` are locked.  ``filled`` are
        the shadow's; no transaction is open there.
        """
        name = self._projection.name
        drop(connection, self._projection)
        if self._live.sqlite:
            self._copy(connection)
        else:
            live = connection.scalar(text("SELECT current_schema()"))
            for table in self._projection.metadata.sorted_tables:
                quoted = connection.dialect.identifier_preparer.quote(table.name)
                move = f'ALTER TABLE "{self.schema}".{quoted} SET SCHEMA "{live}"'
                connection.execute(text(move))
            self.drop(connection)
        ledger.forget_skipped(connection, name)
        ledger.replace_offsets(connection, name, filled, old)
        if skipped:
            rows = [{"name": name, **row} for row in skipped]
            connection.execute(ledger.SKIPPED.insert(), rows)
        ledger.note(connection, name, version=self._projection.version, rebuild=None)

    def _copy(self, connection: Connection) -> None:
        create_anew(connection, self._projection)
        connection.exec_driver_sql(f"ATTACH ? AS {_ATTACHED}", (os.fspath(self.file),))
        quote = connection.dialect.identifier_preparer.quote
        for table in self._projection.metadata.sorted_tables:
            columns = ", ".join(quote(each.name) for each in table.columns if not each.computed)
            connection.exec_driver_sql(
                f"INSERT INTO main.{quote(table.name)} ({columns}) "
                f"SELECT {columns} FROM {_ATTACHED}.{quote(table.name)}"
            )
