"""Taking a partition over: establish what is committed, then read no more than is needed.

The order is what makes it right: first the stable progress of the previous owner, so that no
transaction of it is open any more; only then the ends to read to; then snapshots, then the journal
from the low-water mark; last the offset of the first command to run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence

from kstate.core.batch import Fault
from kstate.core.messages import ImportMark, Progress, Record
from kstate.core.replay import Replay
from kstate.core.shard import Shard
from kstate.core.topics import Topics
from kstate.errors import (
    Fenced,
    JournalError,
    LogError,
    LogUnavailable,
    OutcomeUnknown,
    TopicError,
    TransactionAborted,
)
from kstate.log.port import Committed, Log, Member, Reader
from kstate.runtime.orphans import Orphans
from kstate.runtime.readers import Readers
from kstate.runtime.silence import Silence
from kstate.runtime.snapshots import Snapshots, unfinished
from kstate.store.port import Checkpoint

STALL_S = 60.0
"""A recovery to which nothing comes for so long fails and says why."""
TOLD_S = 5.0
"""After how long it is told that the group's progress is waited for."""
ORPHAN_S = 0.5
"""After how long dead workers are looked for whose transactions hold back what is waited for."""
CHUNK = 500
RENEWED_AT_ONCE = 500
"""Snapshots in one transaction, of those that are made anew."""
WAIT_S = 0.02

_PASSING = (LogUnavailable, TransactionAborted, OutcomeUnknown, Fenced)
"""What says nothing of what is in the log."""

logger = logging.getLogger("kstate.recovery")

Clock = Callable[[], float]
"""Seconds, as `time.monotonic` or `time.time` give them."""


class Recovery:
    """One takeover, advanced in slices so that the membership and other partitions live on.

    When a snapshot was passed over (see `Snapshots`), the journal is read from its start.  When
    they look at heads alone, `advance` may raise `UnreadableSnapshot`.  When they are made anew,
    each state that was folded is snapshotted in the end.
    """

    def __init__(
        self,
        log: Log,
        member: Member,
        topics: Topics,
        shard: Shard,
        snapshots: Snapshots,
        readers: Readers,
        clock: Clock,
        monotonic: Clock,
        skip_lost: bool,
        writers: set[str],  # names that stood in the progress: what takes over replaces them
    ) -> None:
        self._log = log
        self._member = member
        self._topics = topics
        self._shard = shard
        self.snapshots = snapshots
        self._readers = readers
        self._clock = clock
        self._monotonic = monotonic
        self._skip_lost = skip_lost
        self._writers = writers
        self._orphans = Orphans(log, topics, shard.partition, member.instance, writers)
        self._partition = shard.partition
        self._place = f"{topics.commands}:{shard.partition}"
        self._replay = Replay(shard)
        self._reader: Reader | None = None
        self._deadline = 0.0
        self._steps = self._run()
        self._known = False  # whether the progress is
        self._committed: Committed | None = None
        self._stands: Committed | None = None  # the same, after what the recovery commits
        self._parsed: Progress | None = None
        self._writer = ""  # of the progress, as far as it is known
        self.held = False
        """Whether it waits for what may take a while: other partitions may have their turn."""
        self.faults: list[Fault] = []  # snapshots that could not be taken
        self.records_read = 0

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the store reflects the log by now."""
        return self.snapshots.reached

    @property
    def unsigned(self) -> bool:
        """Whether the group's progress still names another worker."""
        return self._writer not in ("", self._member.instance)

    def advance(self, deadline: float) -> bool:
        """Works until ``deadline`` (monotonic seconds); True when the shard may run commands."""
        self._deadline = deadline
        try:
            return next(self._steps, True)
        except _PASSING:
            raise
        except LogError as error:
            if self._overtaken():
                raise Fenced(f"{self._place} went on without this worker: {error}") from error
            raise

    def close(self) -> None:
        """Releases the reader; idempotent."""
        self._steps.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _run(self) -> Generator[bool, None, None]:
        yield from self._await_progress()
        self._parsed = parsed = self._parse_progress()
        # not before: whatever the previous owner committed lies below these
        ends = {
            topic: self._log.ends(topic)[self._partition]
            for topic in (self._topics.snapshots, self._topics.journal)
        }
        self._reader = self._readers.take()
        snapshots, journal = ends[self._topics.snapshots], ends[self._topics.journal]
        kept = self.snapshots
        kept.usable_checkpoint(snapshots.end)
        yield from self._read(
            self._topics.snapshots, kept.reached.snapshots_offset, snapshots.end, kept.apply
        )
        if kept.importing is not None:
            raise unfinished(self._topics.group, kept.importing)
        kept.read_to(snapshots.end)
        low_water = self._low_water()
        if low_water > journal.end:
            raise TopicError(
                f"{self._topics.journal}:{self._partition} ends at {journal.end}, below the "
                f"low-water mark {low_water}: it was truncated; restore it"
            )
        start = max(low_water, journal.start)
        yield from self._read(self._topics.journal, start, journal.end, self._fold)
        self._readers.give_back(self._reader)
        self._reader = None
        self._replay.end()
        if self.snapshots.effort == "anew":
            yield from self._renew()
        self._settle(parsed, journal.end)

    def _overtaken(self) -> bool:
        """Whether others went on with the partition: its owner has not heard of it yet, and what it
        finds tells nothing of the log."""
        try:
            return self._known and self._member.committed(self._partition) != self._stands
        except LogUnavailable:  # one of their transactions is open; or nothing can be learned now
            return True

    def _await_progress(self) -> Generator[bool, None, None]:
        """Learns the stable progress, which an open transaction may hold back."""
        silence, look_at, tell_at = Silence(self._monotonic), ORPHAN_S, TOLD_S
        while True:
            try:
                self._committed = self._stands = self._member.committed(self._partition)
                self._known = True
                self.held = False
                return
            except LogUnavailable as error:
                reason = error
            self.held = True
            waited = silence.look()
            if waited >= look_at:  # raises when it is the log that is away
                look_at = waited + (0.0 if self._orphans.end(self._writer) else ORPHAN_S)
            what = (
                f"the progress of the group {self._topics.group} is waited for: a transaction is "
                f"open that may change it, of no dead worker that it names ({reason})"
            )
            if waited >= STALL_S and look_at > waited:
                raise LogError(f"{self._place} is not taken over after {waited:.0f} s: {what}")
            if waited >= tell_at:
                logger.warning("%s is not taken over yet: %s", self._place, what)
                tell_at = float("inf")
            yield False

    def _parse_progress(self) -> Progress | None:
        if self._committed is None:
            return None
        parsed = Progress.parse(*self._committed)
        if parsed is not None:
            self._writer = parsed[1]
            self._writers.add(self._writer)
            return parsed[0]
        mark = ImportMark.parse(*self._committed)
        if mark is not None:
            raise unfinished(self._topics.group, mark)
        if self._committed.metadata:
            raise LogError(
                f"the group {self._topics.group} has committed progress that this kstate cannot "
                "read: it is of a newer version, or another program uses this group"
            )
        return None

    # -- reading -----------------------------------------------------------------------------

    def _read(
        self, topic: str, start: int, end: int, use: Callable[[Sequence[Record]], None]
    ) -> Generator[bool, None, None]:
        """Hands the records from ``start`` to ``end`` to ``use``, yielding now and then."""
        if start >= end:
            return
        assert self._reader is not None
        self._reader.assign(topic, {self._partition: start})
        silence, look_at = Silence(self._monotonic), ORPHAN_S
        while True:
            chunk = self._reader.poll(CHUNK, WAIT_S)
            if chunk.records:
                self.records_read += len(chunk.records)
                use(chunk.records)
                if chunk.records[-1].offset >= end - 1:
                    return  # without the wait for the reader to tell its end
                silence, look_at, self.held = Silence(self._monotonic), ORPHAN_S, False
            # the end is where the reader stands, not a record: the last offset may hold none
            if chunk.ends.get(self._partition, -1) >= end:
                return
            waited = silence.look()
            if waited >= look_at:
                self.held = True
                look_at = waited + self._look_after(topic, end, waited)
            if not chunk.records or self._monotonic() >= self._deadline:
                yield False

    def _look_after(self, topic: str, end: int, waited: float) -> float:
        """Looks why nothing comes; the seconds to wait before another look."""
        found = self._log.ends(topic)[self._partition]
        what = f"taking over {topic}:{self._partition} made no progress for {waited:.0f} s"
        is_open = found.stable < min(end, found.end)
        if is_open and self._orphans.end(self._writer):
            return 0.0
        if waited >= STALL_S and found.end < end:
            raise TopicError(
                f"{what}: it ends at {found.end}, and {end} was expected: it was truncated"
            )
        if waited >= STALL_S and is_open:
            raise LogError(
                f"{what}: a transaction is open from offset {found.stable} on, and it is to be "
                f"read to {end}"
            )
        if waited >= 2 * STALL_S:  # not at once: what kept it back may just have ended
            raise LogError(f"{what}: it is not read to {end}, though nothing keeps that back")
        return ORPHAN_S

    # -- the journal -------------------------------------------------------------------------

    def _low_water(self) -> int:
        """Where to read the journal from."""
        kept = self.snapshots
        if kept.passed_over:
            kept.tell_passed_over()
            self._replay.awaited = dict(kept.passed_over)
            self._shard.removal.recall(kept.gone)
            kept.reached = kept.reached._replace(low_water=0)
            return 0
        if self._parsed is not None:
            return self._parsed.low_water
        return kept.reached.low_water

    def _fold(self, records: Sequence[Record]) -> None:
        for record in records:
            self._replay.event(record)
        # memory is bounded: what must leave it is snapshotted, in a transaction of its own
        shard = self._shard
        shard.close(int(self._clock() * 1000))
        if shard.batch.evicting or shard.batch.stuck:
            self._commit()

    def _renew(self) -> Generator[bool, None, None]:
        """Snapshots what was folded, a number of entities per transaction."""
        shard = self._shard
        while shard.uncovered:
            shard.batch.now = int(self._clock() * 1000)
            shard.cover(RENEWED_AT_ONCE)
            self._commit()
            yield False
        shard.rebuilt = shard.rebuilt._replace(snapshots=len(self.snapshots.renewed))

    def _commit(self) -> None:
        """Commits the snapshots of the shard's batch, for which no command ran."""
        shard = self._shard
        batch = shard.batch
        ends: dict[tuple[str, int], int] = {}
        if batch.writes:
            writes = [*batch.writes, *self.snapshots.note_again()]
            self._stands = self._progress()
            progress = {self._partition: self._stands}
            if self.unsigned:  # before there are records: see `Partitions.recover`
                self._member.commit([], progress)
                self._writer = self._member.instance
            ends = dict(self._member.commit(writes, progress))
        done = shard.commit(ends)
        self.faults += done.faults
        self.snapshots.renewed |= done.snapshots.keys()
        self.snapshots.keep(done.snapshots)

    def _progress(self) -> Committed:
        """The group's progress as it is, for a transaction in the middle of the recovery.

        A snapshot taken now may capture less than one that was passed over: should this recovery
        not come to its end, the journal is to be read from its start again.
        """
        parsed = self._parsed
        if parsed is not None:
            if self.snapshots.passed_over:
                parsed = parsed._replace(low_water=0)
            return Committed(parsed.offset, parsed.metadata(self._member.instance))
        if self._committed is not None:
            return self._committed
        return Committed(self._log.ends(self._topics.commands)[self._partition].start, "")

    # -- where to go on ----------------------------------------------------------------------

    def _settle(self, parsed: Progress | None, end: int) -> None:
        """Decides the first command to run: the largest of all that is known of the past."""
        commands = self._log.ends(self._topics.commands)[self._partition]
        reached = self.snapshots.reached
        newest = self._replay.newest_source
        known = [reached.processed, -1 if newest < 0 else newest + 1]
        if self._committed is not None:
            known.append(self._committed.offset)
        processed = max(known)
        told = processed >= 0
        if not told:
            if self._shard.entities:
                raise JournalError(
                    f"{self._topics.journal}:{self._partition} has events, but nothing tells which "
                    "commands they came from: the group's offsets are gone; commit the offset to "
                    f"go on from for the group {self._topics.group} and start again"
                )
            processed = commands.start
        if processed < commands.start:
            processed = self._lost(processed, commands.start)
        if processed > commands.end:
            raise TopicError(
                f"{self._topics.commands}:{self._partition} ends at {commands.end}, but commands "
                f"up to {processed} were processed: it was truncated or created anew; "
                "give the processor a new prefix, or restore the topic"
            )
        source = max(newest, parsed.source if parsed else -1, reached.source)
        self._shard.entity_count = self._count_entities(parsed)
        self._shard.restored(processed, source, end)
        kept = self.snapshots
        kept.reached = kept.reached._replace(
            low_water=self._shard.low_water(), processed=processed, source=source
        )
        kept.keep({})
        if parsed is None and told:
            # found from what is left of the past: the group is to know it again
            done = self._shard.progress()
            again = Committed(done.offset, done.metadata(self._member.instance))
            self._member.commit([], {self._partition: again})

    def _count_entities(self, parsed: Progress | None) -> int:
        if parsed is not None:
            return parsed.entities
        in_memory = sum(
            1 for entity in self._shard.entities.values() if entity.seq and not entity.snapshot_seq
        )
        return self.snapshots.count() + in_memory

    def _lost(self, processed: int, start: int) -> int:
        if not self._skip_lost:
            raise LogError(
                f"commands {processed} to {start - 1} of {self._topics.commands}:{self._partition} "
                "were deleted by retention before they were processed: start once with "
                "--skip-lost to go on without them"
            )
        logger.error(
            "commands %d to %d of %s are lost: deleted by retention before they were processed",
            *(processed, start - 1, self._place),
        )
        return start
