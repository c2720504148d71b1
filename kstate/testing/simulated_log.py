"""A log on a simulated cluster: every promise of the port, and every freedom that Kafka takes.

Each step of each call is told to a `Surprise` beforehand, and those that have an effect are told
afterwards, too (their name then ends with ``!``).  A surprise may raise what the port allows there,
move the cluster's clock, let others go first, or end the process: `Killed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kstate.core.messages import Write
from kstate.errors import LogError, RecordTooLarge, TopicError
from kstate.log.port import (
    Choice,
    Chunk,
    Committed,
    Ends,
    Sender,
    Senders,
    TopicInfo,
    TopicSpec,
)
from kstate.testing.simulated_cluster import Cluster
from kstate.testing.simulated_member import EndDelayed, SimulatedMember
from kstate.testing.simulated_records import MAX_RECORD_BYTES, Partition, record_size


class Killed(BaseException):
    """The process ends here; nothing that it does from now on has an effect."""


Surprise = Callable[["SimulatedLog", str], None]


def no_surprise(log: SimulatedLog, step: str) -> None:
    """All goes well."""


class SimulatedLog:
    """One process's handle; see `kstate.log.port.Log`."""

    url = "simulated:"
    max_record_bytes = MAX_RECORD_BYTES
    multiple_owners = True

    def __init__(self, cluster: Cluster, surprise: Surprise = no_surprise) -> None:
        self.cluster = cluster
        self.dead = False
        self.silent = False
        self._surprise = surprise

    def step(self, what: str) -> None:
        """Something is about to happen, or has happened; raises what the surprise raises."""
        if self.dead:
            raise Killed(f"{what} of a process that is dead")
        self._surprise(self, what)

    def kill(self, what: str) -> Killed:
        """Ends the process; the exception to raise in it."""
        self.dead = True
        return Killed(what)

    # -- topics ------------------------------------------------------------------------------

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """See the port."""
        self.cluster.create(specs)

    def topics(self, names: Iterable[str] | None = None) -> Mapping[str, TopicInfo]:
        """See the port."""
        there = self.cluster.topics
        wanted = list(there) if names is None else [name for name in names if name in there]
        return {name: there[name].info() for name in wanted}

    def identity(self) -> str:
        """See the port."""
        return "simulated"

    def weaknesses(self) -> Sequence[str]:
        """See the port."""
        return ()

    def ends(self, topic: str) -> Mapping[int, Ends]:
        """See the port."""
        self.step("ends")
        with self.cluster.lock:
            return {each.number: each.ends() for each in self.cluster.topic(topic).partitions}

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        """See the port."""
        with self.cluster.lock:
            return {
                each.number: next(
                    (r.offset for r in each.records() if r.timestamp >= timestamp_ms), each.end
                )
                for each in self.cluster.topic(topic).partitions
            }

    # -- groups ------------------------------------------------------------------------------

    def progress(self, group: str, topic: str) -> Mapping[int, Committed]:
        """See the port."""
        with self.cluster.lock:
            return dict(self.cluster.group(group, topic).offsets)

    def owners(self, group: str, topic: str) -> Mapping[int, str]:
        """See the port."""
        with self.cluster.lock:
            return self.cluster.group(group, topic).owners()

    def end_orphan(self, group: str, instance: str) -> bool:
        """See the port."""
        self.step("end orphan")
        with self.cluster.lock:
            found = self.cluster.groups.get(group)
            if found is not None and instance in found.seats:
                return False
            self.cluster.transactions.end_orphan(instance)
            return True

    def join(self, group: str, topic: str, instance: str) -> SimulatedMember:
        """See the port."""
        self.step("join")
        with self.cluster.lock:
            member = SimulatedMember(self, group, topic, instance)
        self.step("join!")
        return member

    # -- readers and writers -----------------------------------------------------------------

    def reader(self, *, follows: bool = False) -> SimulatedReader:
        """See the port."""
        self.step("reader")
        return SimulatedReader(self)

    def producer(self) -> SimulatedProducer:
        """See the port."""
        self.step("producer")
        return SimulatedProducer(self)

    def close(self) -> None:
        """See the port."""


class SimulatedReader:
    """See `kstate.log.port.Reader`."""

    def __init__(self, log: SimulatedLog) -> None:
        self._log = log
        self._positions: dict[Partition, int] = {}
        self._told: dict[Partition, int] = {}  # the end that was told last
        self._only: Choice | None = None

    def assign(self, topic: str, positions: Mapping[int, int], only: Choice | None = None) -> None:
        """See the port."""
        self._only = only
        self._log.step("assign")
        cluster = self._log.cluster
        self._positions = {
            cluster.partition(topic, number): offset for number, offset in positions.items()
        }
        self._told = {}

    def poll(self, max_records: int, timeout_s: float) -> Chunk:
        """See the port."""
        self._log.step("read")
        cluster = self._log.cluster
        with cluster.lock:
            chunk = self._read(max_records)
            if not chunk.records and not chunk.ends and cluster.wait(timeout_s):
                chunk = self._read(max_records)
        if self._only is None:
            return chunk
        passed = {each.partition: each.offset + 1 for each in chunk.records}
        return Chunk([r for r in chunk.records if self._only(r.headers)], chunk.ends, passed)

    def _read(self, room: int) -> Chunk:
        found = []
        ends = {}
        for partition, offset in self._positions.items():
            if room <= 0:
                break
            records, position = partition.read(max(offset, partition.start), room)
            room -= len(records)
            found += records
            self._positions[partition] = position
            stable = partition.ends().stable
            if position >= stable and self._told.get(partition) != position:
                ends[partition.number] = self._told[partition] = position
        return Chunk(found, ends)

    def close(self) -> None:
        """See the port."""
        self._positions = {}


class SimulatedProducer:
    """See `kstate.log.port.Producer`."""

    def __init__(self, log: SimulatedLog) -> None:
        self._log = log
        self._senders = Senders()
        self._unasked: set[Sender] = set()  # who sent something since it flushed last
        self._closed = False

    def send(self, write: Write, sender: Sender | None = None) -> None:
        """See the port.  Raises `RecordTooLarge` for this record, at once."""
        size = record_size(write)
        if size > self._log.max_record_bytes:
            raise RecordTooLarge(f"a record for {write.topic}", size, self._log.max_record_bytes)
        if self._closed:
            raise LogError("this producer is closed")
        self._log.step("send")
        sender = sender or self._senders.current()
        self._unasked.add(sender)
        self._senders.queued(sender)
        try:
            with self._log.cluster.lock:
                partition, timestamp = self._log.cluster.place_of(write)
                partition.append(write, timestamp, self._log.cluster.now_ms, None)
        except TopicError as error:
            self._senders.settled(sender, error=error)
        else:
            self._senders.settled(sender)

    def flush(self, timeout_s: float, sender: Sender | None = None) -> None:
        """See the port."""
        sender = sender or self._senders.current()
        if sender in self._unasked:
            self._log.step("flush!")
            self._unasked.discard(sender)
        self._senders.tell(sender)

    def close(self) -> None:
        """See the port."""
        if not self._closed:
            self._closed = True
            self._senders.tell_all()


__all__ = ["EndDelayed", "Killed", "SimulatedLog", "Surprise", "no_surprise"]
