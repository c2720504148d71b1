"""Of librdkafka's own lines, those that only repeat what the log's errors tell are left out."""

from __future__ import annotations

import logging

import pytest

from kstate.log.kafka_config import logger

GETPID = (
    "GETPID [bank-0#producer-9] [thrd:main]: Failed to acquire transactional PID from broker "
    "TxnCoordinator/0: Broker: "
)
ATTEMPTS = [
    "FAIL [bank-0#producer-1] [thrd:app]: 127.0.0.1:9092/0: Connect failed: Connection refused",
    "METADATAUPDATE [bank-0#consumer-4] [thrd:main]: Partition bank.journal [3] has no leader",
    f"{GETPID}Not coordinator: retrying",
]
OUTCOMES = [
    f"{GETPID}Cluster authorization failed",
    "SESSTMOUT [bank-0#consumer-4] [thrd:main]: Consumer group session timed out",
]


@pytest.mark.parametrize("line", ATTEMPTS)
def test_an_attempt_that_is_made_again_is_not_told(
    line: str, caplog: pytest.LogCaptureFixture
) -> None:
    logger.warning(line)
    assert caplog.messages == []


@pytest.mark.parametrize("line", ATTEMPTS)
def test_whoever_asks_for_details_sees_every_attempt(
    line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger.name)
    logger.warning(line)
    assert caplog.messages == [line]


@pytest.mark.parametrize("line", OUTCOMES)
def test_what_ended_an_attempt_is_told(line: str, caplog: pytest.LogCaptureFixture) -> None:
    logger.warning(line)
    assert caplog.messages == [line]
