"""The open transaction, as handlers of a projection see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Rows:
    """What a handler may do to its tables.  It commits with the batch, not by itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.refused: Exception | None = None
        """What the database said to a statement that it refused: the transaction may be of no use
        then, so that the event has failed, also where its handler goes on."""

    def execute(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> CursorResult[Any]:
        """Executes a statement of SQLAlchemy; a list of parameters runs it once for each."""
        try:
            return self._connection.execute(statement, parameters)
        except DBAPIError as error:
            self.refused = error
            raise

    def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None without one."""
        return self.execute(statement, parameters).scalar()

    def upsert(
        self, table: Table, row: Mapping[str, Any], change: Mapping[str, Any] | None = None
    ) -> None:
        """Inserts a row; where its primary key is there already, changes that row instead.

        ``change`` are the columns to change, by default all of ``row``; a value may be an
        expression over the row that is there: ``{"balance": table.c.balance + amount}``.
        """
        keys = [column.name for column in table.primary_key]
        changed = {k: v for k, v in row.items() if k not in keys} if change is None else change
        insert = insert_into(self._connection, table).values(dict(row))
        if changed:
            insert = insert.on_conflict_do_update(index_elements=keys, set_=dict(changed))
        else:
            insert = insert.on_conflict_do_nothing(index_elements=keys)
        self.execute(insert)


def insert_into(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the words of this database."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
