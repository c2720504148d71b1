"""Moving the position of a partition while librdkafka's own threads deal with it.

The consumer is a script: it answers each seek with the next error that stands there for it.
"""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from kstate.errors import LogError, LogUnavailable
from kstate.log import kafka_delivery
from kstate.log.kafka_delivery import seek

PLACE = TopicPartition("bank.commands", 3, 7)
PASSING = ["_OUTDATED", "_PREV_IN_PROGRESS", "_STATE"]


class Script:
    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.asked = 0

    def seek(self, place: TopicPartition) -> None:
        assert place is PLACE
        self.asked += 1
        if self.errors:
            raise KafkaException(KafkaError(getattr(KafkaError, self.errors.pop(0))))


@pytest.mark.parametrize("error", PASSING)
def test_a_seek_that_a_rebalance_overtook_is_tried_again(error: str) -> None:
    consumer = Script(error, error)
    seek(consumer, PLACE)  # type: ignore[arg-type]
    assert consumer.asked == 3


@pytest.mark.parametrize("error", PASSING)
def test_a_seek_that_is_overtaken_for_too_long_is_the_logs_being_away(
    error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_delivery, "SEEK_S", 0.05)
    with pytest.raises(LogUnavailable, match=r"^bank\.commands:3 cannot be read: Local: "):
        seek(Script(*[error] * 1000), PLACE)  # type: ignore[arg-type]


def test_any_other_error_of_a_seek_is_raised_at_once() -> None:
    consumer = Script("_INVALID_ARG")
    with pytest.raises(LogError, match=r"^bank\.commands:3 cannot be read: ") as raised:
        seek(consumer, PLACE)  # type: ignore[arg-type]
    assert not isinstance(raised.value, LogUnavailable)
    assert consumer.asked == 1
