"""A cluster of its own whose workers reach each broker through a proxy of theirs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ElectionType,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from crash_workers import until

from kstate.testing.broker import administrator
from kstate.testing.kafka_local import HOST, LocalKafka
from kstate.testing.proxy import Proxy

REQUEST_S = 10.0
PATIENCE_S = 90.0
"""How long something may take that must happen, for who says nothing else."""
LOOK_S = 0.1
OPEN_TRANSACTION_MS = 60_000

_PASSES = frozenset(
    {
        KafkaError.NON_EMPTY_GROUP,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
    }
)
"""What a cluster answers that is about to be well."""


class Cluster:
    """Brokers, and per worker one proxy before each of them."""

    def __init__(
        self,
        kafka: LocalKafka,
        proxies: Sequence[Sequence[Proxy]],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.kafka = kafka
        self.proxies = proxies  # by worker, then by broker
        self.patience_s = patience_s
        self.given_up = Event()  # set: whoever waits for something fails at once
        self.bootstrap = kafka.bootstrap
        self._down: set[int] = set()

    @property
    def url(self) -> str:
        """The log as clients reach it, without proxies."""
        return f"kafka://{self.bootstrap}"

    @property
    def brokers(self) -> int:
        """How many there are."""
        return len(self.kafka.ports)

    def url_of(self, worker: int) -> str:
        """The log as a worker reaches it."""
        return "kafka://" + ",".join(f"{HOST}:{each.port}" for each in self.proxies[worker])

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits until the condition holds; fails when it does not for too long."""

        def met() -> bool:
            assert not self.given_up.is_set(), f"given up: {what}"
            return condition()

        until(met, what, self.patience_s, LOOK_S)

    # -- brokers -----------------------------------------------------------------------------

    def kill(self, node: int) -> None:
        """kill -9."""
        self._down.add(node)
        self.kafka.kill_node(node)

    def restart(self, node: int) -> None:
        """Starts a broker that was killed; returns when every partition is in sync again."""
        self.kafka.start_node(node)
        self._down.discard(node)
        self.await_in_sync()

    def await_in_sync(self) -> None:
        """Returns when every replica of every partition is in sync, and each has its leader."""
        self.until(self._in_sync, "the cluster was in sync")

    def heal(self) -> None:
        """Starts what is down and lets everything pass."""
        for workers in self.proxies:
            for each in workers:
                each.delay_s = 0.0
                each.open()
                each.release()
        for node in sorted(self._down):
            self.kafka.start_node(node)
        self._down.clear()
        self.await_in_sync()

    def await_leaders(self) -> None:
        """Returns when each partition is led by a broker that is not down."""

        def led() -> bool:
            _, partitions = self._partitions()
            return bool(partitions) and all(
                each.leader >= 0 and each.leader not in self._down for each in partitions
            )

        self.until(led, "each partition had a leader")

    def prefer_leaders(self) -> None:
        """Has every partition led by the first of its replicas again."""

        def led() -> bool:
            admin = self.admin()
            _did(admin.elect_leaders(ElectionType.PREFERRED))
            _, partitions = self._partitions()
            return bool(partitions) and all(each.leader == each.replicas[0] for each in partitions)

        self.until(led, "each partition was led by the first of its replicas")

    def _in_sync(self) -> bool:
        brokers, partitions = self._partitions()
        return brokers == self.brokers and all(
            each.leader >= 0 and len(each.isrs) == len(each.replicas) for each in partitions
        )

    def _partitions(self) -> tuple[int, list[Any]]:
        """How many brokers there are, and what is known of all partitions; none for no answer."""
        # a client of its own each time: one whose brokers were away may wait for long
        try:
            found = self.admin().list_topics(timeout=REQUEST_S)
        except KafkaException:
            return 0, []
        topics = found.topics.values()
        return len(found.brokers), [each for topic in topics for each in topic.partitions.values()]

    # -- groups ------------------------------------------------------------------------------

    def admin(self) -> AdminClient:
        """Whom to ask."""
        return administrator(self.bootstrap)

    def await_empty(self, group: str) -> None:
        """Returns when a group has no member."""

        def empty() -> bool:
            admin = self.admin()  # kept: with the client its answers are gone
            found = _answer(admin.describe_consumer_groups([group])[group])
            return found is not None and found.state in (
                ConsumerGroupState.EMPTY,
                ConsumerGroupState.DEAD,
            )

        self.until(empty, f"the group {group} was empty")

    def delete_group(self, group: str) -> None:
        """Forgets a group and all its offsets."""

        def deleted() -> bool:
            admin = self.admin()
            future = admin.delete_consumer_groups([group])[group]
            return _did(future, KafkaError.GROUP_ID_NOT_FOUND)

        self.until(deleted, f"the group {group} was deleted")

    def rewind_group(self, group: str, topic: str, partitions: Sequence[int]) -> None:
        """Sets the offsets of a group to 0, as a tool of Kafka would."""
        places = [TopicPartition(topic, partition, 0) for partition in partitions]

        def altered() -> bool:
            admin = self.admin()
            request = [ConsumerGroupTopicPartitions(group, places)]
            return _did(admin.alter_consumer_group_offsets(request)[group])

        self.until(altered, f"the offsets of {group} were altered")

    # -- transactions ------------------------------------------------------------------------

    @contextmanager
    def foreign_transaction(self, topic: str, partitions: Sequence[int]) -> Iterator[None]:
        """A stranger's transaction that is open on these partitions, and comes to nothing."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "transactional.id": f"stranger-{uuid.uuid4().hex[:8]}",
                "transaction.timeout.ms": OPEN_TRANSACTION_MS,
                "log_level": 2,
            }
        )
        try:
            producer.init_transactions(self.patience_s)
            producer.begin_transaction()
            try:
                for partition in partitions:
                    producer.produce(topic, b"foreign", b"stranger@1", partition=partition)
                assert not producer.flush(self.patience_s), "the foreign records were not stored"
                yield
            finally:
                producer.abort_transaction(self.patience_s)
        finally:
            producer.close()


def _answer(future: Future[Any]) -> Any:
    """An answer; None when it is to be asked for again."""
    try:
        return future.result(REQUEST_S)
    except TimeoutError:
        return None
    except KafkaException as error:
        if error.args[0].code() not in _PASSES:
            raise
        return None


def _did(future: Future[Any], done: int | None = None) -> bool:
    """Whether something was done, be it by an earlier try, which an error tells."""
    try:
        future.result(REQUEST_S)
    except TimeoutError:
        return False
    except KafkaException as error:
        code = error.args[0].code()
        if code not in _PASSES and code != done:
            raise
        return bool(code == done)
    return True


@contextmanager
def cluster(
    directory: Path, brokers: int, workers: int, patience_s: float = PATIENCE_S
) -> Iterator[Cluster]:
    """A cluster that runs as long as the block.  Raises `NoLocalKafka`."""
    with ExitStack() as stack:

        def made(make: Callable[[], Proxy]) -> Proxy:
            proxy = make()
            stack.callback(proxy.close)
            return proxy

        proxies = [[made(Proxy) for _ in range(brokers)] for _ in range(workers)]
        names = [f"WORKER{number}" for number in range(workers)]
        told = {name: [each.port for each in proxies[n]] for n, name in enumerate(names)}
        kafka = LocalKafka(directory, brokers, listeners=told)
        for number, name in enumerate(names):
            for proxy, port in zip(proxies[number], kafka.behind[name], strict=True):
                proxy.target = port
        stack.callback(kafka.stop)
        kafka.start()
        made_cluster = Cluster(kafka, proxies, patience_s)
        made_cluster.await_in_sync()
        yield made_cluster
