"""A journal to be damaged, and a look at what a verification finds of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from counter import Add, Added, Count, Counter, Save
from world import World

from kstate.core.messages import Headers, Progress, Snapshot
from kstate.core.partition import partition_for
from kstate.log.port import Committed, Ends, Log, Member
from kstate.processor import Processor
from kstate.runtime.startup import prepare_schemas, prepare_topics
from kstate.verify.check import PATIENCE_S, Verification
from kstate.verify.findings import Finding
from kstate.wiring import codec_of, open_log

PARTITIONS = 2


class Beside:
    """A log on which something happens once the ends of a topic are known to a verification.

    The verification asks for them when it begins, and again for each partition that it reads: what
    happens then lies behind the end up to which the first partition of the topic is read.  With
    ``at=3`` it happens in the second look at that partition.
    """

    def __init__(self, log: Log, topic: str, act: Callable[[], object], at: int) -> None:
        self.acted = False
        self._log = log
        self._topic = topic
        self._act = act
        self._at = at
        self._asked = 0

    def ends(self, topic: str) -> Mapping[int, Ends]:
        found = self._log.ends(topic)
        self._asked += topic == self._topic
        if self._asked == self._at and not self.acted:
            self.acted = True
            self._act()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class Scene:
    """A world whose worker has written a sound journal and has left."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.topics = world.topics(Counter)

    @property
    def codec(self) -> Any:
        return self.world.client.messages(Counter)

    def written(self, **counts: int) -> None:
        """Has a worker write so many events of each persist id, and leave."""
        self.world.run(Counter, partitions=PARTITIONS)
        for persist_id, count in counts.items():
            for _ in range(count):
                self.world.call(Counter, persist_id, Add(1))
        self.world.stop()

    def prepared(self) -> None:
        """Makes the topics and publishes the schemas; no worker runs."""
        log = open_log(self.world.url)
        try:
            _, schemas = codec_of(log, self.topics, Counter)
            prepare_topics(log, self.topics, PARTITIONS, PARTITIONS)
            prepare_schemas(log, self.topics, schemas, PARTITIONS, 0)
        finally:
            log.close()

    def saved(self, *persist_ids: str) -> None:
        """Has a worker snapshot entities, and leave."""
        self.world.run(Counter, partitions=PARTITIONS)
        for persist_id in persist_ids:
            self.world.call(Counter, persist_id, Save())
        self.world.stop()

    def first(self) -> str:
        """A persist id of the first partition."""
        return next(f"id-{n}" for n in range(99) if not self.partition(f"id-{n}"))

    # -- planting ----------------------------------------------------------------------------

    def partition(self, persist_id: str) -> int:
        return partition_for(persist_id.encode(), PARTITIONS)

    def event(
        self,
        persist_id: str,
        seq: int,
        value: bytes | None = b"?",
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> int:
        """Writes a journal record past every worker: by default a good event; its offset."""
        place = self.partition(persist_id) if partition is None else partition
        return self.record(
            self.topics.journal,
            place,
            f"{persist_id}@{seq}".encode(),
            self.codec.encode_event(Added(1)) if value == b"?" else value,
            headers,
        )

    def snapshot(
        self, persist_id: str, seq: int, total: int, partition: int | None = None, **fields: Any
    ) -> int:
        """Writes a snapshot past every worker; its offset."""
        version = Counter.snapshot_version
        made = Snapshot(seq, Count(total, seq), version, 0, 0, False, {})
        value = self.codec.encode_snapshot(dataclasses.replace(made, **fields))
        place = self.partition(persist_id) if partition is None else partition
        return self.record(self.topics.snapshots, place, persist_id.encode(), value)

    def record(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
    ) -> int:
        """Writes any record; its offset."""
        self.world.produce(
            Counter, value, key=key, partition=partition, topic=topic, headers=headers or ()
        )
        return max(r.offset for r in self.world.read(topic) if r.partition == partition)

    def offset_of(self, persist_id: str, seq: int) -> int:
        """Where an event stands in its partition."""
        key = f"{persist_id}@{seq}".encode()
        return next(r.offset for r in self.world.journal(Counter) if r.key == key)

    def committed(self, partition: int, low_water: int) -> None:
        """Has the group commit such a low-water mark."""
        with self.seat(partition) as (log, member):
            found = log.progress(self.topics.group, self.topics.commands)[partition]
            done = Progress(found.offset, low_water, found.offset - 1, 1)
            member.commit([], {partition: Committed(done.offset, done.metadata("another"))})

    @contextmanager
    def seat(self, partition: int) -> Iterator[tuple[Log, Member]]:
        """A seat in the group that owns the partition; no worker runs."""
        log = open_log(self.world.url)
        member = log.join(self.topics.group, self.topics.commands, "another")
        try:
            seats: set[int] = set()

            def seated() -> bool:
                seats.update(each.partition for each in member.poll(1, 0.05).assigned)
                return partition in seats

            self.world.until(seated, "a seat in the group")
            yield log, member
        finally:
            member.close()
            log.close()

    # -- verifying ---------------------------------------------------------------------------

    def findings(
        self, code: type[Processor[Any]] | None = Counter, **options: Any
    ) -> list[Finding]:
        """What a verification finds, notes apart: with code, or by the schemas alone."""
        found = self.verified(code, **options)[1]
        return [each for each in found if each.severity == "damage"]

    def verified(
        self,
        code: type[Processor[Any]] | None = Counter,
        *,
        patience_s: float = PATIENCE_S,
        beside: tuple[str, Callable[[], object]] | None = None,
        at: int = 2,
    ) -> tuple[Verification, list[Finding]]:
        """A verification that is over, and all it found.

        ``beside`` is a topic, and what happens once the end of its first partition is known; see
        `Beside`.
        """
        client = self.world.client
        log: Any = open_log(self.world.url)
        seen = log if beside is None else Beside(log, *beside, at)
        try:
            verification = Verification(
                seen,
                self.topics,
                client.messages(code or Counter.name),
                None if code is None else client.machine(code),
                patience_s=patience_s,
            )
            found = list(verification.findings())
        finally:
            log.close()
        assert beside is None or seen.acted
        return verification, found

    def damage(self, **options: Any) -> Finding:
        """The one damage there is, which is found with the code and without."""
        (of_code,) = self.findings(Counter, **options)
        (of_name,) = self.findings(None, **options)
        assert dataclasses.replace(of_code, sentence="") == dataclasses.replace(
            of_name, sentence=""
        )
        return of_code


def place(finding: Finding) -> tuple[str, int, int, str | None, int | None]:
    """What a finding says beside its sentence."""
    return (
        finding.kind,
        finding.partition,
        finding.offset,
        finding.persist_id,
        finding.seq,
    )
