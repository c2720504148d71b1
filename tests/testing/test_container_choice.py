"""What tests run on: a given server, else Docker, else what is installed, else one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from fake_engine import FakeEngine
from sqlalchemy import make_url

from kstate.testing import broker as brokers
from kstate.testing import postgres_local, registry_local
from kstate.testing.broker import CONTROLLER_PORT, NoBroker, broker, kafka_container
from kstate.testing.plugin import without
from kstate.testing.postgres_local import NoPostgres, postgres, postgres_container
from kstate.testing.registry_local import NoRegistry, registry, registry_container

PORT = 23_456
KAFKA = kafka_container(PORT)

Kind = tuple[Callable[[], AbstractContextManager[str]], type[Exception], str]
KINDS: dict[str, Kind] = {
    "kafka": (broker, NoBroker, "there is no java"),
    "postgres": (postgres, NoPostgres, "there is no initdb"),
    "registry": (registry, NoRegistry, "there is no java"),
}


def sentence(kind: Kind) -> str:
    """Why there is none."""
    begun, error, _ = kind
    with pytest.raises(error) as caught, begun():
        raise AssertionError("there is one")
    return str(caught.value)


# -- the container of Kafka ------------------------------------------------------------------------


def test_the_node_listens_on_the_port_that_it_tells_clients_and_itself() -> None:
    listeners = KAFKA.environment["KAFKA_LISTENERS"].split(",")
    assert listeners == [f"PLAINTEXT://0.0.0.0:{PORT}", f"CONTROLLER://127.0.0.1:{CONTROLLER_PORT}"]
    assert KAFKA.environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://127.0.0.1:{PORT}"
    assert KAFKA.environment["KAFKA_INTER_BROKER_LISTENER_NAME"] == "PLAINTEXT"
    assert KAFKA.ports == {PORT: PORT}


def test_the_node_is_its_own_controller() -> None:
    node = KAFKA.environment["KAFKA_NODE_ID"]
    voters = KAFKA.environment["KAFKA_CONTROLLER_QUORUM_VOTERS"]
    assert voters == f"{node}@127.0.0.1:{CONTROLLER_PORT}"
    assert KAFKA.environment["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert KAFKA.environment["KAFKA_CONTROLLER_LISTENER_NAMES"] == "CONTROLLER"
    protocols = KAFKA.environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    assert protocols == ["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"]


def test_one_node_holds_one_replica_of_everything() -> None:
    copies = {
        name: value
        for name, value in KAFKA.environment.items()
        if name.endswith(("REPLICATION_FACTOR", "MIN_ISR", "INSYNC_REPLICAS"))
    }
    assert set(copies.values()) == {"1"}
    assert set(copies) >= {
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR",
    }


def test_every_variable_is_one_that_the_image_turns_into_a_property() -> None:
    assert KAFKA.image == brokers.IMAGE
    assert all(name.startswith("KAFKA_") for name in KAFKA.environment if name != "CLUSTER_ID")
    assert all(isinstance(value, str) for value in KAFKA.environment.values())
    assert KAFKA.started == "Kafka Server started"


def test_the_container_of_kafka_is_that_of_the_port(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.says = "[KafkaRaftServer nodeId=1] Kafka Server started (kafka.server.KafkaRaftServer)"
    monkeypatch.setattr(brokers, "_answers", lambda port: True)
    with broker() as servers:
        port = int(servers.removeprefix("127.0.0.1:"))
        assert engine.environment == kafka_container(port).environment
        assert engine.bindings == {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    assert engine.removed == 1


def test_nobody_answers_where_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "ANSWER_S", 0.2)
    assert not brokers._answers(1)
    assert not postgres_local._answers(1)
    assert not registry_local._serves(1)


# -- the other containers --------------------------------------------------------------------------


def test_postgres_lets_in_whom_the_url_names() -> None:
    made = postgres_container(PORT)
    assert made.ports == {5432: PORT}
    assert made.environment["POSTGRES_HOST_AUTH_METHOD"] == "trust"
    user = made.environment["POSTGRES_USER"]
    assert postgres_local._url(PORT) == f"postgresql+psycopg://{user}@127.0.0.1:{PORT}/postgres"


def test_a_postgres_that_runs_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "docker_runs", lambda: False)
    monkeypatch.delenv(postgres_local.VARIABLE, raising=False)
    try:
        with postgres() as url:
            assert postgres_local._answers(make_url(url).port or 0)
    except NoPostgres as error:
        without(error)


def test_the_registry_is_reached_by_its_port() -> None:
    made = registry_container(PORT)
    assert made.ports == {8080: PORT}
    assert registry_local._url(PORT) == f"http://127.0.0.1:{PORT}/apis/ccompat/v7"


def test_a_registry_in_a_container_serves_schemas(engine: FakeEngine) -> None:
    class Subjects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/apis/ccompat/v7/subjects" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    def begin(created: dict[str, Any]) -> None:
        (bound,) = created["HostConfig"]["PortBindings"]["8080/tcp"]
        server = HTTPServer((bound["HostIp"], int(bound["HostPort"])), Subjects)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()

        def end() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        engine.end = end

    engine.begin = begin
    with registry() as url:
        assert registry_local._answers(url)
    assert not registry_local._answers(url)


# -- what follows when there is none ---------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_container_that_does_not_start_is_named_with_what_else_is_missing(
    engine: FakeEngine, kind: Kind
) -> None:
    engine.refuses["start"] = "port is already allocated"
    said = sentence(kind)
    assert said.startswith("no ")
    assert "Docker does not run " in said
    assert f'("port is already allocated")), and {kind[2]}; set it, start Docker, or ' in said


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_without_anything_all_that_is_missing_is_named(bare: None, kind: Kind) -> None:
    assert f" is not set, no Docker engine answers, and {kind[2]}; set it, " in sentence(kind)


def test_local_jars_serve_where_the_container_does_not_start(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def local() -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(bootstrap="127.0.0.1:7", url="http://127.0.0.1:7")

    engine.has_image = False
    engine.refuses["pull"] = "toomanyrequests"
    monkeypatch.setattr(brokers, "local_kafka", local)
    monkeypatch.setattr(registry_local, "local_registry", local)
    with broker() as servers, registry() as url:
        assert (servers, url) == ("127.0.0.1:7", "http://127.0.0.1:7")


def test_local_jars_that_the_system_does_not_start_are_no_broker(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> AbstractContextManager[Any]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(brokers, "local_kafka", full)
    assert "and [Errno 28] No space left on device; set it" in sentence(KINDS["kafka"])


def test_what_is_given_is_taken(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (brokers, postgres_local, registry_local):
        monkeypatch.setenv(module.VARIABLE, "given")
    with broker() as servers, postgres() as database, registry() as url:
        assert servers == database == url == "given"
    assert not engine.created
