"""What a test of a log needs: fresh topics and groups, seats and readers that get closed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Protocol, TypeVar

from kstate.core.messages import Headers, Record, Write
from kstate.log.port import (
    Assignment,
    Chunk,
    Cleanup,
    Log,
    Member,
    Polled,
    Producer,
    Reader,
    TopicSpec,
)

NOW_MS = 1_767_225_600_000
"""A time that every log takes from a producer."""


class _Closable(Protocol):
    def close(self) -> None: ...


_Part = TypeVar("_Part", bound=_Closable)


def write(
    topic: str,
    partition: int | None,
    value: bytes | None,
    key: bytes | None = b"k",
    headers: Headers | None = None,
    timestamp: int = NOW_MS,
) -> Write:
    """A record with defaults for what a test does not care about."""
    return Write(topic, partition, key, value, headers or [], timestamp)


@contextmanager
def _lent(kept: list[_Part], made: Callable[[], _Part]) -> Iterator[_Part]:
    """A part that is kept for whoever comes next, unless something went wrong: a connection takes
    longer than most that is asked of it."""
    try:
        part = kept.pop()
    except IndexError:  # it was not looked before: another thread may take the last one
        part = made()
    try:
        yield part
    except BaseException:
        part.close()
        raise
    kept.append(part)


class Seat:
    """A member together with everything its polls told."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.assigned: dict[int, Assignment] = {}
        self.history: list[Assignment] = []
        self.records: list[Record] = []

    def poll(self, max_records: int = 100, timeout_s: float = 0.05) -> Polled:
        """Polls once; a record of a partition that is not the member's is a failure."""
        polled = self.member.poll(max_records, timeout_s)
        for gone in polled.revoked:
            assert self.assigned.pop(gone.partition) == gone
        for new in polled.assigned:
            assert new.partition not in self.assigned
            self.assigned[new.partition] = new
            self.history.append(new)
        assert {record.partition for record in polled.records} <= self.assigned.keys()
        self.records.extend(polled.records)
        return polled

    def values(self, partition: int = 0) -> list[bytes | None]:
        """The values delivered of a partition, in order."""
        return [record.value for record in self.records if record.partition == partition]


class World:
    """One test's view of a log: what it opens is closed at the end, in the right order."""

    def __init__(self, open_log: Callable[[], Log], patience_s: float) -> None:
        self._open_log = open_log
        self._patience_s = patience_s
        self._suffix = uuid.uuid4().hex[:12]
        self._logs: list[Log] = []
        self._parts: list[_Closable] = []
        self._readers: dict[Log, list[Reader]] = {}
        self._producers: list[Producer] = []
        self.log = self.another_log()

    def another_log(self) -> Log:
        """A second handle on the same log, as another process would have."""
        log = self._open_log()
        self._logs.append(log)
        return log

    def close(self) -> None:
        """Closes all that was opened here."""
        for part in (*reversed(self._parts), *chain(*self._readers.values()), *self._producers):
            part.close()
        while self._logs:
            self._logs.pop().close()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Tries until the condition holds; fails when the log's patience is over."""
        deadline = time.monotonic() + self._patience_s
        while not condition():
            assert time.monotonic() < deadline, f"never happened: {what}"

    # -- topics ------------------------------------------------------------------------------

    def topic(
        self,
        partitions: int = 1,
        cleanup: Cleanup = "delete",
        *,
        delete_retention_ms: int = 86_400_000,
        log_append_time: bool = False,
    ) -> str:
        """Creates a topic of a name that was never used."""
        name = f"t-{uuid.uuid4().hex}"
        spec = TopicSpec(
            name,
            partitions,
            cleanup,
            delete_retention_ms=delete_retention_ms,
            log_append_time=log_append_time,
        )
        self.log.create_topics([spec])
        return name

    def group(self) -> str:
        """A group's name that was never used."""
        return f"g-{uuid.uuid4().hex}"

    # -- writing and reading -----------------------------------------------------------------

    def producer(self, log: Log | None = None) -> Producer:
        """A producer."""
        producer = (log or self.log).producer()
        self._parts.append(producer)
        return producer

    def produce(self, writes: Iterable[Write]) -> None:
        """Writes records outside transactions and waits until they are stored."""
        with _lent(self._producers, self.log.producer) as producer:
            for one in writes:
                producer.send(one)
            producer.flush(self._patience_s)

    def reader(self, log: Log | None = None) -> Reader:
        """A reader."""
        reader = (log or self.log).reader()
        self._parts.append(reader)
        return reader

    def some(self, reader: Reader) -> list[Record]:
        """The next records, three at most."""
        records: list[Record] = []

        def come() -> bool:
            records.extend(reader.poll(3, 0.05).records)
            return bool(records)

        self.until(come, "records came")
        return records

    def drain(self, reader: Reader, targets: dict[int, int]) -> tuple[list[Record], Chunk]:
        """Reads until each partition told an end at or past its target; the last chunk, too."""
        records: list[Record] = []
        open_ends = dict(targets)
        chunk = Chunk((), {})

        def done() -> bool:
            nonlocal chunk
            chunk = reader.poll(100, 0.05)
            records.extend(chunk.records)
            for partition, end in chunk.ends.items():
                if end >= open_ends.get(partition, end + 1):
                    del open_ends[partition]
            return not open_ends

        self.until(done, f"the ends {open_ends} were reached")
        return records, chunk

    def read(self, topic: str, log: Log | None = None) -> list[Record]:
        """All committed records of a topic, in the order of partition and offset.

        A transaction that is still open is waited for: one that was committed may be seen as
        committed only a moment later.
        """
        log = log or self.log
        targets = {partition: ends.end for partition, ends in log.ends(topic).items()}
        with _lent(self._readers.setdefault(log, []), log.reader) as reader:
            reader.assign(topic, dict.fromkeys(targets, 0))
            records, _ = self.drain(reader, targets)
        return sorted(records, key=lambda record: (record.partition, record.offset))

    def values(self, topic: str) -> list[bytes | None]:
        """The values of all committed records of a topic."""
        return [record.value for record in self.read(topic)]

    # -- membership --------------------------------------------------------------------------

    def instance(self, name: str = "i-0") -> str:
        """An instance that is this test's own: others may use the same cluster at the same time,
        where two that have one name fence each other."""
        return f"{name}-{self._suffix}"

    def join(self, group: str, topic: str, instance: str = "", log: Log | None = None) -> Seat:
        """A seat in the group; it owns nothing before it polls."""
        member = (log or self.log).join(group, topic, instance or self.instance())
        self._parts.append(member)
        return Seat(member)

    def owner(self, group: str, topic: str, instance: str = "", log: Log | None = None) -> Seat:
        """A seat that owns all partitions of the topic, none of them started."""
        seat = self.join(group, topic, instance, log)
        self.settle([seat], topic)
        return seat

    def settle(self, seats: Sequence[Seat], topic: str) -> None:
        """Polls these seats in turn until, together, they own all partitions of the topic."""
        everything = set(self.log.ends(topic))

        def settled() -> bool:
            for seat in seats:
                seat.poll()
            owned = [partition for seat in seats for partition in seat.assigned]
            return len(owned) == len(everything) and set(owned) == everything

        self.until(settled, "all partitions were assigned")

    def receive(self, seat: Seat, count: int) -> list[Record]:
        """Polls the seat until it was delivered so many records."""

        def received() -> bool:
            seat.poll()
            return len(seat.records) >= count

        self.until(received, f"{count} records were delivered")
        return seat.records
