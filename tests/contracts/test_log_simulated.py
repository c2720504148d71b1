"""The simulated log keeps the contract of all logs, so that a simulation proves something."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kstate.core.messages import Write
from kstate.errors import LogUnavailable, TransactionAborted
from kstate.log.port import Committed, Log
from kstate.testing.log_contract import AwayPromises, LogContract
from kstate.testing.log_world import NOW_MS
from kstate.testing.simulated_cluster import Cluster
from kstate.testing.simulated_group import NO_GENERATION
from kstate.testing.simulated_log import SimulatedLog

TRANSACTION_S = 3_600.0
"""Each look moves the clock: while a thread is kept waiting, another one's looks are minutes."""


class TestSimulatedLog(LogContract, AwayPromises):
    @pytest.fixture(autouse=True)
    def _cluster(self) -> None:
        self.cluster = Cluster(transaction_timeout_s=TRANSACTION_S)
        self.is_away = False

    def open_log(self, directory: Path) -> SimulatedLog:
        return SimulatedLog(self.cluster, self.surprise)

    def surprise(self, log: SimulatedLog, step: str) -> None:
        if not self.is_away or step in ("send", "poll!"):
            return  # what is sent waits, and what was polled is there
        if step.startswith("commit"):
            raise TransactionAborted(f"{step}: the cluster is away")
        raise LogUnavailable(f"{step}: the cluster is away")

    def compact(self, log: Log, topic: str) -> None:
        self.cluster.compact(topic)

    def delete_topic(self, log: Log, topic: str) -> None:
        self.cluster.delete_topic(topic)

    def expire(self, log: Log, topic: str) -> None:
        for partition in self.cluster.topic(topic).partitions:
            partition.delete_before(partition.end)

    def leave_open(self, log: Log, group: str, topic: str, instance: str, journal: str) -> None:
        transactions = self.cluster.transactions
        epoch = transactions.begin_life(instance)
        record = Write(journal, 0, b"k", b"open", [], NOW_MS)
        transactions.write(instance, epoch, self.cluster.partition(journal, 0), record, NOW_MS)
        progress = {0: Committed(9, "open")}
        self.cluster.group(group, topic)
        transactions.add_offsets(instance, epoch, group, (0, NO_GENERATION), progress)

    @contextmanager
    def away(self, log: Log) -> Iterator[None]:
        self.is_away = True
        try:
            yield
        finally:
            self.is_away = False


class TestSimulatedLogWithLateMarkers(TestSimulatedLog):
    """What was committed is seen a moment later, and not in all topics at once."""

    @pytest.fixture(autouse=True)
    def _cluster(self) -> None:
        delays = iter(range(10_000))
        self.cluster = Cluster(
            transaction_timeout_s=TRANSACTION_S,
            delay_s=lambda where: next(delays) % 5 * 0.07 * where.startswith("t-"),
        )
        self.is_away = False
