"""What every log promises.  The words are Kafka's; an adapter that is not Kafka keeps them.

Promises common to all adapters, checked by `kstate.testing.log_contract`:

* A partition is a sequence of records with strictly increasing offsets; there may be holes.
* What a transaction wrote is visible to every reader from one moment on, together with the offsets
  it committed, or never.  That moment may come a little after `Member.commit` returned, and not in
  all partitions at once: whoever wants to see what was answered reads up to `Ends.end`.
* A member's transaction is accepted only while the member owns the group's partitions it commits
  offsets for; a member that lost them gets `Fenced` or `OutcomeUnknown` and nothing is written.
* Foreign errors never pass: what reaches the caller is of `kstate.errors`.

Objects made by a log (members, readers, producers) are used by one thread at a time each;
the log itself may be shared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from kstate.core.messages import Headers, Record, Write, WriteRow
from kstate.errors import KStateError

Cleanup = Literal["delete", "compact", "compact,delete"]
Choice = Callable[[Headers], bool]
"""Whether records with these headers are wanted."""


class TopicSpec(NamedTuple):
    """A topic as a processor needs it."""

    name: str
    partitions: int
    cleanup: Cleanup
    retention_ms: int = -1  # with "delete": age at which records may go; -1: never
    delete_retention_ms: int = 7 * 86_400_000  # with "compact": how long a tombstone stays
    log_append_time: bool = False  # the log's clock decides the timestamp, not the producer's
    short: bool = False  # compact early and often, for what is replaced or removed soon


class TopicInfo(NamedTuple):
    """A topic as it is."""

    name: str
    partitions: int
    cleanup: str  # a `Cleanup`, or what no specification asks for: "none"
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
    # partitions whose stable end was reached by these or earlier records → the offset there: what
    # lies between the last record and it is none, but the marker of a transaction, for example
    ends: Mapping[int, int] = MappingProxyType({})


class Chunk(NamedTuple):
    """What a reader found."""

    records: Sequence[Record]
    ends: Mapping[int, int]  # partitions whose stable end was reached → the next offset to read
    # with a choice of records: partitions that were read → the next offset to read
    passed: Mapping[int, int] = MappingProxyType({})


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

    def write_ahead(self, writes: Sequence[WriteRow]) -> None:
        """Hands over records of the next `commit`, which may write them already: they count with
        that alone, and come before its own.  No `poll` in between.

        Raises as `commit`; then all that was handed over is dropped.
        """

    def abort(self) -> None:
        """Drops what `write_ahead` handed over; raises `Fenced` or `OutcomeUnknown` as `commit`."""

    def commit(
        self, writes: Sequence[WriteRow], progress: Mapping[int, Committed]
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
        """Gives the seat up; idempotent.  Others take over at once or, where a seat is kept for its
        worker to come back, when its session is over."""


class Reader(Protocol):
    """Reads partitions of one topic, outside any group, seeing only committed records."""

    def assign(self, topic: str, positions: Mapping[int, int], only: Choice | None = None) -> None:
        """Reads these partitions from these offsets on; replaces what was assigned.

        With ``only``, records for whose headers it is false are read and not delivered.

        An offset below the start of a partition means its start.  Raises `TopicError` when the
        topic or a partition does not exist.
        """

    def poll(self, max_records: int, timeout_s: float) -> Chunk:
        """Waits up to ``timeout_s`` for records or for a partition's end to be reached.

        An end is told each time it is reached anew, with or without records.
        """

    def close(self) -> None:
        """Releases the reader; idempotent."""


class Sender:
    """Who queues records and is told of those that were not stored: a thread, a task, one call.

    ``ended`` says whether a thread or a task is past asking: what it was not told by then goes to
    the next of its kind that flushes.  Without it the sender is told of its own records alone.
    """

    __slots__ = ("ended", "error", "open")

    def __init__(self, ended: Callable[[], bool] | None = None) -> None:
        self.ended = ended
        self.open = 0  # records that are neither stored nor given up
        self.error: KStateError | None = None  # the first that it has still to be told


class Senders:
    """A producer's books, for the adapters: who has records under way, and what failed of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._local = threading.local()
        self._owed: set[Sender] = set()  # threads and tasks with open records or untold errors

    def current(self) -> Sender:
        """The calling thread, as a sender."""
        found: Sender | None = getattr(self._local, "sender", None)
        if found is None:
            thread = threading.current_thread()
            found = self._local.sender = Sender(lambda: not thread.is_alive())
        return found

    def queued(self, sender: Sender) -> None:
        """A record of the sender is under way."""
        with self._lock:
            sender.open += 1
            if sender.ended is not None:
                self._owed.add(sender)

    def settled(self, sender: Sender, count: int = 1, error: KStateError | None = None) -> None:
        """So many records of the sender are stored or, with an error, given up."""
        with self._lock:
            sender.open -= count
            if sender.error is None:
                sender.error = error
            self._settle_account(sender)
            if error is not None:
                # of those that ended one error is told: more need not be kept
                gone = [each for each in self._owed if not each.open and _ended(each)]
                self._owed.difference_update(gone[1:])

    def open(self, sender: Sender) -> int:
        """How many records are under way whose end the sender's flush waits for."""
        with self._lock:
            return sum(each.open for each in self._concerning(sender))

    def tell(self, sender: Sender) -> None:
        """Raises the first error that the sender is to be told, and counts all of them as told."""
        with self._lock:
            errors = [self._take(each) for each in self._concerning(sender)]
        _raise_first(errors)

    def tell_all(self) -> None:
        """Raises the first error that nobody was told, whoever it was for."""
        with self._lock:
            errors = [self._take(each) for each in list(self._owed)]
        _raise_first(errors)

    def _concerning(self, sender: Sender) -> list[Sender]:
        if sender.ended is None:
            return [sender]
        return [sender, *(each for each in self._owed if each is not sender and _ended(each))]

    def _take(self, sender: Sender) -> KStateError | None:
        error, sender.error = sender.error, None
        self._settle_account(sender)
        return error

    def _settle_account(self, sender: Sender) -> None:
        if not sender.open and sender.error is None:
            self._owed.discard(sender)


def _ended(sender: Sender) -> bool:
    return sender.ended is not None and sender.ended()


def _raise_first(errors: Iterable[KStateError | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


class Producer(Protocol):
    """Writes outside transactions: for clients and for schemas.  May be used by many threads.

    A record that could not be stored is told to its `Sender` and to nobody else: the calling
    thread, unless another sender is given.
    """

    def send(self, write: Write, sender: Sender | None = None) -> None:
        """Queues a record; blocks while the queue is full."""

    def flush(self, timeout_s: float, sender: Sender | None = None) -> None:
        """Returns when everything that the sender queued is stored; raises `LogError` for what was
        not, `LogUnavailable` also for what was not within ``timeout_s``.

        What threads and tasks have queued that ended since is waited for and told like its own.
        """

    def close(self) -> None:
        """Flushes for all senders and releases the producer; idempotent.

        Raises as `flush` does, for what nobody was told yet.
        """


class Log(Protocol):
    """A cluster of topics, named by a URL."""

    url: str  # without secrets
    max_record_bytes: int  # key, value and headers of one record, together
    multiple_owners: bool  # whether a group's partitions are shared out among its members

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Creates what is missing; an existing topic is left as it is (`topics` tells it)."""

    def topics(self, names: Iterable[str] | None = None) -> Mapping[str, TopicInfo]:
        """The topics that exist, of these names or all."""

    def identity(self) -> str:
        """What tells this cluster from others, whatever its URL; asks nothing after `topics`.

        Empty for the embedded log: its file has no id, and the topics in it are enough.
        """

    def weaknesses(self) -> Sequence[str]:
        """What may lose commits beside the settings of topics, a sentence each."""

    def ends(self, topic: str) -> Mapping[int, Ends]:
        """The bounds of each partition; raises `TopicError` when there is no such topic."""

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        """Per partition, the offset of the first record of that time or later, else the end;
        raises `TopicError` as `ends`."""

    def progress(self, group: str, topic: str) -> Mapping[int, Committed]:
        """What a group has committed, for those who look on: told of the partitions that have some,
        and also while a transaction is open that may change it."""

    def owners(self, group: str, topic: str) -> Mapping[int, str]:
        """Per partition, the instance that owns it now; partitions without one are absent."""

    def end_orphan(self, group: str, instance: str) -> bool:
        """Ends the transaction that an instance left open, which keeps its successors from the
        group's stable progress; False, and nothing is done, while it is a member of the group.

        Of one that never owned a partition True may be told, too: it has left nothing open.
        """

    def join(self, group: str, topic: str, instance: str) -> Member:
        """Takes a seat in the group that processes the topic."""

    def reader(self, *, follows: bool = False) -> Reader:
        """A reader of committed records.

        One that ``follows`` stands at the ends for long and waits for more, and asks less often
        for it; others read up to an end, and are told soon that they are there.
        """

    def producer(self) -> Producer:
        """A producer outside transactions."""

    def close(self) -> None:
        """Releases what the log itself holds; idempotent.  Close members and readers first."""


__all__ = [
    "Assignment",
    "Choice",
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
    "Sender",
    "Senders",
    "TopicInfo",
    "TopicSpec",
    "Write",
    "WriteRow",
]
