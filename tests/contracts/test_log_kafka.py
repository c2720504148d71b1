"""The Kafka log keeps the contract of all logs."""

from pathlib import Path

import pytest

from kstate.log.kafka import KafkaLog
from kstate.log.port import Log
from kstate.testing.broker import administrator
from kstate.testing.kafka_cleaner import compact
from kstate.testing.log_contract import LogContract
from kstate.testing.log_contract_members import MemberPromises


class TestKafkaLog(LogContract):
    patience_s = 40.0

    @pytest.fixture(autouse=True)
    def _broker(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def open_log(self, directory: Path) -> KafkaLog:
        # a member that does not poll is to be given up within the test's patience
        return KafkaLog(self.bootstrap, {"max.poll.interval.ms": "7000"})

    def compact(self, log: Log, topic: str) -> None:
        compact(log, self.bootstrap, topic, self.patience_s)

    def delete_topic(self, log: Log, topic: str) -> None:
        admin = administrator(self.bootstrap)
        admin.delete_topics([topic])[topic].result(30)


class TestMembersOfABrokerAssignedGroup(MemberPromises):
    """KIP-848: ``group.protocol=consumer``."""

    patience_s = 60.0

    @pytest.fixture(autouse=True)
    def _broker(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def open_log(self, directory: Path) -> KafkaLog:
        properties = {"group.protocol": "consumer", "max.poll.interval.ms": "7000"}
        return KafkaLog(self.bootstrap, properties)
