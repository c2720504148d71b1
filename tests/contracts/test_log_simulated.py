"""The simulated log keeps the contract of all logs, so that a simulation proves something."""

from pathlib import Path

import pytest

from kstate.log.port import Log
from kstate.testing.log_contract import LogContract
from kstate.testing.simulated_cluster import Cluster
from kstate.testing.simulated_log import SimulatedLog


class TestSimulatedLog(LogContract):
    @pytest.fixture(autouse=True)
    def _cluster(self) -> None:
        self.cluster = Cluster()

    def open_log(self, directory: Path) -> SimulatedLog:
        return SimulatedLog(self.cluster)

    def compact(self, log: Log, topic: str) -> None:
        self.cluster.compact(topic)

    def delete_topic(self, log: Log, topic: str) -> None:
        self.cluster.delete_topic(topic)


class TestSimulatedLogWithLateMarkers(TestSimulatedLog):
    """What was committed is seen a moment later, and not in all topics at once."""

    @pytest.fixture(autouse=True)
    def _cluster(self) -> None:
        delays = iter(range(10_000))
        self.cluster = Cluster(
            delay_s=lambda where: next(delays) % 5 * 0.07 * where.startswith("t-")
        )
