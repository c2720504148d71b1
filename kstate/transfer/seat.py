"""The seat that an import has in the processor's group: no worker can be at work meanwhile.

How far the import is stands in the group's progress, of all partitions alike, and is committed with
the records: what was written is written once, whatever ends the import.  A group's progress
expires, so it is noted as a checkpoint, too.  A worker refuses the partition until the import has
come to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kstate.core.messages import ImportMark, Progress, Write
from kstate.core.topics import CHECKPOINT_KEY, Topics
from kstate.errors import (
    ArchiveError,
    Fenced,
    LogError,
    LogUnavailable,
    OutcomeUnknown,
    TransactionAborted,
)
from kstate.log.port import Committed, Log
from kstate.transfer.reading import chunks

PATIENCE_S = 60.0
"""How long to wait for the partitions and for their progress: of a worker that was killed, too."""
POLL_S = 0.1
TRIES = 5


@dataclass(slots=True)
class Place:
    """How far the import of one partition of the target is."""

    base: int  # the first command to run, once it has come to its end
    floor: int  # the next journal record gets this offset or a larger one
    low_water: int = -1  # at most that of the oldest event that no snapshot covers; -1: none yet
    entities: int = 0  # persist ids with at least one event


def instance_of(topics: Topics, archive: str) -> str:
    """The name under which an archive is imported: the same after a death."""
    return f"{topics.group}-import-{archive[:12]}"


class Seat:
    """Owns all partitions of the target.  Close it, or use ``with``.

    Raises `LogError` when others own partitions, `ArchiveError` where another archive's import is
    under way.
    """

    def __init__(
        self, log: Log, topics: Topics, archive: str, partitions: int, clock: Callable[[], float]
    ) -> None:
        self.places: list[Place] = []
        self.position = 0  # records of the archive that are taken in, as committed
        self.began = False  # whether any import has been under way
        self._topics = topics
        self._archive = archive
        self._clock = clock
        self._instance = instance_of(topics, archive)
        self._member = log.join(topics.group, topics.commands, self._instance)
        try:
            self._own(partitions)
            self._learn(log, partitions)
        except BaseException:
            self._member.close()
            raise

    def _own(self, partitions: int) -> None:
        """Waits until all partitions are this member's."""
        owned: set[int] = set()
        deadline = time.monotonic() + PATIENCE_S
        while len(owned) < partitions:
            polled = self._member.poll(1, POLL_S)
            owned -= {each.partition for each in polled.revoked}
            owned |= {each.partition for each in polled.assigned}
            if time.monotonic() > deadline:
                raise LogError(
                    f"others own partitions of {self._topics.group}: stop its workers, or another "
                    "import, and start the import again"
                )

    def _learn(self, log: Log, partitions: int) -> None:
        """Finds out how far it is: first the progress, so that no transaction is open any more."""
        committed = [self._committed(partition) for partition in range(partitions)]
        commands, journal = log.ends(self._topics.commands), log.ends(self._topics.journal)
        for partition, done in enumerate(committed):
            base = commands[partition].start if done is None else done.offset
            place = Place(base, journal[partition].end)
            if done is None:  # nobody was ever here, or it has expired
                mark = self._noted(log, partition)
            else:
                mark = ImportMark.parse(done.offset, done.metadata)
            if mark is not None:
                if mark.archive != self._archive:
                    raise ArchiveError(
                        f"the import of another archive into {self._topics.journal} is under way: "
                        "come to its end with that archive, or give another prefix"
                    )
                place.base, place.low_water = mark.offset, mark.low_water
                place.entities = mark.entities
                self.position, self.began = mark.position, True
            self.places.append(place)

    def _noted(self, log: Log, partition: int) -> ImportMark | None:
        """What the newest checkpoint record says of an import."""
        topic, note = self._topics.snapshots, b""
        for records in chunks(log, topic, partition, 0, log.ends(topic)[partition].end):
            for record in records:
                if record.key == CHECKPOINT_KEY:
                    note = record.value or b""
            self.keep()
        return ImportMark.parse_note(note)

    def _committed(self, partition: int) -> Committed | None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._member.committed(partition)
            except LogUnavailable:
                if time.monotonic() > deadline:
                    raise
                self.keep()

    # -- writing -----------------------------------------------------------------------------

    def commit(self, writes: Sequence[Write], position: int) -> None:
        """Writes records, and that so many of the archive's are taken in."""
        marks = {
            partition: ImportMark(
                place.base, self._archive, position, place.low_water, place.entities
            )
            for partition, place in enumerate(self.places)
        }
        ends = self._commit(
            [*writes, *self._notes(marks)],
            {each: Committed(mark.offset, mark.metadata()) for each, mark in marks.items()},
        )
        for partition, place in enumerate(self.places):
            place.floor = ends.get((self._topics.journal, partition), place.floor)
        self.position, self.began = position, True

    def finish(self) -> None:
        """The last transaction: from now on workers may run, each from the first command."""
        done = {
            partition: Progress(
                place.base,
                place.floor if place.low_water < 0 else place.low_water,
                -1,
                place.entities,
            )
            for partition, place in enumerate(self.places)
        }
        self._commit(
            self._notes(done),
            {
                partition: Committed(progress.offset, progress.metadata(self._instance))
                for partition, progress in done.items()
            },
        )

    def _notes(self, done: Mapping[int, ImportMark | Progress]) -> list[Write]:
        """The same as checkpoint records."""
        topic, now = self._topics.snapshots, int(self._clock() * 1000)
        return [
            Write(topic, partition, CHECKPOINT_KEY, each.note(), [], now)
            for partition, each in done.items()
        ]

    def _commit(
        self, writes: Sequence[Write], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        self.keep()
        tries = 0
        while True:
            try:
                return self._member.commit(writes, progress)
            except TransactionAborted:  # nothing happened
                tries += 1
                if tries == TRIES:
                    raise
            except (Fenced, OutcomeUnknown) as error:
                raise self._again(error) from error

    def keep(self) -> None:
        """To be called now and then: serves the membership.  Raises when the seat is lost."""
        try:
            polled = self._member.poll(1, 0.0)
        except Fenced as error:
            raise self._again(error) from error
        if polled.revoked:
            raise LogError(
                f"a worker of {self._topics.group} came while the import is under way: stop it, "
                "and start the import again, which goes on where it was"
            )

    def _again(self, error: LogError) -> LogError:
        return type(error)(f"{error}: start the import again, it goes on where it was")

    def close(self) -> None:
        """Gives the seat up; idempotent."""
        self._member.close()

    def __enter__(self) -> Seat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
