"""The embedded log keeps the contract of all logs."""

from pathlib import Path

from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Log
from kstate.testing.log_contract import LogContract


class TestEmbeddedLog(LogContract):
    def open_log(self, directory: Path) -> EmbeddedLog:
        return EmbeddedLog(directory / "log.db", lease_s=2.0)

    def compact(self, log: Log, topic: str) -> None:
        assert isinstance(log, EmbeddedLog)
        log.compact(topic)

    def delete_topic(self, log: Log, topic: str) -> None:
        assert isinstance(log, EmbeddedLog)
        log.delete_topic(topic)
