"""What a user writes: a class that turns the events of a processor into rows of a database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from kstate.errors import ConfigError
from kstate.processor import Processor
from kstate.projection.subjects import Subjects, marked

if TYPE_CHECKING:
    from sqlalchemy import MetaData

F = TypeVar("F", bound=Callable[..., Any])

OnError = Literal["retry", "skip", "stop"]
OWN_PREFIX = "kstate_"
"""What the names of kstate's own tables begin with."""


def projects(handler: F) -> F:
    """Marks ``handler(self, rows, stored, event) -> None`` of a `Projection`.

    Dispatch is by the annotated type of the last parameter, an event or several (``A | B``).
    ``rows`` is the open transaction (`kstate.projection.rows.Rows`), ``stored`` tells the persist
    id, the seq and the time.  All that a handler does, it does through ``rows``: it may run again
    for the same event when the transaction did not commit.
    """
    return marked(handler, "projects")


class Projection:
    """A read model: rows in a database, made of the events of one processor, each exactly once.

    An intermediate class that is not to be used by itself is declared with ``abstract=True``.
    Raises `DefinitionError`, with all mistakes, when a class is defined.
    """

    name: ClassVar[str]
    """Names its offsets in the database and its group on the log."""
    source: ClassVar[type[Processor[Any]]]
    """The processor whose journal it follows."""
    metadata: ClassVar[MetaData]
    """Its tables, SQLAlchemy's; they belong to it alone, and are made where they are missing."""
    database: ClassVar[str | None] = None
    """SQLAlchemy's URL of the database, where none is given when it runs."""
    version: ClassVar[int] = 1
    """Raise it when the tables or what the handlers make of events changed; then rebuild."""
    on_error: ClassVar[OnError] = "retry"
    """What an event whose handler raises does: it is tried again, with pauses, and stops the
    projection when it failed ``attempts`` times; it is skipped, and told in the table
    ``kstate_skipped``; or it stops the projection at once."""
    attempts: ClassVar[int] = 5
    """With ``on_error = "retry"``: how often an event is tried."""

    __kstate_handlers__: ClassVar[Mapping[type, str]]

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not abstract:
            look = Subjects(
                cls, sys._getframe(1).f_locals, "projects", ("self", "rows", "stored", "event")
            )
            look.look()
            look.one_of("on_error", "retry", "skip", "stop")
            look.count("version", 1)
            look.count("attempts", 1)
            _check_tables(look)
            cls.__kstate_handlers__ = look.done()

    @overload
    @classmethod
    def wait_for(
        cls, position: str, /, *, timeout: float = ..., database: str | None = ...
    ) -> None: ...

    @overload
    @classmethod
    def wait_for(
        cls, partition: int, source: int, timeout: float = ..., *, database: str | None = ...
    ) -> None: ...

    @classmethod
    def wait_for(
        cls,
        partition: str | int,
        source: int | None = None,
        timeout: float = 10.0,
        *,
        database: str | None = None,
    ) -> None:
        """Returns when the rows show what a command did that was answered with this position.

        It is given as it is (``"3:117"``), or as its two numbers, the partition and the offset of
        the command there.  Raises `ProjectionLate` after ``timeout`` seconds, and `ConfigError`
        for what is no position of an answer.
        """
        from kstate.projection.waiting import place_of, wait_for

        wait_for(cls, *place_of(partition, source), timeout, database=database)


def url_of(projection: type[Projection], database: str | None = None) -> str:
    """The URL of its database: the one that is given, else the class's; raises `ConfigError`."""
    url = database or projection.database
    if not url:
        raise ConfigError(
            f"{projection.__name__} has no database: give its URL (--database "
            'sqlite:///rows.db), or write database = "…" in the class'
        )
    return url


def handlers_of(projection: Any) -> dict[type, Callable[..., None]]:
    """Event class → bound method, of an instance."""
    return {
        each: getattr(projection, name) for each, name in projection.__kstate_handlers__.items()
    }


def _check_tables(look: Subjects) -> None:
    try:
        from sqlalchemy import MetaData
    except ImportError:
        look.say("projections need SQLAlchemy: pip install 'kstate[projections]'")
        return
    metadata = getattr(look.cls, "metadata", None)
    if not isinstance(metadata, MetaData):
        look.say(f"metadata is {metadata!r}: give SQLAlchemy's MetaData with its tables")
        return
    if not metadata.tables:
        look.say("metadata has no tables: give it one with Table(…, metadata, …)")
    for table in metadata.tables.values():
        if table.schema is not None:
            look.say(
                f"the table {table.fullname} names a schema: leave it out, and name the schema in "
                "the URL of the database; a rebuild fills tables of the same name in another one"
            )
        if table.name.startswith(OWN_PREFIX):
            look.say(f"the table {table.name}: names with {OWN_PREFIX} are kstate's own; rename it")
