"""All that a projection stands on, put together once: for running, rebuilding and looking on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kstate.core.topics import Topics
from kstate.log.port import Log, Member
from kstate.projection.database import Database
from kstate.projection.definition import Projection
from kstate.projection.following import Journal, journal_of
from kstate.projection.ledger import Facts
from kstate.projection.preparing import prepare
from kstate.projection.reading import Reading
from kstate.projection.runner import Runner


@dataclass(frozen=True, slots=True)
class Site:
    """A projection with its log and its database."""

    projection: Projection
    topics: Topics  # of the processor it follows
    log: Log
    database: Database
    reading: Reading
    join: Callable[[str], Member]  # a seat in a group on the journal
    batch_records: int

    @property
    def name(self) -> str:
        """The projection's name."""
        return self.projection.name

    @property
    def group(self) -> str:
        """The group whose members share the partitions."""
        return group_of(self.topics, self.projection.name)

    def journal(self) -> Journal:
        """The journal as it is now; raises `TopicError` when it is not there."""
        return journal_of(self.log, self.topics.journal, self.topics.group)

    def ready(self) -> tuple[Journal, Facts]:
        """See `kstate.projection.preparing.Ready`."""
        journal = self.journal()
        return journal, prepare(self.database, self.projection, journal)

    def runner(self) -> Runner:
        """What runs the projection in this process."""
        return Runner(
            self.projection,
            self.database,
            self.log,
            self.reading,
            lambda: self.join(self.group),
            self.ready,
            batch_records=self.batch_records,
        )


def group_of(topics: Topics, name: str) -> str:
    """The group of a projection of this name."""
    return f"{topics.group}.projection.{name}"
