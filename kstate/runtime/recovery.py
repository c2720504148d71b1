"""Taking a partition over: establish what is committed, then read no more than is needed.

The order is what makes it right: first the stable progress of the previous owner, so that no
transaction of it is open any more; only then the ends to read to; then snapshots, then the journal
from the low-water mark; last the offset of the first command to run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence

from kstate.core.messages import Progress, Record
from kstate.core.replay import Replay
from kstate.core.shard import Shard
from kstate.core.topics import Topics
from kstate.errors import JournalError, LogError, LogUnavailable, TopicError
from kstate.log.port import Committed, Log, Member, Reader
from kstate.store.port import Checkpoint, PartitionStore

STALL_S = 60.0
"""A recovery that reads nothing for so long fails and says so."""
CHUNK = 2_000
WAIT_S = 0.02

logger = logging.getLogger("kstate.recovery")

Clock = Callable[[], float]
"""Seconds, as `time.monotonic` or `time.time` give them."""


class Recovery:
    """One takeover, advanced in slices so that the membership and other partitions live on."""

    def __init__(
        self,
        log: Log,
        member: Member,
        topics: Topics,
        shard: Shard,
        store: PartitionStore,
        identity: str,  # of the snapshots topic
        tombstone_age_ms: int,  # how long the snapshots topic keeps a tombstone
        clock: Clock,
        monotonic: Clock,
        skip_lost: bool,
    ) -> None:
        self._log = log
        self._member = member
        self._topics = topics
        self._shard = shard
        self._store = store
        self._identity = identity
        self._tombstone_age_ms = tombstone_age_ms
        self._clock = clock
        self._monotonic = monotonic
        self._skip_lost = skip_lost
        self._partition = shard.partition
        self._replay = Replay(shard)
        self._reader: Reader | None = None
        self._deadline = 0.0
        self._steps = self._run()
        self._committed: Committed | None = None
        self._reached = Checkpoint(0, 0, 0, -1, 0, identity, 0)
        self._stale: set[bytes] = set()  # persist ids whose newest snapshot is of another version
        self.records_read = 0

    @property
    def checkpoint(self) -> Checkpoint:
        """How far the store reflects the log by now."""
        return self._reached

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
        while True:
            try:
                self._committed = self._member.committed(self._partition)
                break
            except LogUnavailable:  # a transaction of the previous owner is still open
                yield False
        parsed = self._parse_progress()
        # not before: whatever the previous owner committed lies below these
        ends = {
            topic: self._log.ends(topic)[self._partition]
            for topic in (self._topics.snapshots, self._topics.journal)
        }
        self._reader = self._log.reader()
        snapshots, journal = ends[self._topics.snapshots], ends[self._topics.journal]
        checkpoint = self._usable_checkpoint(snapshots.end)
        yield from self._read(
            self._topics.snapshots,
            self._reached.snapshots_offset,
            snapshots.end,
            self._apply_snapshots,
        )
        self._reached = self._reached._replace(snapshots_offset=snapshots.end)
        low_water = self._low_water(parsed, checkpoint)
        if low_water > journal.end:
            raise TopicError(
                f"{self._topics.journal}:{self._partition} ends at {journal.end}, below the "
                f"low-water mark {low_water}: it was truncated; restore it"
            )
        start = max(low_water, journal.start)
        yield from self._read(self._topics.journal, start, journal.end, self._fold)
        self._settle(parsed, checkpoint, journal.end)

    def _parse_progress(self) -> Progress | None:
        if self._committed is None:
            return None
        parsed = Progress.parse(self._committed.offset, self._committed.metadata)
        if parsed is None:
            if self._committed.metadata:
                raise LogError(
                    f"the group {self._topics.group} has committed progress that this kstate "
                    "cannot read: it is of a newer version, or another program uses this group"
                )
            return None
        return parsed[0]

    # -- reading -----------------------------------------------------------------------------

    def _read(
        self, topic: str, start: int, end: int, use: Callable[[Sequence[Record]], None]
    ) -> Generator[bool, None, None]:
        """Hands the records from ``start`` to ``end`` to ``use``, yielding at each deadline."""
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
            # the end is where the reader stands, not a record: the last offset may hold none
            if chunk.ends.get(self._partition, -1) >= end:
                return
            now = self._monotonic()
            if now - moved > STALL_S:
                raise LogError(
                    f"taking over {topic}:{self._partition} made no progress for {STALL_S:.0f} s: "
                    "a transaction is still open there, or the log was truncated"
                )
            if now >= self._deadline:
                yield False

    # -- snapshots ---------------------------------------------------------------------------

    def _usable_checkpoint(self, end: int) -> Checkpoint | None:
        """The store's checkpoint; an unusable store is emptied, and it is said why."""
        checkpoint = self._store.checkpoint()
        now = int(self._clock() * 1000)
        version = self._shard.machine.definition.snapshot_version
        self._reached = Checkpoint(0, 0, 0, -1, version, self._identity, now)
        if checkpoint is None:
            self._store.clear()
            return None
        if checkpoint.topic != self._identity:
            why = "it belongs to another snapshots topic"
        elif checkpoint.snapshot_version != version:
            why = "the processor's snapshot_version has changed"
        elif checkpoint.snapshots_offset > end:
            why = "it is ahead of the snapshots topic"
        elif now - checkpoint.at > self._tombstone_age_ms:
            why = "it is older than the snapshots topic keeps tombstones"
        else:
            # older marks stay true: snapshots only get newer
            self._reached = checkpoint._replace(at=now)
            return checkpoint
        logger.warning(
            "the local store of %s:%d is rebuilt: %s", self._topics.snapshots, self._partition, why
        )
        self._store.clear()
        return None

    def _apply_snapshots(self, records: Sequence[Record]) -> None:
        version = self._shard.machine.definition.snapshot_version
        read_version = self._shard.machine.codec.snapshot_version
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            key, value = record.key, record.value
            if key is None:
                raise JournalError(
                    f"{self._topics.snapshots} has a foreign record without a key at "
                    f"{record.partition}:{record.offset}"
                )
            if value is not None and read_version(value) != version:
                self._stale.add(key)
                value = None
            else:
                self._stale.discard(key)
            changes[key] = value
        self._reached = self._reached._replace(snapshots_offset=records[-1].offset + 1)
        self._keep(changes)

    def _keep(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Writes to the store how far it reflects the log.

        Snapshots of another version are to be met again by a recovery that comes before the first
        commit: until then the committed low-water mark still counts them as covering.
        """
        reached = self._reached._replace(snapshots_offset=0) if self._stale else self._reached
        self._store.apply(changes, reached)

    # -- the journal -------------------------------------------------------------------------

    def _low_water(self, parsed: Progress | None, checkpoint: Checkpoint | None) -> int:
        if self._stale:
            logger.warning(
                "%d snapshots of %s:%d are of another snapshot_version: "
                "their entities are rebuilt from the journal",
                len(self._stale),
                self._topics.snapshots,
                self._partition,
            )
            return 0
        if parsed is not None:
            return parsed.low_water
        return checkpoint.low_water if checkpoint else 0

    def _fold(self, records: Sequence[Record]) -> None:
        for record in records:
            self._replay.event(record)
        self._spill()

    def _spill(self) -> None:
        """Keeps memory bounded: what must leave it is snapshotted, in a transaction of its own."""
        shard = self._shard
        shard.close(int(self._clock() * 1000))
        batch = shard.batch
        if not batch.evicting:
            return
        ends: dict[tuple[str, int], int] = {}
        if batch.writes:
            committed = self._committed or Committed(self._commands_start(), "")
            ends = dict(self._member.commit(batch.writes, {self._partition: committed}))
        done = shard.commit(ends)
        self._keep(done.snapshots)

    def _commands_start(self) -> int:
        return self._log.ends(self._topics.commands)[self._partition].start

    # -- where to go on ----------------------------------------------------------------------

    def _settle(self, parsed: Progress | None, checkpoint: Checkpoint | None, end: int) -> None:
        """Decides the first command to run: the largest of all that is known of the past."""
        commands = self._log.ends(self._topics.commands)[self._partition]
        known = [self._replay.newest_source + 1]
        if self._committed is not None:
            known.append(self._committed.offset)
        if checkpoint is not None:
            known.append(checkpoint.processed)
        processed = max(known)
        if not processed and self._committed is None:
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
        source = max(
            self._replay.newest_source,
            parsed.source if parsed else -1,
            checkpoint.source if checkpoint else -1,
        )
        self._shard.entity_count = self._count_entities(parsed)
        self._shard.restored(processed, source, end)
        self._reached = self._reached._replace(
            low_water=self._shard.low_water(), processed=processed, source=source
        )
        self._keep({})

    def _count_entities(self, parsed: Progress | None) -> int:
        if parsed is not None:
            return parsed.entities
        in_memory = sum(
            1 for entity in self._shard.entities.values() if entity.seq and not entity.snapshot_seq
        )
        return self._store.count() + in_memory

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
