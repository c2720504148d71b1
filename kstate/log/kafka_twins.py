"""Whether a worker has a twin, in a group that takes no names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kstate.log.kafka_admin import CRITICAL
from kstate.log.kafka_errors import client_of

ANSWER_S = 3.0


def has_namesake(properties: Mapping[str, Any], group: str, instance: str) -> bool:
    """Whether several members of a group go under one client id; no, when nobody answers.

    One of them may be the last life of a worker that was killed, until its session is over.
    """
    client = client_of(AdminClient, {"log_level": CRITICAL, **properties})
    try:
        found = client.describe_consumer_groups([group])[group].result(ANSWER_S)
    except (KafkaException, TimeoutError):
        return False
    return [member.client_id for member in found.members].count(instance) > 1
