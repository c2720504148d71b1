"""A worker's seat in a group on Kafka: one consumer, one transactional producer."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from operator import itemgetter
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from kstate.core.messages import Write, WriteRow
from kstate.errors import Fenced, LogUnavailable, NameTaken, RecordTooLarge, TopicError
from kstate.log.kafka_config import Settings
from kstate.log.kafka_delivery import begin, seek
from kstate.log.kafka_errors import (
    client_of,
    fenced_as_instance,
    fenced_as_producer,
    kafka_error,
    translate,
)
from kstate.log.kafka_producer import record_size
from kstate.log.kafka_records import Records
from kstate.log.kafka_transaction import Transactions
from kstate.log.kafka_twins import has_namesake
from kstate.log.port import Assignment, Committed, Polled

COMMITTED_S = (0.5, *[0.05] * 39)
"""How long to wait for stable offsets, try by try: an open transaction may hold them back, while
the worker's other partitions wait."""
PROBE_S = 1.0
SILENCE_S = 5.0
"""After how long without a message the brokers are asked whether they are there."""
SETTLE_S = 5.0
"""How long a revocation may take that needs no broker."""
SLICE_S = 0.05
"""librdkafka goes on waiting for messages after it has told of an assignment."""
QUIET_POLLS = 3
QUIET_S = 0.02
TWIN_S = 3.0
"""How long a worker's join may come after the beginning of its transactions."""
TAKEN_AGAIN_S = 30.0
"""Two workers under one name take the seat from each other this often in this time."""
NAMELESS_S = 600.0
"""The same in a group without names, where they meet only at a commit."""
TWIN_TIMES = 3

_NO_OFFSET = -1001  # librdkafka's OFFSET_INVALID: nothing was committed

_PLACE, _VALUE = itemgetter(0, 1), itemgetter(3)

logger = logging.getLogger("kstate.kafka")

PartitionsOf = Callable[[str], int]


class KafkaMember:
    """See `kstate.log.port.Member`.

    Callbacks of a rebalance run inside `poll` alone, with no transaction open, and note what they
    are told: no more."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        topic: str,
        instance: str,
        max_record_bytes: int,
        partitions_of: PartitionsOf,
        taken: dict[str, list[float]] | None = None,  # instance → when its seat was taken
    ) -> None:
        self._group, self._topic, self._instance = group, topic, instance
        self._taken = {} if taken is None else taken
        self._limit = max_record_bytes
        self._partitions_of = partitions_of
        self._waits = cycle(COMMITTED_S)
        self._numbers = 0
        self._owned: dict[int, Assignment] = {}
        self._started: set[int] = set()
        self._gained: list[Assignment] = []
        self._gone: list[Assignment] = []
        self._away: KafkaError | None = None
        self._delayed: list[KafkaError] = []
        self._heard = time.monotonic()
        self._answered = 0  # callbacks of rebalances
        self._fenced = False  # the seat was taken under this name: the consumer takes no more calls
        self._closed = False
        self._transactions = Transactions(settings, instance)
        properties = settings.member_consumer(group, instance) | {"error_cb": self._noticed}
        self._named = "group.instance.id" in properties  # the group knows when a seat is taken
        self._admin = settings.admin()
        self._consumer = client_of(Consumer, properties)
        # it joins in the background, while the producer ends what its last life left open
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        try:
            self._transactions.begin_life()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"owns {sorted(self._owned)}"
        return f"<KafkaMember {self._instance} of {self._group} on {self._topic}: {state}>"

    @property
    def instance(self) -> str:
        """The stable id of this worker slot."""
        return self._instance

    # -- membership --------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._answered += 1
        # nothing is fetched before the recovery knows from where: `start` assigns for good
        consumer.incremental_assign([])
        for each in partitions:
            self._numbers += 1
            new = Assignment(each.partition, self._numbers)
            self._owned[each.partition] = new
            self._gained.append(new)

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._answered += 1
        known = [each for each in partitions if each.partition in self._started]
        consumer.incremental_unassign(known)
        for each in partitions:
            self._started.discard(each.partition)
            old = self._owned.pop(each.partition, None)
            if old is None:
                continue
            if old in self._gained:
                self._gained.remove(old)  # nobody was told of it yet
            else:
                self._gone.append(old)

    def _noticed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._away = error
        elif error.fatal():
            logger.error("%s: %s", self._instance, error.str())

    def _seat_taken(self) -> None:
        """Two workers under one name would fence each other for ever.

        Now and then it may be this one's own doing: a join that the group's coordinator took, and
        whose answer was lost when that died, takes the seat from whoever sent it.  So it is a lost
        seat, until it happens more often in a short time than coordinators die.
        """
        self._fenced = True
        self._count_as_taken(TAKEN_AGAIN_S)
        raise Fenced(f"the seat of {self._instance} was taken under the same name")

    def _count_as_taken(self, within_s: float) -> None:
        now = time.monotonic()
        times = [each for each in self._taken.get(self._instance, ()) if now - each < within_s]
        self._taken[self._instance] = [*times, now]
        if len(times) + 1 >= TWIN_TIMES:
            raise NameTaken(
                f"another worker runs under the name {self._instance}: the data directory that "
                "keeps the name was copied; delete the file `instance` in the copy"
            )

    # -- reading -----------------------------------------------------------------------------

    def poll(self, max_records: int, timeout_s: float) -> Polled:
        """See the port."""
        self._raise_delayed()
        messages = self._consume(max_records, timeout_s)
        started = self._started
        commands: list[Message] = []
        ends: dict[int, int] = {}
        for message in messages:
            error = message.error()
            if error is None:
                if message.partition() in started:
                    commands.append(message)
            elif error.code() != KafkaError._PARTITION_EOF:
                self._delayed.append(error)
            elif message.partition() in started and message.offset() >= 0:
                ends[message.partition()] = message.offset()
        if not commands:
            self._raise_delayed()
        self._look_after_brokers(bool(messages))
        revoked, self._gone = self._gone, []
        assigned, self._gained = self._gained, []
        return Polled(revoked, assigned, Records(commands), ends)

    def _consume(self, max_records: int, timeout_s: float) -> Sequence[Any]:
        try:
            first = self._first(timeout_s)
            if first is None:
                return ()
            if max_records < 2:
                return (first,)
        except KafkaException as error:
            raise translate(error, f"{self._topic} cannot be read") from error
        try:
            # `consume` with a timeout would wait for all it was asked for
            return (first, *self._consumer.consume(max_records - 1, 0))
        except KafkaException as error:
            self._delayed.append(kafka_error(error))
            return (first,)

    def _first(self, timeout_s: float) -> Message | None:
        """Waits for a message or for partitions that come or go, whatever is first."""
        deadline = time.monotonic() + timeout_s
        answered, left_s = self._answered, timeout_s
        while True:
            message = self._consumer.poll(min(left_s, SLICE_S))
            left_s = deadline - time.monotonic()
            if message is not None or left_s <= 0 or self._answered != answered:
                return message

    def _raise_delayed(self) -> None:
        """Raises what was met among records: these came first and are not lost by it."""
        while self._delayed:
            self._check(self._delayed.pop(0))

    def _check(self, error: KafkaError) -> None:
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            logger.warning("%s: %s", self._instance, error.str())  # the loss comes as a callback
            return
        if fenced_as_instance(error):
            self._seat_taken()
        raise translate(error, f"{self._topic} cannot be read")

    def _look_after_brokers(self, heard: bool) -> None:
        """Raises `LogUnavailable` while no broker answers.

        librdkafka does not always tell that they are gone: after a silence they are asked.  What a
        rebalance brought stays noted meanwhile, to be told when they are back.
        """
        now = time.monotonic()
        if heard:
            self._heard = now
            return
        if self._away is None and now - self._heard < SILENCE_S:
            return
        try:
            self._consumer.list_topics(self._topic, timeout=PROBE_S)
        except KafkaException as error:
            raise LogUnavailable(f"no broker answers: {kafka_error(error).str()}") from error
        self._away = None
        self._heard = time.monotonic()

    def start(self, partition: int, offset: int) -> None:
        """See the port."""
        if partition not in self._owned:
            raise Fenced(f"{self._topic}:{partition} is not assigned to {self._instance}")
        place = TopicPartition(self._topic, partition, offset)
        if partition in self._started:
            seek(self._consumer, place)
        else:
            begin(self._consumer, place)
            self._started.add(partition)

    def committed(self, partition: int) -> Committed | None:
        """See the port."""
        place = TopicPartition(self._topic, partition)
        try:
            (found,) = self._consumer.committed([place], timeout=next(self._waits))
        except KafkaException as error:
            raise translate(error, f"the offset of {self._topic}:{partition}") from error
        if found.error is not None:
            raise translate(found.error, f"the offset of {self._topic}:{partition}")
        self._waits = cycle(COMMITTED_S)
        none = found.offset == _NO_OFFSET
        return None if none else Committed(found.offset, found.metadata or "")

    # -- writing -----------------------------------------------------------------------------

    def write_ahead(self, writes: Sequence[WriteRow]) -> None:
        """See the port: they are on their way while the worker runs the next commands."""
        try:
            marked = self._check_writes(writes)
        except (RecordTooLarge, TopicError):
            self._transactions.abort()
            raise
        try:
            self._transactions.write(writes, marked)
        except Fenced as error:
            self._look_for_twin(error)
            raise

    def abort(self) -> None:
        """See the port."""
        self._transactions.abort()

    def commit(
        self, writes: Sequence[WriteRow], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        """See the port.

        The bounds are those of the newest record per explicit partition.  Raises `RecordTooLarge`
        or `TopicError`, too: then nothing was written.
        """
        self.write_ahead(writes)
        group = self._consumer.consumer_group_metadata()
        if generation_of(group) < 0 or not self._owned.keys() >= progress.keys():
            # the broker would take such a commit as that of a consumer outside the group
            raise Fenced(f"{self._instance} is not in its group {self._group} any more")
        offsets = [
            TopicPartition(self._topic, partition, done.offset, done.metadata)
            for partition, done in progress.items()
        ]
        try:
            return self._transactions.commit(offsets, group)
        except Fenced as error:
            self._look_for_twin(error)
            raise

    def _look_for_twin(self, fence: Fenced) -> None:
        """A worker under the same name begins its transactions before it takes the seat.

        A group without names gives it a seat of its own: there it is a twin when a member of the
        group fences the other's producer again and again.  The last life of one that was killed
        fences nobody.
        """
        cause = fence.__cause__
        if isinstance(cause, KafkaException) and fenced_as_instance(kafka_error(cause)):
            self._seat_taken()
        if not fenced_as_producer(cause):
            return
        if not self._named:
            if has_namesake(self._admin, self._group, self._instance):
                self._count_as_taken(NAMELESS_S)
            return
        deadline = time.monotonic() + TWIN_S
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.1)
            error = None if message is None else message.error()
            if error is not None and fenced_as_instance(error):  # others say nothing of a twin
                self._seat_taken()

    def _check_writes(self, writes: Sequence[WriteRow]) -> set[int]:
        """The indexes of the last write to each explicit partition of each topic."""
        last = dict(zip(map(_PLACE, writes), range(len(writes)), strict=True))
        for topic, partition in last:
            count = self._partitions_of(topic)
            if partition is not None and not 0 <= partition < count:
                raise TopicError(f"{topic} has no partition {partition}: it has {count}")
        # a value alone is nearly always the size, and what exceeds a half is looked at closely
        if max(map(len, filter(None, map(_VALUE, writes))), default=0) > self._limit // 2:
            for write in map(Write._make, writes):
                self._check_size(write)
        return {index for (_, partition), index in last.items() if partition is not None}

    def _check_size(self, write: Write) -> None:
        size = record_size(write)
        if size > self._limit:
            raise RecordTooLarge(f"a record for {write.topic}", size, self._limit)

    def close(self) -> None:
        """See the port.  Others take over at once; only a worker that was killed keeps its seat for
        the session timeout (KIP-345), so that its restart finds its partitions."""
        if self._closed:
            return
        self._closed = True
        self._transactions.close()
        if not self._fenced:
            self._unsubscribe()
        self._consumer.close()

    def _unsubscribe(self) -> None:
        """Answers what is left of a rebalance, until nothing comes any more.

        `Consumer.close` takes the answer to one that is still waiting for the answer to its own
        revocation, ends the group's thread, and then waits for ever in the callback of that.
        """
        try:
            self._consumer.unsubscribe()
        except KafkaException as error:
            if kafka_error(error).code() != KafkaError._FATAL:
                raise translate(error, f"{self._instance} cannot leave its group") from error
            # it was fenced since it was polled last: what it is to answer is the loss
        deadline = time.monotonic() + SETTLE_S
        quiet = 0
        while quiet < QUIET_POLLS and time.monotonic() < deadline:
            answered = self._answered
            message = self._consumer.poll(QUIET_S)
            silent = message is None and self._answered == answered and not self._owned
            quiet = quiet + 1 if silent else 0


def generation_of(group: bytes) -> int:
    """The generation in librdkafka's serialized group metadata (``CGMDv2:``, then an int32)."""
    head, _, rest = bytes(group).partition(b":")
    if head != b"CGMDv2" or len(rest) < 4:
        raise TopicError(f"group metadata of an unknown form: {head[:20]!r}")
    (generation,) = struct.unpack_from("<i", rest)
    return int(generation)
