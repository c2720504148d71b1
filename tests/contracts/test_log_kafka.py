"""The Kafka log keeps the contract of all logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from kstate.log.kafka import KafkaLog
from kstate.log.port import Log
from kstate.testing.broker import CRITICAL, administrator
from kstate.testing.kafka_cleaner import compact
from kstate.testing.kafka_local import HOST, LocalKafka, NoLocalKafka
from kstate.testing.log_contract import AwayPromises, LogContract
from kstate.testing.log_contract_members import MemberPromises
from kstate.testing.log_contract_open import OpenPromises
from kstate.testing.log_hooks import LogHooks
from kstate.testing.plugin import without
from kstate.testing.proxy import Proxy

TRANSACTION_TIMEOUT_MS = 300_000
"""Longer than a test waits: what ends a transaction sooner is not its timeout."""
REQUEST_S = 30.0


class OnKafka(LogHooks):
    """A Kafka that others may use, too."""

    @pytest.fixture(autouse=True)
    def _broker(self, bootstrap: str) -> Iterator[None]:
        self.bootstrap = bootstrap
        self.left: list[Producer] = []  # of dead workers: nobody closes them before the test ends
        yield
        self.left.clear()

    def compact(self, log: Log, topic: str) -> None:
        compact(log, self.bootstrap, topic, self.patience_s)

    def delete_topic(self, log: Log, topic: str) -> None:
        admin = self.admin()
        admin.delete_topics([topic])[topic].result(REQUEST_S)

    def expire(self, log: Log, topic: str) -> None:
        place = TopicPartition(topic, 0, log.ends(topic)[0].end)
        admin = self.admin()
        admin.delete_records([place])[place].result(REQUEST_S)

    def leave_open(self, log: Log, group: str, topic: str, instance: str, journal: str) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "transactional.id": instance,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "log_level": CRITICAL,  # another one takes its name, as is right
            }
        )
        self.left.append(producer)
        producer.init_transactions(REQUEST_S)
        producer.begin_transaction()
        producer.produce(journal, b"open", b"k", 0)
        # as of a consumer outside the group: a seat in it would be kept for the session
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        metadata = consumer.consumer_group_metadata()
        progress = [TopicPartition(topic, 0, 9, "open")]
        producer.send_offsets_to_transaction(progress, metadata, REQUEST_S)
        assert not producer.flush(REQUEST_S)
        consumer.close()

    def admin(self) -> AdminClient:
        """To be kept until it has answered."""
        return administrator(self.bootstrap)


class TestKafkaLog(OnKafka, LogContract):
    patience_s = 40.0

    def open_log(self, directory: Path) -> KafkaLog:
        # a member that does not poll is to be given up within the test's patience
        return KafkaLog(self.bootstrap, {"max.poll.interval.ms": "7000"})


class TestMembersOfABrokerAssignedGroup(OnKafka, MemberPromises, OpenPromises):
    """KIP-848: ``group.protocol=consumer``."""

    patience_s = 60.0

    def open_log(self, directory: Path) -> KafkaLog:
        properties = {"group.protocol": "consumer", "max.poll.interval.ms": "7000"}
        return KafkaLog(self.bootstrap, properties)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The way to a Kafka that is reached by no other."""
    proxy = Proxy()
    try:
        kafka = LocalKafka(tmp_path_factory.mktemp("kafka"), listeners={"PROXY": [proxy.port]})
        (proxy.target,) = kafka.behind["PROXY"]
        try:
            kafka.start()
            yield proxy
        finally:
            kafka.stop()
    except NoLocalKafka as error:
        without(error)
    finally:
        proxy.close()


class TestKafkaLogThatIsAway(AwayPromises):
    patience_s = 60.0

    @pytest.fixture(autouse=True)
    def _proxy(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def open_log(self, directory: Path) -> KafkaLog:
        return KafkaLog(f"{HOST}:{self.proxy.port}")

    @contextmanager
    def away(self, log: Log) -> Iterator[None]:
        self.proxy.shut()
        self.proxy.cut()
        try:
            yield
        finally:
            self.proxy.open()
