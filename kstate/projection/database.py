"""The database of a projection: SQLite or PostgreSQL by way of SQLAlchemy, and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from kstate.errors import ConfigError, DatabaseUnavailable, ProjectionError

BUSY_S = 30.0
"""How long SQLite waits for another writer."""
CONNECT_S = 10
_READ = "kstate_read"
_SQLITE_AWAY = frozenset({5, 6, 10, 13})  # busy, locked, an error of the disk, a full one
_POSTGRES_AWAY = ("08", "53", "57", "40")  # connection, resources, shut down, to be tried again
_REFUSED = ("authentication failed", "does not exist", "no password supplied")


class Database:
    """A database by its URL; ``schema`` is where names are looked up first (PostgreSQL)."""

    def __init__(self, url: str | URL, schema: str | None = None) -> None:
        self.url = _url(url)
        self.schema = schema
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.shown = self.url.render_as_string(hide_password=True)
        options: dict[str, Any] = (
            {"timeout": BUSY_S} if self.sqlite else {"connect_timeout": CONNECT_S}
        )
        try:
            self.engine = create_engine(self.url, connect_args=options)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{self.shown} needs {error.name}: pip install 'kstate[postgresql]'"
            ) from error
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        elif schema is not None:
            event.listen(self.engine, "connect", self._prepare_schema)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block, rolled back when it raises.

        What the block raises passes; what the database says is raised as `DatabaseUnavailable`
        when trying again may help (the outcome of a commit is then unknown), else as
        `ProjectionError`.
        """
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that only reads, and keeps no writer waiting; errors as `transaction`."""
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(**{_READ: True})

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if is_away(error):
                self.engine.dispose()
                raise DatabaseUnavailable(f"{self.shown} cannot be used now: {said(error)}") from (
                    error
                )
            raise ProjectionError(f"{self.shown} refused a statement: {said(error)}") from error

    def close(self) -> None:
        """Closes what is open; idempotent."""
        self.engine.dispose()

    def _prepare_schema(self, connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            (behind,) = cursor.fetchone()
            # types and functions are found behind it, where the live tables are
            cursor.execute(f'SET search_path TO "{self.schema}", "{behind}"')
        connection.commit()


def _url(url: str | URL) -> URL:
    try:
        found = make_url(url)
        backend = found.get_backend_name()
    except (ArgumentError, NoSuchModuleError, SQLAlchemyError):
        backend = ""
    if backend not in ("sqlite", "postgresql"):
        shown = url if isinstance(url, str) and "@" not in url else "the database's URL"
        raise ConfigError(
            f"{shown} names no database that a projection can use: write sqlite:///FILE or "
            "postgresql://USER@HOST/NAME"
        )
    if backend == "sqlite" and found.database in (None, "", ":memory:"):
        raise ConfigError(
            "a projection's database must outlive its process: name a file, like sqlite:///rows.db"
        )
    if found.drivername == "postgresql":  # which driver that is, is another one in each SQLAlchemy
        found = found.set(drivername="postgresql+psycopg")
    return found


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver is not to begin transactions by itself
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READ, False)
    # a reader that becomes a writer may fail at once, whatever the patience
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def is_away(error: DBAPIError) -> bool:
    """Whether trying again may help, whatever the statement was."""
    cause: Any = error.orig
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _SQLITE_AWAY
    if hasattr(cause, "sqlstate"):
        if cause.sqlstate is not None:
            return str(cause.sqlstate).startswith(_POSTGRES_AWAY)
        refused = any(each in str(cause) for each in _REFUSED)
        return type(cause).__name__ == "OperationalError" and not refused
    return error.connection_invalidated


def said(error: DBAPIError) -> str:
    """What the database says, on one line."""
    return " ".join(str(error.orig).split())
