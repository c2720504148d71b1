"""A broker for tests: a given one, else Docker, else local jars, else one clear reason why not.

Also how any container for tests is run: on a free port of the loopback address, and only with an
engine of this machine.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kstate.testing.kafka_local import HOST, NoLocalKafka, free_ports, java_problem, local_kafka

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

VARIABLE = "KSTATE_TEST_BOOTSTRAP"
IMAGE = "apache/kafka:4.2.0"
CONTROLLER_PORT = 9093
"""Inside the container, and nowhere else."""
START_TIMEOUT_S = 60.0
ANSWER_S = 2.0
CRITICAL = 2
"""Of librdkafka's own log."""
_MAX_REASON = 400


@dataclass(frozen=True)
class Container:
    """What a container for tests is started with."""

    image: str
    environment: Mapping[str, str]
    ports: Mapping[int, int]
    """By the container's own: those of the loopback address here."""
    started: str = ""
    """What its log says when it has started; empty: that is not looked for."""


class NoContainer(Exception):
    """Why Docker runs no container; one clause."""


class NoBroker(Exception):
    """Why there is no broker to test with; one sentence with the cure."""


def administrator(bootstrap: str) -> AdminClient:
    """A client for the topics and settings of a cluster, which does not tell of its connections:
    they end with the broker."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": CRITICAL})


@contextmanager
def broker() -> Iterator[str]:
    """``bootstrap.servers`` of a Kafka to test with, ended with the block if it began with it.

    Looks for ``KSTATE_TEST_BOOTSTRAP``, then for Docker, then for Java and Maven; what does not
    start is passed over.  Raises `NoBroker`.
    """
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    with ExitStack() as stack:
        try:
            servers = f"{HOST}:{stack.enter_context(container(kafka_container, _answers))}"
        except NoContainer as without:
            try:
                servers = stack.enter_context(local_kafka()).bootstrap
            except (NoLocalKafka, OSError) as error:
                raise NoBroker(
                    f"no Kafka to test with: {VARIABLE} is not set, {without}, and {error}; "
                    "set it, start Docker, or install Java 17 and Maven"
                ) from error
        yield servers


def kafka_container(port: int) -> Container:
    """A cluster of one node that serves ``port``.

    Any setting turns the image's own off, so all are here, as `LocalKafka` has them.  The node
    listens on the port that it tells its clients: it goes to itself by that address too, with the
    markers of transactions.
    """
    environment = {
        "CLUSTER_ID": "eGt1cFwjTz2126n5jL0Dog",
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@{HOST}:{CONTROLLER_PORT}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://{HOST}:{CONTROLLER_PORT}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{HOST}:{port}",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
    }
    return Container(IMAGE, environment | _SETTINGS, {port: port}, "Kafka Server started")


_SETTINGS = {
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_DEFAULT_REPLICATION_FACTOR": "1",
    "KAFKA_MIN_INSYNC_REPLICAS": "1",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "5",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "5",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS": "6000",
    "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS": "6000",
    "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS": "1500",
    "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS": "1500",
    "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE": "16777216",
    "KAFKA_LOG_CLEANER_BACKOFF_MS": "200",
    "KAFKA_LOG_ROLL_HOURS": "87600",
}


def _answers(port: int) -> bool:
    try:
        administrator(f"{HOST}:{port}").list_topics(timeout=ANSWER_S)
    except KafkaException:
        return False
    return True


def docker_runs() -> bool:
    """Whether a Docker engine answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run([docker, "info"], capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextmanager
def container(
    describe: Callable[[int], Container], answers: Callable[[int], bool]
) -> Iterator[int]:
    """The free port that a container was described with, which ``answers`` there; it is gone when
    the block ends.  Raises `NoContainer`, whatever kept it from starting."""
    if not docker_runs():
        raise NoContainer("no Docker engine answers")
    try:
        (port,) = free_ports(1)
    except NoLocalKafka as error:
        raise NoContainer(str(error)) from error
    described = describe(port)
    try:
        with warnings.catch_warnings():
            # what testcontainers itself uses of the old does not decide on what tests run
            warnings.simplefilter("ignore", DeprecationWarning)
            running = _start(described, lambda: answers(port))
    except Exception as error:  # of testcontainers, docker, requests, urllib3 or the system
        _forget(error)
        said = " ".join(str(error).split())[:_MAX_REASON].rstrip(". ")
        what = f"{described.image} ({type(error).__name__}: {said})"
        raise NoContainer(f"Docker does not run {what}") from error
    with running:
        yield port


def _start(described: Container, answers: Callable[[], bool]) -> ExitStack:
    """Starts it and waits; what is returned ends it."""
    with ExitStack() as stack:
        made = stack.enter_context(_made(described))
        inner = made.get_wrapped_container()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers():
            inner.reload()
            if inner.status not in ("created", "running"):
                said = inner.logs(tail=5).decode(errors="replace")
                raise RuntimeError(f"it is {inner.status} and said: {said}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not answer within {START_TIMEOUT_S:.0f} s")
            time.sleep(0.2)
        return stack.pop_all()


def _made(described: Container) -> DockerContainer:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    made = DockerContainer(described.image).with_envs(**described.environment)
    ports: dict[str, Any] = made.ports  # `with_bind_ports` takes no address
    ports.update({f"{own}/tcp": (HOST, port) for own, port in described.ports.items()})
    if described.started:
        log = LogMessageWaitStrategy(described.started).with_poll_interval(0.2)
        made.waiting_for(log.with_startup_timeout(int(START_TIMEOUT_S)))
    return made


def _forget(error: BaseException) -> None:
    """Closes the sockets that a failed start left open, so that they warn in no later test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        each: BaseException | None = error
        while each is not None:
            traceback.clear_frames(each.__traceback__)
            each = each.__context__
        gc.collect()


__all__ = [
    "IMAGE", "VARIABLE", "Container", "NoBroker", "NoContainer", "administrator", "broker",
    "container", "docker_runs", "java_problem", "kafka_container",
]  # fmt: skip
