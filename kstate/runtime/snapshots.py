"""The local store of a partition on its way up to date: what is kept of the snapshots topic.

A snapshot of another ``snapshot_version``, or one that this code cannot read, is passed over: its
entity is rebuilt from its events.  Of one that was erased before, from those that came since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from kstate.core.context import Machine
from kstate.core.messages import ImportMark, Progress, Record, Write
from kstate.core.removal import Gone
from kstate.core.topics import CHECKPOINT_KEY
from kstate.errors import DecodeError, JournalError, LogError
from kstate.store.port import Checkpoint, PartitionStore

OTHER_VERSION = "is of another snapshot_version"
ANEW = "is to be made anew"
AHEAD_MS = 3_600_000
"""How far ahead of now a store may be dated: its age would never show."""

Effort = Literal["heads", "thorough", "anew"]
"""What a recovery makes of snapshots: it looks at their versions alone; or at each state, too; or
it takes none that the journal can replace."""

logger = logging.getLogger("kstate.recovery")


class Snapshots:
    """The store of one partition while the partition is taken over.

    With more ``effort`` than for heads the topic is read from its start, whatever the store holds.
    """

    def __init__(
        self,
        machine: Machine,
        topic: str,
        partition: int,
        store: PartitionStore,
        identity: str,  # of the topic
        tombstone_age_ms: int,  # how long the topic keeps a tombstone
        clock: Callable[[], float],  # seconds since the epoch
        effort: Effort,
        warned: set[str],  # of what the worker has warned already: partitions are many
    ) -> None:
        self.effort = effort
        self._warned = warned
        # how far the store reflects the log
        self.reached = Checkpoint(0, 0, -1, -1, 0, identity, 0)
        self.passed_over: dict[bytes, str] = {}  # key → what is wrong with its newest snapshot
        self._types: dict[bytes, str | None] = {}  # key → what an unreadable one was written as
        self.gone: dict[bytes, Gone] = {}  # key → what that says of events that are gone
        self.noted = -1  # the next command, as the newest checkpoint record that was read has it
        self.importing: ImportMark | None = None  # what that says of an import
        self.renewed: set[bytes] = set()  # snapshotted while the journal was read
        self._machine = machine
        self._topic = topic
        self._partition = partition
        self._store = store
        self._identity = identity
        self._tombstone_age_ms = tombstone_age_ms
        self._clock = clock
        self._looked_at = 0  # ms: when the store was found usable, or emptied

    def usable_checkpoint(self, end: int) -> Checkpoint | None:
        """The store's checkpoint; an unusable store is emptied, and it is said why."""
        checkpoint = self._store.checkpoint()
        now = int(self._clock() * 1000)
        version = self._machine.definition.snapshot_version
        self.reached = Checkpoint(0, 0, -1, -1, version, self._identity, now)
        self._looked_at = now
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
        elif checkpoint.at - now > AHEAD_MS:
            why = "it is dated more than an hour ahead of now"
        elif self.effort == "anew":
            why = "its states are folded anew"
        else:
            # older marks stay true: snapshots only get newer; but its age stays, too, until it
            # lacks nothing: a deletion that was not read yet may be forgotten as early as before
            self.reached = checkpoint
            if self.effort != "heads":
                self.reached = self.reached._replace(snapshots_offset=0)
            return checkpoint
        logger.warning("the local store of %s:%d is rebuilt: %s", self._topic, self._partition, why)
        self._store.clear()
        return None

    def read_to(self, end: int) -> None:
        """Takes note that the topic was read to ``end``, its end when the store was looked at."""
        self.reached = self.reached._replace(snapshots_offset=end, at=self._looked_at)

    def apply(self, records: Sequence[Record]) -> None:
        """Takes over records of the topic, in their order.

        Raises `JournalError` for one without a key.
        """
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            key, value = record.key, record.value
            if key is None:
                raise JournalError(
                    f"{self._topic} has a foreign record without a key at "
                    f"{record.partition}:{record.offset}"
                )
            if key == CHECKPOINT_KEY:
                self._note(record)
                continue
            reason = None if value is None else self._unusable(value)
            if reason is None:
                self.passed_over.pop(key, None)
                self.gone.pop(key, None)
                changes[key] = value
            else:
                self.passed_over[key] = reason
                assert value is not None
                if reason is not OTHER_VERSION:
                    self._types[key] = self._machine.codec.state_type(value)
                older = changes[key] if key in changes else self._store.get(key)
                changes[key] = self._base(key, value, older)
        self.reached = self.reached._replace(snapshots_offset=records[-1].offset + 1)
        self.keep(changes)

    def _note(self, record: Record) -> None:
        """Takes a checkpoint record over; its marks hold for the snapshots before it."""
        if record.value is None:
            return
        self.importing = ImportMark.parse_note(record.value)
        if self.importing is not None:
            return
        progress = Progress.parse_note(record.value)
        if progress is None:
            raise JournalError(
                f"{self._topic} has a checkpoint at {record.partition}:{record.offset} that this "
                "kstate cannot read: it is of a newer version"
            )
        self.noted = progress.offset
        if progress.offset >= self.reached.processed:
            self.reached = self.reached._replace(
                low_water=progress.low_water, processed=progress.offset, source=progress.source
            )

    def _base(self, key: bytes, value: bytes, older: bytes | None) -> bytes | None:
        """What the journal may go on from, of a snapshot that is passed over and an older one."""
        codec = self._machine.codec
        if older is not None and self._unusable(older) is not None:
            older = None
        try:
            newest = codec.decode_envelope(value)
        except DecodeError:
            return older
        erased = newest.erased
        if erased or newest.removed:
            self.gone[key] = Gone(newest.removed, erased)
        if not erased or (older is not None and codec.decode_envelope(older).seq > erased):
            return older
        # the state began anew there: what is older is of the life that was erased
        version = self._machine.definition.snapshot_version
        # the journal tells the other command ids again
        recent = {each: kept for each, kept in newest.recent.items() if kept[0] <= erased}
        return codec.encode_snapshot(
            replace(newest, seq=erased, state=None, deleted=True, version=version, recent=recent)
        )

    def _unusable(self, value: bytes) -> str | None:
        """What is wrong with a snapshot; None when there is nothing, as far as it was looked at."""
        codec = self._machine.codec
        expected = version = self._machine.definition.snapshot_version
        try:
            version = codec.snapshot_version(value)
            if version == expected and self.effort == "heads":
                return None
            snapshot = codec.decode_snapshot(value)
            if version == expected and self.effort == "anew":
                # behind a snapshot that let events go there is no way back
                kept = snapshot.deleted or snapshot.removed > snapshot.erased
                return None if kept else ANEW
        except DecodeError as error:
            return f"cannot be read ({error})" if version == expected else OTHER_VERSION
        # a deleted entity has no state that other folds would have made otherwise
        return None if version == expected or snapshot.deleted else OTHER_VERSION

    def missing(self) -> set[bytes]:
        """The persist ids that were passed over and have no newer snapshot yet."""
        return self.passed_over.keys() - self.renewed

    def keep(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Writes to the store how far it reflects the log.

        Snapshots that were passed over are to be met again by the next recovery, until there are
        newer ones: a worker that can read them counts them as covering, and moves the low-water
        mark past their events.  So is what is told of an import that has not come to its end.
        """
        reached = self.reached
        if self.passed_over or self.importing is not None:
            reached = reached._replace(snapshots_offset=0)
        self._store.apply(changes, reached)

    def note_again(self) -> list[Write]:
        """A checkpoint record for snapshots that are taken while others are passed over: they may
        capture less than those they replace, and the journal is read from its start until then."""
        if not self.passed_over or self.noted < 0:
            return []
        note = Progress(self.reached.processed, 0, self.reached.source, 0).note()
        now = int(self._clock() * 1000)
        return [Write(self._topic, self._partition, CHECKPOINT_KEY, note, [], now)]

    def count(self) -> int:
        """How many persist ids have a snapshot in the store."""
        return self._store.count()

    def tell_passed_over(self) -> None:
        """Says how many snapshots were passed over, and why: one warning per worker and stored type
        of those that cannot be read, one for those of another version; and a line of information
        for further partitions."""
        if self.effort == "anew":
            return  # it was asked for
        unreadable: dict[str | None, list[bytes]] = {}
        for key, reason in self.passed_over.items():
            if reason is not OTHER_VERSION:
                unreadable.setdefault(self._types[key], []).append(key)
        of_another_version = len(self.passed_over) - sum(map(len, unreadable.values()))
        if of_another_version:
            logger.log(
                self._level("version"),
                "%d snapshots of %s:%d are of another snapshot_version: "
                "their entities are rebuilt from the journal",
                of_another_version,
                self._topic,
                self._partition,
            )
        for type_name, keys in unreadable.items():
            what = "no known type" if type_name is None else f"type {type_name}"
            logger.log(
                self._level(what),
                "%d snapshots of %s:%d (%s) are unreadable, that of %r %s: "
                "their entities are rebuilt from the journal",
                len(keys),
                self._topic,
                self._partition,
                what,
                keys[0].decode(errors="replace"),
                self.passed_over[keys[0]],
            )

    def _level(self, cause: str) -> int:
        level = logging.INFO if cause in self._warned else logging.WARNING
        self._warned.add(cause)
        return level


def unfinished(group: str, mark: ImportMark) -> LogError:
    """What a worker says of an import that is under way, or was given up."""
    return LogError(
        f"an import into {group} has not come to its end (of the archive "
        f"{mark.archive}): run kstate import again with that archive, it goes on where it was"
    )
