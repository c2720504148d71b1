"""One batch, one transaction: events become rows, and the offsets move with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from kstate.projection import ledger
from kstate.projection.database import Database, is_away
from kstate.projection.definition import Projection, handlers_of
from kstate.projection.ledger import Hold
from kstate.projection.reading import Taken, persist_id_of
from kstate.projection.rows import Rows

MAX_ERROR = 2_000


class Work(NamedTuple):
    """What is to be done in a partition."""

    taken: Sequence[Taken]
    end: int  # the next offset after it


class Reached(NamedTuple):
    """What was done in a partition."""

    offset: int
    source: int
    failure: Failure | None  # of the event at the offset

    @property
    def error(self) -> str | None:
        """The failure as it is stored."""
        return None if self.failure is None else str(self.failure)[:MAX_ERROR]


class Failure(Exception):
    """The handling of a record's events failed."""

    def __init__(self, taken: Taken, cause: Exception) -> None:
        self.taken = taken
        self.cause = cause
        match = taken.match
        where = "" if match is None else f"{match.type} of {persist_id_of(match)!r} @{match.seq}, "
        super().__init__(f"{where}{type(cause).__name__}: {' '.join(str(cause).split())}")


class Applier:
    """Applies batches to one database, whose offsets stand under ``name``."""

    def __init__(self, database: Database, projection: Projection, name: str) -> None:
        self._database = database
        self._name = name
        self._skips = projection.on_error == "skip"
        self._handlers: Mapping[type, Callable[..., None]] = handlers_of(projection)

    def apply(
        self, holds: Mapping[int, Hold], work: Mapping[int, Work], careful: bool = False
    ) -> dict[int, Reached]:
        """Writes the rows and offsets of a batch, all or nothing, and moves the holds.

        A failing event ends the work of its partition before it, or is skipped and noted; the rest
        of the batch is written.  ``careful``: a failure is expected, each record gets a savepoint
        at once.  Raises `PartitionLost`, `DatabaseUnavailable`, `ProjectionError`;
        then nothing is moved.
        """
        try:
            reached = self._transaction(holds, work, careful)
        except Failure:
            # again, each record in a savepoint of its own: what that costs, only failures pay
            reached = self._transaction(holds, work, careful=True)
        for partition, done in reached.items():
            holds[partition].offset, holds[partition].source = done.offset, done.source
        return reached

    def _transaction(
        self, holds: Mapping[int, Hold], work: Mapping[int, Work], careful: bool
    ) -> dict[int, Reached]:
        with self._database.transaction() as connection:
            ledger.lock(connection, self._name, (holds[each] for each in work))
            reached = {
                each: self._partition(connection, holds[each], todo, careful)
                for each, todo in work.items()
            }
            texts = {each: (done.offset, done.source, done.error) for each, done in reached.items()}
            ledger.advance(connection, self._name, texts)
        return reached

    def _partition(self, connection: Connection, hold: Hold, todo: Work, careful: bool) -> Reached:
        source = hold.source
        for taken in todo.taken:
            match = taken.match
            if match is None:
                continue
            try:
                if taken.error is not None or taken.events:
                    self._handle(connection, taken, careful)
            except Failure as failure:
                if not careful:
                    raise
                if not self._skips:
                    return Reached(taken.offset, source, failure)
                ledger.skip(
                    connection,
                    self._name,
                    (hold.partition, taken.offset),
                    (persist_id_of(match), match.seq, match.type),
                    str(failure)[:MAX_ERROR],
                )
            source = max(source, match.source)
        return Reached(todo.end, source, None)

    def _handle(self, connection: Connection, taken: Taken, careful: bool) -> None:
        if careful:
            with connection.begin_nested():
                self._events(Rows(connection), taken)
        else:
            self._events(Rows(connection), taken)

    def _events(self, rows: Rows, taken: Taken) -> None:
        if taken.error is not None:
            raise Failure(taken, taken.error)
        for stored in taken.events:
            event: Any = stored.event
            try:
                self._handlers[type(event)](rows, stored, event)
                if rows.refused is not None:
                    raise rows.refused  # the handler goes on, which its transaction does not
            except Exception as error:
                if isinstance(error, DBAPIError) and is_away(error):
                    raise  # it is not the event's fault
                raise Failure(taken, error) from error
