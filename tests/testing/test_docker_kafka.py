"""The description of Kafka's container holds of a real Kafka: the engine starts one from its jars.

Its settings are made of the environment by the class that the image calls, which is in the jars.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic
from fake_engine import FakeEngine

from kstate.testing.broker import CONTROLLER_PORT, administrator, broker
from kstate.testing.kafka_local import NoLocalKafka, free_ports, jars
from kstate.testing.plugin import without

TOPIC = "in-a-container"
QUIET = {"log_level": 2}


class Image:
    """What runs in the container: Apache's image without the container."""

    def __init__(self, engine: FakeEngine, folder: Path, home: Path) -> None:
        self._engine = engine
        self._java = ["java", "-Xmx512m", "-Djava.net.preferIPv4Stack=true", "-cp", f"{folder}/*"]
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, created: dict[str, Any]) -> None:
        variables = self._here(dict(each.split("=", 1) for each in created["Env"]))
        folders = ("default", "mounted", "final")
        for each in folders:
            (self._home / each).mkdir()
        setup = [f"--{each}-configs-dir={self._home / each}" for each in folders]
        subprocess.run(
            [*self._java, "kafka.docker.KafkaDockerWrapper", "setup", *setup],
            check=True,
            capture_output=True,
            env={"PATH": os.environ["PATH"], **variables},
        )
        self._process = subprocess.Popen(
            [*self._java, "kafka.Kafka", str(self._home / "final" / "server.properties")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._home,
        )
        self._engine.says = "[KafkaRaftServer nodeId=1] Kafka Server started"  # jars say nothing

    def _here(self, variables: dict[str, str]) -> dict[str, str]:
        """With what is not the container's alone on this machine."""
        (free,) = free_ports(1)
        inside = {f":{CONTROLLER_PORT}": f":{free}", "/var/lib/kafka/data": f"{self._home}/data"}
        for theirs, ours in inside.items():
            variables = {name: value.replace(theirs, ours) for name, value in variables.items()}
        return variables

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def path() -> str:
    """Where programs are, before they are hidden."""
    return os.environ["PATH"]


@pytest.fixture
def folder() -> Path:
    """Kafka's jars."""
    try:
        return jars()
    except NoLocalKafka as error:
        without(error)


@pytest.fixture
def image(
    path: str, folder: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Image]:
    """Starts with the container, and ends with it."""
    monkeypatch.setenv("PATH", path)
    made = Image(engine, folder, tmp_path)
    engine.begin, engine.end = made.begin, made.end
    try:
        yield made
    finally:
        made.end()


def read(servers: str, count: int) -> list[bytes | None]:
    """What committed transactions have sent."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "readers",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            **QUIET,
        }
    )
    consumer.subscribe([TOPIC])
    try:
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def send(servers: str, value: bytes, end: Callable[[Producer], None]) -> None:
    """A transaction of one record."""
    producer = Producer({"bootstrap.servers": servers, "transactional.id": "sender", **QUIET})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(TOPIC, value)
    end(producer)


def test_a_kafka_with_that_environment_commits_transactions_and_ends(
    image: Image, engine: FakeEngine
) -> None:
    with broker() as servers:
        admin = administrator(servers)
        admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(30)
        send(servers, b"never", lambda producer: producer.abort_transaction(30))
        send(servers, b"for all", lambda producer: producer.commit_transaction(30))
        assert read(servers, 1) == [b"for all"]
    assert engine.removed == 1
    host, port = servers.split(":")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), 1)
