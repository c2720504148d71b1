"""Topics, ends and groups of a Kafka cluster, asked for and created."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
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

from kstate.errors import LogUnavailable, TopicError
from kstate.log.kafka_errors import client_of, kafka_error, translate
from kstate.log.port import Committed, Ends, TopicInfo, TopicSpec

REQUEST_S = 15.0
VISIBLE_S = 30.0
RETRY_S = 0.05
SHORT_SEGMENT_BYTES = 16 * 2**20
SHORT_SEGMENT_MS = 3_600_000


def settings_of(spec: TopicSpec) -> dict[str, str]:
    """The topic configuration that a specification means."""
    settings: dict[str, str] = {"cleanup.policy": spec.cleanup}
    if spec.cleanup == "delete":
        settings["retention.ms"] = str(spec.retention_ms)
    else:
        settings["delete.retention.ms"] = str(spec.delete_retention_ms)
        # keys of a journal never repeat: the cleaner is to come when tombstones gave it work
        settings["min.cleanable.dirty.ratio"] = "0.1" if spec.short else "0.8"
    if spec.short:
        settings["segment.bytes"] = str(SHORT_SEGMENT_BYTES)
        settings["segment.ms"] = str(SHORT_SEGMENT_MS)
    if spec.log_append_time:
        settings["message.timestamp.type"] = "LogAppendTime"
    return settings


class KafkaAdmin:
    """What a log asks the cluster; may be used by many threads."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._client: AdminClient = client_of(AdminClient, properties)
        self._counts: dict[str, int] = {}

    def _result(self, future: Future[Any], what: str) -> Any:
        try:
            return future.result(REQUEST_S)
        except KafkaException as error:
            raise translate(error, what) from error
        except TimeoutError:
            raise LogUnavailable(f"{what}: no answer within {REQUEST_S:g} s") from None

    # -- topics ------------------------------------------------------------------------------

    def create(self, specs: Sequence[TopicSpec]) -> None:
        """Creates topics with the cluster's replication factor; existing ones stay."""
        if not specs:
            return
        new = [NewTopic(spec.name, spec.partitions, -1, config=settings_of(spec)) for spec in specs]
        for name, future in self._client.create_topics(new).items():
            try:
                future.result(REQUEST_S)
            except KafkaException as error:
                if kafka_error(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise translate(error, f"the topic {name} cannot be created") from error
        self._await_visible({spec.name for spec in specs})

    def _await_visible(self, names: set[str]) -> None:
        """A created topic takes a moment to be known, with its leaders, everywhere."""
        deadline = time.monotonic() + VISIBLE_S
        while True:
            known = self._metadata().topics
            if all(name in known and _has_leaders(known[name]) for name in names):
                return
            if time.monotonic() > deadline:
                raise LogUnavailable(f"{', '.join(sorted(names))} were created, but have no leader")
            time.sleep(RETRY_S)

    def _metadata(self) -> Any:
        try:
            return self._client.list_topics(timeout=REQUEST_S)
        except KafkaException as error:
            raise translate(error, "the cluster cannot be reached") from error

    def topics(self, names: Iterable[str] | None) -> dict[str, TopicInfo]:
        """The topics that exist, of these names or all but Kafka's own."""
        known = self._metadata().topics
        wanted = list(known if names is None else dict.fromkeys(names))
        there = [
            name
            for name in wanted
            if name in known and known[name].error is None and not name.startswith("__")
        ]
        if not there:
            return {}
        described = self._client.describe_topics(TopicCollection(there))
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
        configs = {
            resource.name: self._result(future, f"the settings of {resource.name}")
            for resource, future in self._client.describe_configs(resources).items()
        }
        return {
            name: _info(name, self._result(described[name], f"the topic {name}"), configs[name])
            for name in there
        }

    def partition_count(self, topic: str) -> int:
        """How many partitions a topic has, asked once; raises `TopicError` for an unknown one."""
        count = self._counts.get(topic)
        if count is None:
            found = self._metadata().topics.get(topic)
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
        """One offset per partition; asked again while a leader is about to be known."""
        deadline = time.monotonic() + REQUEST_S
        asked = {TopicPartition(topic, partition): spec for partition in partitions}
        while True:
            try:
                return self._ask_once(topic, asked, isolation)
            except LogUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)

    def _ask_once(
        self, topic: str, asked: dict[TopicPartition, OffsetSpec], isolation: IsolationLevel
    ) -> dict[int, int]:
        futures = self._client.list_offsets(
            asked, isolation_level=isolation, request_timeout=REQUEST_S
        )
        return {
            place.partition: self._result(future, f"the offsets of {topic}").offset
            for place, future in futures.items()
        }

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Per partition the first offset of that time or later, else the end."""
        wanted = range(self.partition_count(topic))
        spec = OffsetSpec.for_timestamp(max(0, timestamp_ms))
        found = self._ask(topic, wanted, spec, IsolationLevel.READ_UNCOMMITTED)
        ends = self.ends(topic)
        return {p: ends[p].end if offset < 0 else offset for p, offset in found.items()}

    # -- groups ------------------------------------------------------------------------------

    def progress(self, group: str, topic: str) -> dict[int, Committed]:
        """What a group has committed for a topic."""
        places = [TopicPartition(topic, p) for p in range(self.partition_count(topic))]
        request = [ConsumerGroupTopicPartitions(group, places)]
        future = self._client.list_consumer_group_offsets(request)[group]
        found = self._result(future, f"the offsets of the group {group}").topic_partitions
        return {
            each.partition: Committed(each.offset, each.metadata or "")
            for each in found
            if each.offset >= 0
        }

    def owners(self, group: str, topic: str) -> dict[int, str]:
        """The client id of the member that owns each partition now."""
        future = self._client.describe_consumer_groups([group])[group]
        members = self._result(future, f"the group {group}").members
        return {
            place.partition: member.client_id
            for member in members
            if member.assignment is not None
            for place in member.assignment.topic_partitions
            if place.topic == topic
        }


def _has_leaders(topic: Any) -> bool:
    return topic.error is None and all(part.leader >= 0 for part in topic.partitions.values())


def _info(name: str, description: Any, config: Mapping[str, Any]) -> TopicInfo:
    policy = config["cleanup.policy"].value
    return TopicInfo(
        name=name,
        partitions=len(description.partitions),
        cleanup="compact" if policy == "compact" else "delete",
        identity=str(description.topic_id),
    )
