"""A worker's seat in a group of a simulated log.

It knows what a Kafka client knows: the assignment it was told last, and a generation that the
client's own threads may have renewed since.  Nobody here checks that a partition it commits for is
still its own: a broker does not, either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kstate.core.messages import Record, Write, WriteRow
from kstate.errors import (
    Fenced,
    LogUnavailable,
    OutcomeUnknown,
    RecordTooLarge,
    TopicError,
    TransactionAborted,
)
from kstate.log.port import Assignment, Committed, Polled
from kstate.testing.simulated_cluster import Cluster
from kstate.testing.simulated_group import NO_GENERATION
from kstate.testing.simulated_records import MAX_RECORD_BYTES, record_size


class EndDelayed(OutcomeUnknown):
    """The request to commit is given up by its sender and arrives all the same, ``after_s``."""

    def __init__(self, after_s: float) -> None:
        super().__init__("the answer to the commit did not come")
        self.after_s = after_s


class Process(Protocol):
    """The process that the member lives in."""

    dead: bool
    silent: bool

    @property
    def cluster(self) -> Cluster: ...

    def step(self, what: str) -> None:
        """Something is about to happen, or has happened; raises what is to go wrong."""


class SimulatedMember:
    """See `kstate.log.port.Member`.

    A commit is told step by step: ``commit.ahead`` before records are written ahead of it,
    ``commit`` before the rest is, ``commit.written`` when some of that is, ``commit.offsets`` when
    the progress is, ``commit.produced`` before the end is asked for, ``commit.ended`` and
    ``commit!`` when it is decided.
    """

    def __init__(self, process: Process, group: str, topic: str, instance: str) -> None:
        self._process = process
        self._cluster = cluster = process.cluster
        self._name, self._topic, self._instance = group, topic, instance
        self._group = cluster.group(group, topic)
        self._partitions = cluster.topic(topic).partitions
        self._epoch = cluster.transactions.begin_life(instance)
        self._seat = self._group.join(instance, process, cluster.now_s)
        self._owned: dict[int, Assignment] = {}
        self._positions: dict[int, int] = {}  # of the partitions that were started
        self._numbers = 0
        self._bounds: dict[tuple[str, int], int] = {}
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"owns {sorted(self._owned)}"
        return f"<SimulatedMember {self._instance} of {self._name}: {state}>"

    @property
    def instance(self) -> str:
        """See the port."""
        return self._instance

    # -- reading -----------------------------------------------------------------------------

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        """See the port."""
        self._process.step("poll")
        with self._cluster.lock:
            polled = self._turn(max_records)
            if not any(polled) and self._cluster.wait(timeout_s):
                polled = self._turn(max_records)
        self._process.step("poll!")
        return polled

    def _turn(self, room: int) -> Polled:
        now_s = self._cluster.now_s
        if self._lost:
            revoked = list(self._owned.values())
            self._owned, self._positions = {}, {}
            self._seat = self._group.join(self._instance, self._process, now_s)
            return Polled(revoked, [], [])
        gone, gained = self._group.sync(self._seat, now_s)
        revoked = [self._owned.pop(number) for number in gone]
        for number in gone:
            self._positions.pop(number, None)
        assigned = []
        for number in gained:
            self._numbers += 1
            self._owned[number] = Assignment(number, self._numbers)
            assigned.append(self._owned[number])
        return Polled(revoked, assigned, self._read(room), self._ends())

    @property
    def _lost(self) -> bool:
        """Whether the group has given the seat up."""
        return self._group.seats.get(self._instance) is not self._seat

    def _read(self, room: int) -> Sequence[Record]:
        found: list[Record] = []
        for number, offset in self._positions.items():
            if room <= 0:
                break
            records, self._positions[number] = self._partitions[number].read(offset, room)
            room -= len(records)
            found += records
        return found

    def _ends(self) -> dict[int, int]:
        """Where the partitions end of which all was delivered."""
        return {
            number: offset
            for number, offset in self._positions.items()
            if offset >= self._partitions[number].ends().stable
        }

    def start(self, partition: int, offset: int) -> None:
        """See the port."""
        self._process.step("start")
        if partition not in self._owned:
            raise Fenced(f"{self._topic}:{partition} is not assigned to {self._instance}")
        self._positions[partition] = offset

    def committed(self, partition: int) -> Committed | None:
        """See the port."""
        self._process.step("committed")
        with self._cluster.lock:
            if self._group.pending.get(partition):
                raise LogUnavailable(f"a transaction for {self._topic}:{partition} is still open")
            return self._group.offsets.get(partition)

    # -- writing -----------------------------------------------------------------------------

    def write_ahead(self, writes: Sequence[WriteRow]) -> None:
        """See the port."""
        self._checked(writes, "commit.ahead")
        try:
            self._write(writes)
        except (TransactionAborted, Fenced):
            self.abort()
            raise

    def abort(self) -> None:
        """See the port."""
        self._bounds = {}
        self._end(commit=False)

    def _checked(self, writes: Sequence[WriteRow], step: str) -> None:
        """Looks at the records and tells the step; what goes wrong ends the transaction."""
        try:
            self._check_writes(writes)
            self._process.step(step)
        except (RecordTooLarge, TopicError, TransactionAborted):
            self.abort()
            raise

    def commit(
        self, writes: Sequence[WriteRow], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        """See the port."""
        step = self._process.step
        self._checked(writes, "commit")
        generation = self._generation()
        self._refuse_no_generation(generation)
        half = len(writes) // 2
        try:
            self._write(writes[:half])
            step("commit.written")
            self._add_offsets(generation, progress)
            step("commit.offsets")
            self._write(writes[half:])
            step("commit.produced")
        except (TransactionAborted, Fenced):
            self.abort()
            raise
        except EndDelayed as delayed:
            self._cluster.transactions.end_later(self._instance, self._epoch, delayed.after_s)
            raise
        self._end(commit=True)
        step("commit.ended")
        step("commit!")
        bounds, self._bounds = self._bounds, {}
        return bounds

    def _check_writes(self, writes: Sequence[WriteRow]) -> None:
        for write in map(Write._make, writes):
            self._cluster.place_of(write)
            size = record_size(write)
            if size > MAX_RECORD_BYTES:
                raise RecordTooLarge(f"a record for {write.topic}", size, MAX_RECORD_BYTES)

    def _generation(self) -> int:
        """The generation in the group metadata, as read just before the offsets are sent."""
        heard = not self._process.silent and self._cluster.hears()
        if not heard:
            return self._seat.generation
        return NO_GENERATION if self._lost else self._group.generation

    def _refuse_no_generation(self, generation: int) -> None:
        """The broker would take such a commit as that of a consumer outside the group."""
        if generation == NO_GENERATION:
            raise Fenced(f"{self._instance} is not in its group {self._name} any more")

    def _write(self, writes: Sequence[WriteRow]) -> None:
        transactions = self._cluster.transactions
        with self._cluster.lock:
            for write in map(Write._make, writes):
                partition, timestamp = self._cluster.place_of(write)
                offset = transactions.write(
                    self._instance, self._epoch, partition, write, timestamp
                )
                if write.partition is not None:
                    self._bounds[write.topic, write.partition] = offset + 1

    def _add_offsets(self, generation: int, progress: Mapping[int, Committed]) -> None:
        member = self._seat.number, generation
        with self._cluster.lock:
            self._cluster.transactions.add_offsets(
                self._instance, self._epoch, self._name, member, progress
            )

    def _end(self, *, commit: bool) -> None:
        with self._cluster.lock:
            self._cluster.transactions.end(self._instance, self._epoch, commit=commit)

    def close(self) -> None:
        """See the port.  A transaction that is open stays so; a dead process gives nothing up."""
        if not self._closed:
            self._closed = True
            if not self._process.dead:
                with self._cluster.lock:
                    self._group.leave(self._seat)
