"""Taking a partition over: establish what is committed, then read no more than is needed.

The order is what makes it right: first the stable progress of the previous owner, so that no
transaction of it is open any more; only then the ends to read to; then snapshots, then the journal
from the low-water mark; last the offset of the first command to run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence

from kstate.core.batch import Fault
from kstate.core.messages import ImportMark, Progress, Record, Write
from kstate.core.replay import Replay
from kstate.core.shard import Shard
from kstate.core.topics import CHECKPOINT_KEY, Topics
from kstate.errors import JournalError, LogError, LogUnavailable, TopicError
from kstate.log.port import Committed, Log, Member, Reader
from kstate.runtime.snapshots import Snapshots
from kstate.store.port import Checkpoint

STALL_S = 60.0
"""A recovery that reads nothing for so long fails and says so."""
ORPHAN_S = 0.5
"""After how long the previous owner is looked for whose transaction holds the progress back."""
CHUNK = 2_000
RENEWED_AT_ONCE = 500
"""Snapshots in one transaction, of those that are made anew."""
WAIT_S = 0.02

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
        clock: Clock,
        monotonic: Clock,
        skip_lost: bool,
    ) -> None:
        self._log = log
        self._member = member
        self._topics = topics
        self._shard = shard
        self.snapshots = snapshots
        self._clock = clock
        self._monotonic = monotonic
        self._skip_lost = skip_lost
        self._partition = shard.partition
        self._replay = Replay(shard)
        self._reader: Reader | None = None
        self._deadline = 0.0
        self._steps = self._run()
        self._committed: Committed | None = None
        self._parsed: Progress | None = None
        self.faults: list[Fault] = []  # snapshots that could not be taken
        self.records_read = 0

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the store reflects the log by now."""
        return self.snapshots.reached

    def advance(self, deadline: float) -> bool:
        """Works until ``deadline`` (monotonic seconds); True when the shard may run commands."""
        self._deadline = deadline
        return next(self._steps, True)

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
        self._reader = self._log.reader()
        snapshots, journal = ends[self._topics.snapshots], ends[self._topics.journal]
        kept = self.snapshots
        kept.usable_checkpoint(snapshots.end)
        yield from self._read(
            self._topics.snapshots,
            kept.reached.snapshots_offset,
            snapshots.end,
            kept.apply,
        )
        if kept.importing is not None:
            raise self._unfinished(kept.importing)
        kept.read_to(snapshots.end)
        low_water = self._low_water()
        if low_water > journal.end:
            raise TopicError(
                f"{self._topics.journal}:{self._partition} ends at {journal.end}, below the "
                f"low-water mark {low_water}: it was truncated; restore it"
            )
        start = max(low_water, journal.start)
        yield from self._read(self._topics.journal, start, journal.end, self._fold)
        self._replay.end()
        if self.snapshots.effort == "anew":
            yield from self._renew()
        self._settle(parsed, journal.end)

    def _await_progress(self) -> Generator[bool, None, None]:
        """Learns the stable progress, which a transaction of the previous owner may hold back."""
        look_at = self._monotonic() + ORPHAN_S
        while True:
            try:
                self._committed = self._member.committed(self._partition)
                return
            except LogUnavailable:
                now = self._monotonic()
                if now >= look_at:
                    self._end_orphan()
                    look_at = now + ORPHAN_S
                yield False

    def _end_orphan(self) -> None:
        """Ends the previous owner's transaction when that was killed in the middle of it.

        The progress it committed before names it, and is told although it is not stable.
        """
        group = self._topics.group
        newest = self._log.progress(group, self._topics.commands).get(self._partition)
        parsed = newest and Progress.parse(newest.offset, newest.metadata)
        if not parsed or parsed[1] == self._member.instance:
            return
        if self._log.end_orphan(group, parsed[1]):
            logger.info(
                "%s:%d: ended what %s left open", self._topics.commands, self._partition, parsed[1]
            )

    def _parse_progress(self) -> Progress | None:
        if self._committed is None:
            return None
        parsed = Progress.parse(self._committed.offset, self._committed.metadata)
        if parsed is None:
            mark = ImportMark.parse(*self._committed)
            if mark is not None:
                raise self._unfinished(mark)
            if self._committed.metadata:
                raise LogError(
                    f"the group {self._topics.group} has committed progress that this kstate "
                    "cannot read: it is of a newer version, or another program uses this group"
                )
            return None
        return parsed[0]

    def _unfinished(self, mark: ImportMark) -> LogError:
        return LogError(
            f"an import into {self._topics.group} has not come to its end (of the archive "
            f"{mark.archive}): run kstate import again with that archive, it goes on where it was"
        )

    # -- reading -----------------------------------------------------------------------------

    def _read(
        self, topic: str, start: int, end: int, use: Callable[[Sequence[Record]], None]
    ) -> Generator[bool, None, None]:
        """Hands the records from ``start`` to ``end`` to ``use``, yielding now and then."""
        if start >= end:
            return
        assert self._reader is not None
        self._reader.assign(topic, {self._partition: start})
        moved = self._monotonic()
        while True:
            chunk = self._reader.poll(CHUNK, WAIT_S)
            if chunk.records:
                moved = self._monotonic()
                self.records_read += len(chunk.records)
                use(chunk.records)
                if chunk.records[-1].offset >= end - 1:
                    return  # without the wait for the reader to tell its end
            # the end is where the reader stands, not a record: the last offset may hold none
            if chunk.ends.get(self._partition, -1) >= end:
                return
            now = self._monotonic()
            if now - moved > STALL_S:
                raise LogError(
                    f"taking over {topic}:{self._partition} made no progress for {STALL_S:.0f} s: "
                    "a transaction is still open there, or the log was truncated"
                )
            # while nothing comes, other partitions may go on
            if not chunk.records or now >= self._deadline:
                yield False

    # -- the journal -------------------------------------------------------------------------

    def _low_water(self) -> int:
        """Where to read the journal from."""
        kept = self.snapshots
        if kept.passed_over:
            kept.tell_passed_over()
            self._replay.awaited = dict(kept.passed_over)
            kept.reached = kept.reached._replace(low_water=0)
            return 0
        if self._parsed is not None:
            return self._parsed.low_water
        return kept.reached.low_water

    def _fold(self, records: Sequence[Record]) -> None:
        for record in records:
            self._replay.event(record)
        self._spill()

    def _spill(self) -> None:
        """Keeps memory bounded: what must leave it is snapshotted, in a transaction of its own."""
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
            writes = [*batch.writes, *self._again()]
            ends = dict(self._member.commit(writes, {self._partition: self._progress()}))
        done = shard.commit(ends)
        self.faults += done.faults
        self.snapshots.renewed |= done.snapshots.keys()
        self.snapshots.keep(done.snapshots)

    def _again(self) -> list[Write]:
        """The same for the checkpoint record: see `_progress`."""
        if not self.snapshots.passed_over or self.snapshots.noted < 0:
            return []
        reached = self.snapshots.reached
        note = Progress(reached.processed, 0, reached.source, 0).note()
        now = int(self._clock() * 1000)
        return [Write(self._topics.snapshots, self._partition, CHECKPOINT_KEY, note, [], now)]

    def _progress(self) -> Committed:
        """The group's progress as it is, for a transaction in the middle of the recovery.

        A snapshot taken now may capture less than the one it replaces, when that was passed over:
        the journal must then be read from its start again, should this recovery not come to its
        end.
        """
        parsed = self._parsed
        if parsed is not None and self.snapshots.passed_over:
            again = parsed._replace(low_water=0)
            return Committed(again.offset, again.metadata(self._member.instance))
        return self._committed or Committed(self._commands_start(), "")

    def _commands_start(self) -> int:
        return self._log.ends(self._topics.commands)[self._partition].start

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
            "commands %d to %d of %s:%d are lost: deleted by retention before they were processed",
            processed,
            start - 1,
            self._topics.commands,
            self._partition,
        )
        return start
