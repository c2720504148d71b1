"""A broker for tests: a given one, else Docker, else local jars, else one clear reason why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from confluent_kafka.admin import AdminClient

from kstate.log.kafka_admin import CRITICAL
from kstate.testing.kafka_local import NoLocalKafka, java_problem, local_kafka

VARIABLE = "KSTATE_TEST_BOOTSTRAP"
IMAGE = "apache/kafka:4.2.0"


_ENVIRONMENT = {
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS": "6000",
    "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS": "6000",
    "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS": "1500",
    "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS": "1500",
    "KAFKA_LOG_CLEANER_BACKOFF_MS": "200",
    "KAFKA_LOG_ROLL_HOURS": "87600",
}


def administrator(bootstrap: str) -> AdminClient:
    """A client for the topics and settings of a cluster, which does not tell of its connections:
    they end with the broker."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": CRITICAL})


class NoBroker(Exception):
    """Why there is no broker to test with; one sentence with the cure."""


@contextmanager
def broker() -> Iterator[str]:
    """``bootstrap.servers`` of a Kafka to test with, ended with the block if it began with it.

    Looks for ``KSTATE_TEST_BOOTSTRAP``, then for a Docker engine, then for Java and Maven.
    Raises `NoBroker`.
    """
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    with ExitStack() as stack:
        if docker_runs():
            yield stack.enter_context(_docker())
            return
        try:
            kafka = stack.enter_context(local_kafka())
        except NoLocalKafka as error:
            raise NoBroker(
                f"no Kafka to test with: {VARIABLE} is not set, no Docker engine answers, and "
                f"{error}; set it, start Docker, or install Java 17 and Maven"
            ) from error
        yield kafka.bootstrap


def docker_runs() -> bool:
    """Whether a Docker engine answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run([docker, "info"], capture_output=True, check=False, timeout=10)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@contextmanager
def _docker() -> Iterator[str]:
    from testcontainers.kafka import KafkaContainer

    container = KafkaContainer(IMAGE).with_kraft()
    for name, value in _ENVIRONMENT.items():
        container.with_env(name, value)
    with container as kafka:
        yield kafka.get_bootstrap_server()


__all__ = ["IMAGE", "VARIABLE", "NoBroker", "broker", "docker_runs", "java_problem"]
