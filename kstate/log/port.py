"""What every log promises.  The words are Kafka's; an adapter that is not Kafka keeps them.

Promises common to all adapters, checked by `kstate.testing.log_contract`:

* A partition is a sequence of records with strictly increasing offsets; there may be holes.
* What a transaction wrote is visible to every reader from one moment on, together with the offsets
  it committed, or never.
* A member's transaction is accepted only while the member owns the group's partitions it commits
  offsets for; a member that lost them gets `Fenced` or `OutcomeUnknown` and nothing is written.
* Foreign errors never pass: what reaches the caller is of `kstate.errors`.

Objects made by a log (members, readers, producers) are used by one thread at a time each;
the log itself may be shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from kstate.core.messages import Headers, Record, Write

Cleanup = Literal["delete", "compact"]


class TopicSpec(NamedTuple):
    """A topic as a processor needs it."""

    name: str
    partitions: int
    cleanup: Cleanup
    retention_ms: int = -1  # with "delete": age at which records may go; -1: never
    delete_retention_ms: int = 7 * 86_400_000  # with "compact": how long a tombstone stays
    log_append_time: bool = False  # the log's clock decides the timestamp, not the producer's
    short: bool = False  # compact early and often: the newest record per key is all that counts


class TopicInfo(NamedTuple):
    """A topic as it is."""

    name: str
    partitions: int
    cleanup: str  # a `Cleanup`, or what no specification asks for: "compact,delete", "none"
    identity: str  # changes when the topic is deleted and created anew
    retention_ms: int  # with "delete": age at which records may go; -1: never
    delete_retention_ms: int  # with "compact": how long a tombstone stays
    log_append_time: bool  # the log's clock decides the timestamp, not the producer's
    dirty_ratio: float  # with "compact": the share of new records at which the log is compacted
    max_record_bytes: int  # key, value and headers of one record, together
    weak: Sequence[str] = ()  # what may lose records that were acknowledged: a clause each


class Ends(NamedTuple):
    """Bounds of a partition, as offsets."""

    start: int  # of the oldest record kept
    stable: int  # a reader sees nothing at or past this: the first open transaction, or `end`
    end: int  # the next record gets this or a larger one


class Committed(NamedTuple):
    """A group's progress in a partition."""

    offset: int  # of the next record to process
    metadata: str


class Assignment(NamedTuple):
    """One tenure of a partition by a member; the number is never used again by that member."""

    partition: int
    number: int


class Polled(NamedTuple):
    """What happened since the last poll, in this order."""

    revoked: Sequence[Assignment]
    assigned: Sequence[Assignment]
    records: Sequence[Record]  # of the current assignments only, in order per partition


class Chunk(NamedTuple):
    """What a reader found."""

    records: Sequence[Record]
    ends: Mapping[int, int]  # partitions whose stable end was reached → the next offset to read


class Member(Protocol):
    """One worker's seat in a processor's group: it consumes commands and commits transactions."""

    @property
    def instance(self) -> str:
        """The stable id of this worker slot."""

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        """Waits up to ``timeout_s`` for something to happen; serves the membership.

        An assigned partition delivers nothing until `start`.  No transaction is open meanwhile.
        Raises `Fenced` when the seat is lost for good, `LogUnavailable` while the log is away.
        """

    def start(self, partition: int, offset: int) -> None:
        """Delivers the partition's records from ``offset`` on: after recovery or an abort."""

    def committed(self, partition: int) -> Committed | None:
        """The group's stable progress; None when nothing was ever committed.

        Raises `LogUnavailable` while a previous owner's transaction is still open: try again.
        """

    def commit(
        self, writes: Sequence[Write], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        """Writes the records and the progress of the partitions in one transaction.

        Every transaction carries the progress of each partition it writes for, unchanged or not:
        that is the fence.  Returns, per topic and partition that are not the reply topics', a
        lower bound of the offset that the next record written there will get.

        Raises `TransactionAborted` (nothing happened; `start` each partition where it was and go
        on), `Fenced` or `OutcomeUnknown` (this member is of no use any more: close it, join anew,
        recover).
        """

    def close(self) -> None:
        """Leaves the group so that others take over at once; idempotent."""


class Reader(Protocol):
    """Reads partitions of one topic, outside any group, seeing only committed records."""

    def assign(self, topic: str, positions: Mapping[int, int]) -> None:
        """Reads these partitions from these offsets on; replaces what was assigned.

        An offset below the start of a partition means its start.  Raises `TopicError` when the
        topic or a partition does not exist.
        """

    def poll(self, max_records: int, timeout_s: float) -> Chunk:
        """Waits up to ``timeout_s`` for records or for a partition's end to be reached.

        An end is told each time it is reached anew, with or without records.
        """

    def close(self) -> None:
        """Releases the reader; idempotent."""


class Producer(Protocol):
    """Writes outside transactions: for clients and for schemas.  May be used by many threads."""

    def send(self, write: Write) -> None:
        """Queues a record; blocks while the queue is full."""

    def flush(self, timeout_s: float) -> None:
        """Returns when everything queued is stored; raises `LogError` for what was not."""

    def close(self) -> None:
        """Flushes and releases the producer; idempotent."""


class Log(Protocol):
    """A cluster of topics, named by a URL."""

    url: str  # without secrets
    max_record_bytes: int  # key, value and headers of one record, together
    multiple_owners: bool  # whether a group's partitions are shared out among its members

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Creates what is missing; an existing topic is left as it is (`topics` tells it)."""

    def topics(self, names: Iterable[str] | None = None) -> Mapping[str, TopicInfo]:
        """The topics that exist, of these names or all."""

    def weaknesses(self) -> Sequence[str]:
        """What may lose commits beside the settings of topics, a sentence each."""

    def ends(self, topic: str) -> Mapping[int, Ends]:
        """The bounds of each partition; raises `TopicError` when there is no such topic."""

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        """Per partition, the offset of the first record of that time or later, else the end."""

    def progress(self, group: str, topic: str) -> Mapping[int, Committed]:
        """What a group has committed, for those who look on."""

    def owners(self, group: str, topic: str) -> Mapping[int, str]:
        """Per partition, the instance that owns it now; partitions without one are absent."""

    def join(self, group: str, topic: str, instance: str) -> Member:
        """Takes a seat in the group that processes the topic."""

    def reader(self) -> Reader:
        """A reader of committed records."""

    def producer(self) -> Producer:
        """A producer outside transactions."""

    def close(self) -> None:
        """Releases what the log itself holds; idempotent.  Close members and readers first."""


__all__ = [
    "Assignment",
    "Chunk",
    "Cleanup",
    "Committed",
    "Ends",
    "Headers",
    "Log",
    "Member",
    "Polled",
    "Producer",
    "Reader",
    "Record",
    "TopicInfo",
    "TopicSpec",
    "Write",
]
