"""Topics, ends and groups of a Kafka cluster, asked for and created."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from kstate.errors import KStateError, LogError, LogUnavailable, TopicError
from kstate.log.kafka_errors import client_of, kafka_error, translate
from kstate.log.kafka_topics import INTERNAL, info_of, settings_of
from kstate.log.port import Committed, Ends, TopicInfo, TopicSpec

Answer = TypeVar("Answer")

CONNECT_S = 10.0
"""How long to wait for a cluster that does not answer."""
FIRST_LOOK_S = 1.0
REQUEST_S = 15.0
VISIBLE_S = 30.0
RETRY_S = 0.05
CRITICAL = 2
"""Of librdkafka's own log: what it says of connections comes as an error here."""

_WHERE = re.compile(r"^\S+: (?=\S)|\s*\(after \d+ms in state \w+[^()]*\)$")
"""What surrounds the reason in librdkafka's errors of connections."""
_HOPELESS = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
"""Another try cannot help: the credentials or the certificates are wrong."""
_STUCK = frozenset(
    {KafkaError._TIMED_OUT, KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_COORDINATOR}
)
"""What another try with the same client may meet again and again."""


class KafkaAdmin:
    """What a log asks the cluster; may be used by many threads."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = {"log_level": CRITICAL, **properties, "error_cb": self._noticed}
        self._where = properties["bootstrap.servers"]
        self._failure: KafkaError | None = None  # why the last connection came to nothing
        self._client: AdminClient = client_of(AdminClient, self._properties)
        self._onlookers: dict[str, Consumer] = {}  # by group; whoever asks takes one out
        self._counts: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._cluster_id = ""  # as the cluster told it last

    def _result(self, future: Future[Any], what: str, client: AdminClient) -> Any:
        """The answer to what a client was asked, which has to be kept until then: when it goes, its
        answers go."""
        try:
            return future.result(REQUEST_S)
        except KafkaException as error:
            if kafka_error(error).code() in _STUCK:
                self._renew(client)
            raise translate(error, what) from error
        except TimeoutError:
            self._renew(client)
            raise LogUnavailable(f"{what}: no answer within {REQUEST_S:g} s") from None

    def _renew(self, client: AdminClient) -> None:
        """A client whose broker was away may wait for a group's coordinator for ever, ask a former
        one for ever, and ask with the epoch of an earlier leader for ever."""
        if self._client is client:  # and no other thread has done so
            self._client = client_of(AdminClient, self._properties)

    # -- topics ------------------------------------------------------------------------------

    def create(self, specs: Sequence[TopicSpec]) -> None:
        """Creates topics with the cluster's replication factor; existing ones stay."""
        if not specs:
            return
        new = [NewTopic(spec.name, spec.partitions, -1, config=settings_of(spec)) for spec in specs]
        client = self._client
        for name, future in client.create_topics(new).items():
            try:
                future.result(REQUEST_S)
            except KafkaException as error:
                if kafka_error(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise translate(error, f"the topic {name} cannot be created") from error
        self._await_visible([spec.name for spec in specs])

    def _await_visible(self, names: Sequence[str]) -> None:
        """A created topic takes a moment to be known, with its leaders, everywhere.

        Which broker answers is chance: several answers in a row tell of nearly all of them.
        """
        deadline = time.monotonic() + VISIBLE_S
        brokers = len(self._metadata(names[0]).brokers)
        needed = 2 * brokers if brokers > 1 else 1
        seen = 0
        while seen < needed:
            known = self._described(names)
            if len(known) == len(names) and all(map(_has_leaders, known.values())):
                seen += 1
                continue
            seen = 0
            if time.monotonic() > deadline:
                raise LogUnavailable(f"{', '.join(sorted(names))} were created, but have no leader")
            time.sleep(RETRY_S)

    def _metadata(self, topic: str | None = None) -> Any:
        """What the cluster says of one topic or of all.

        Raises `LogUnavailable` when it says nothing in time, and `LogError` at once when it refuses
        the credentials.
        """
        self._client.poll(0)
        self._failure = None
        deadline = time.monotonic() + CONNECT_S
        patience = FIRST_LOOK_S
        while True:
            try:
                found = self._client.list_topics(topic, timeout=patience)
                self._cluster_id = found.cluster_id or self._cluster_id
                return found
            except KafkaException as error:
                self._client.poll(0)  # brings the reason to `_noticed`
                cause = self._failure or kafka_error(error)
                left = deadline - time.monotonic()
                if left <= 0 or cause.code() in _HOPELESS:
                    raise self._unreachable(cause) from error
                patience = min(2 * patience, max(left, RETRY_S))

    def _noticed(self, error: KafkaError) -> None:
        """librdkafka tells why a connection failed, and then that all did."""
        if self._failure is None or error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._failure = error

    def _unreachable(self, cause: KafkaError) -> KStateError:
        reason = _WHERE.sub("", cause.str())
        if cause.code() == KafkaError._ALL_BROKERS_DOWN:  # it gives no reason for a closed one
            reason = "it closes each connection at once: does it want another security.protocol?"
        what = f"kafka://{self._where} cannot be reached"
        return translate(KafkaError(cause.code(), reason), what)

    def cluster_id(self) -> str:
        """The cluster's id, which comes with each answer about its topics."""
        if not self._cluster_id:
            self._metadata(INTERNAL[0])
        return self._cluster_id

    def topics(self, names: Iterable[str] | None) -> dict[str, TopicInfo]:
        """The topics that exist, of these names or all but Kafka's own."""
        if names is None:
            wanted = [name for name in self._metadata().topics if not name.startswith("__")]
        else:
            wanted = [name for name in dict.fromkeys(names) if name]
            if wanted:
                self._metadata(wanted[0])  # whether there is a cluster at all
        found = self._describe(wanted)
        self._limits |= {name: info.max_record_bytes for name, info in found.items()}
        return found

    def _described(self, names: Sequence[str]) -> dict[str, Any]:
        """The topics that exist, of these, as Kafka describes them."""
        if not names:
            return {}
        client = self._client
        futures = client.describe_topics(TopicCollection(list(names)))
        return self._of_existing(futures, "the topic", client)

    def _describe(self, names: Sequence[str]) -> dict[str, TopicInfo]:
        described = self._described(names)
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in described]
        if not resources:
            return {}
        client = self._client
        futures = client.describe_configs(resources)
        # a topic may be deleted between the two questions
        configs = self._of_existing(
            {r.name: f for r, f in futures.items()}, "the settings of", client
        )
        return {name: info_of(name, described[name], config) for name, config in configs.items()}

    def _of_existing(
        self, futures: Mapping[str, Future[Any]], what: str, client: AdminClient
    ) -> dict[str, Any]:
        """The answers for topics that exist."""
        found = {}
        for name, future in futures.items():
            try:
                found[name] = self._result(future, f"{what} {name}", client)
            except TopicError:
                continue  # there is none of this name, or none can be
        return found

    def smallest_record_bytes(self, limit: int) -> int:
        """The smallest limit of a record over the topics asked about so far, at most ``limit``."""
        return min([limit, *self._limits.values()])

    def weaknesses(self) -> Sequence[str]:
        """What Kafka's own topics leave to chance, a sentence each; those that are there."""
        self._metadata(INTERNAL[0])  # whether there is a cluster at all
        try:
            found = self._describe(INTERNAL)
        except LogUnavailable:
            raise
        except LogError as error:  # they are the cluster's: a user may not be allowed to look
            return (f"whether Kafka's own topics are replicated cannot be told: {error}",)
        return [f"{name}: {each}" for name, info in found.items() for each in info.weak]

    def partition_count(self, topic: str) -> int:
        """How many partitions a topic has, asked once; raises `TopicError` for an unknown one."""
        count = self._counts.get(topic)
        if count is None:
            found = self._metadata(topic).topics.get(topic)
            if found is None or found.error is not None or not found.partitions:
                raise TopicError(f"there is no topic {topic}")
            count = self._counts[topic] = len(found.partitions)
        return count

    # -- offsets -----------------------------------------------------------------------------

    def ends(self, topic: str, partitions: Sequence[int] | None = None) -> dict[int, Ends]:
        """The bounds of partitions, all of them by default."""
        count = self.partition_count(topic)
        wanted = range(count) if partitions is None else partitions
        for partition in wanted:
            if not 0 <= partition < count:
                raise TopicError(f"{topic} has no partition {partition}: it has {count}")
        uncommitted, committed = IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED
        start = self._ask(topic, wanted, OffsetSpec.earliest(), uncommitted)
        # stable before end: whatever is stable lies below an end asked for later
        stable = self._ask(topic, wanted, OffsetSpec.latest(), committed)
        end = self._ask(topic, wanted, OffsetSpec.latest(), uncommitted)
        return {p: Ends(start[p], stable[p], end[p]) for p in wanted}

    def _ask(
        self, topic: str, partitions: Iterable[int], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[int, int]:
        """One offset per partition."""
        asked = {TopicPartition(topic, partition): spec for partition in partitions}
        return self._patiently(lambda: self._ask_once(topic, asked, isolation))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """An answer, asked for again while a leader or a coordinator is about to be known."""
        deadline = time.monotonic() + REQUEST_S
        while True:
            try:
                return ask()
            except LogUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)

    def _ask_once(
        self, topic: str, asked: dict[TopicPartition, OffsetSpec], isolation: IsolationLevel
    ) -> dict[int, int]:
        client = self._client
        futures = client.list_offsets(asked, isolation_level=isolation, request_timeout=REQUEST_S)
        what = f"the offsets of {topic}"
        found = {
            place.partition: self._result(future, what, client).offset
            for place, future in futures.items()
        }
        if OFFSET_INVALID in found.values():
            # librdkafka has this, without an error, for partitions whose answer broke off
            raise LogUnavailable(f"{what}: the connection broke before all were known")
        return found

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Per partition the first offset of that time or later, else the end."""
        wanted = range(self.partition_count(topic))
        spec = OffsetSpec.for_timestamp(max(0, timestamp_ms))
        found = self._ask(topic, wanted, spec, IsolationLevel.READ_UNCOMMITTED)
        ends = self.ends(topic)
        return {p: ends[p].end if offset < 0 else offset for p, offset in found.items()}

    # -- groups ------------------------------------------------------------------------------

    def progress(self, group: str, topic: str) -> dict[int, Committed]:
        """What a group has committed for a topic, be transactions open that may change it or not.

        A consumer that never joins asks: the process of an admin client that asks for this ends
        (librdkafka 2.16, `rd_kafka_cgrp_op`) when the group's coordinator has just begun or moved.
        """
        places = [TopicPartition(topic, p) for p in range(self.partition_count(topic))]
        found = self._patiently(lambda: self._committed(group, places))
        return {
            each.partition: Committed(each.offset, each.metadata or "")
            for each in found
            if each.offset >= 0
        }

    def _committed(self, group: str, places: list[TopicPartition]) -> Sequence[Any]:
        what = f"the offsets of the group {group}"
        onlooker = self._onlookers.pop(group, None) or self._onlooker(group)
        try:
            found: Sequence[Any] = onlooker.committed(places, timeout=REQUEST_S)
        except KafkaException as error:  # another one asks when it is asked again
            raise translate(error, what) from error
        self._onlookers[group] = onlooker
        for each in found:
            if each.error is not None:
                raise translate(each.error, what)
        return found

    def _onlooker(self, group: str) -> Consumer:
        properties = self._properties | {
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",  # the others are waited for
        }
        return client_of(Consumer, properties)

    def owners(self, group: str, topic: str) -> dict[int, str]:
        """The client id of the member that owns each partition now."""
        return {
            place.partition: member.client_id
            for member in self._members(group)
            if member.assignment is not None
            for place in member.assignment.topic_partitions
            if place.topic == topic
        }

    def members(self, group: str) -> set[str]:
        """The client ids of a group's members, whether they own anything or not."""
        return {member.client_id for member in self._members(group)}

    def _members(self, group: str) -> Sequence[Any]:
        def ask() -> Any:
            client = self._client
            future = client.describe_consumer_groups([group])[group]
            return self._result(future, f"the group {group}", client)

        members: Sequence[Any] = self._patiently(ask).members
        return members


def _has_leaders(topic: Any) -> bool:
    return all(partition.leader is not None for partition in topic.partitions)
