"""The embedded log keeps the contract of all logs."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kstate.log.embedded import EmbeddedLog
from kstate.log.embedded_file import Database
from kstate.log.port import Log
from kstate.testing.log_contract import AwayPromises, LogContract

VICTIM = Path(__file__).with_name("embedded_victim.py")
LATER_MS = 20 * 365 * 86_400_000


class TestEmbeddedLog(LogContract, AwayPromises):
    transactions_outlive_processes = False  # SQLite drops what a dead process has not committed

    def open_log(self, directory: Path) -> EmbeddedLog:
        self.path = directory / "log.db"
        return EmbeddedLog(self.path, lease_s=2.0)

    def compact(self, log: Log, topic: str) -> None:
        assert isinstance(log, EmbeddedLog)
        log.compact(topic)

    def delete_topic(self, log: Log, topic: str) -> None:
        assert isinstance(log, EmbeddedLog)
        log.delete_topic(topic)

    def expire(self, log: Log, topic: str) -> None:
        later = EmbeddedLog(self.path, clock=lambda: time.time_ns() // 1_000_000 + LATER_MS)
        with closing(later):
            later.compact(topic)

    def leave_open(self, log: Log, group: str, topic: str, instance: str, journal: str) -> None:
        command = [sys.executable, str(VICTIM), str(self.path), group, topic, instance, journal]
        done = subprocess.run(command, check=False, timeout=self.patience_s)
        assert done.returncode == -signal.SIGKILL

    @contextmanager
    def away(self, log: Log) -> Iterator[None]:
        """Another process keeps the file to itself: readers alone go on."""
        with closing(Database(self.path, "normal", 5.0)) as other, other.write():
            yield
