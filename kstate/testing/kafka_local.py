"""A real Apache Kafka on this machine, from its jars: one node or several, without Docker.

Needs Java 17 or newer and, the first time, Maven, which brings the jars.  Every listener is bound
to the loopback address.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

KAFKA_VERSION = "4.2.0"
SCALA_VERSION = "2.13"
MIN_JAVA = 17
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
HOST = "127.0.0.1"
PORTS = range(15_000, 32_000)
"""Below those that systems give to outgoing connections, one of which could else take the port of
a broker that is away for a moment."""

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kstate</groupId><artifactId>broker</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_{SCALA_VERSION}</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId>
      <version>1.7.36</version></dependency>
  </dependencies>
</project>
"""


class NoLocalKafka(Exception):
    """Why Kafka cannot be run from jars here; one sentence."""


def java_problem() -> str | None:
    """Why this machine's Java cannot run Kafka, or None when it can."""
    java = shutil.which("java")
    if java is None:
        return "there is no java"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = said.partition('"')[2].partition(".")[0].partition('"')[0]
    if not version.isdigit() or int(version) < MIN_JAVA:
        return f"java is {version or 'unknown'}, Kafka needs {MIN_JAVA} or newer"
    return None


def jars() -> Path:
    """The folder with Kafka's jars, filled by Maven the first time.  Raises `NoLocalKafka`."""
    problem = java_problem()
    if problem is not None:
        raise NoLocalKafka(problem)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kstate"
    folder = cache / f"kafka-{KAFKA_VERSION}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two test runs at once, one fetches
        if not folder.is_dir():
            _fetch(cache, folder)
    return folder


def _fetch(cache: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoLocalKafka("there is no mvn to fetch Kafka's jars with")
    with tempfile.TemporaryDirectory(dir=cache) as work:
        (Path(work) / "pom.xml").write_text(_POM)
        command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoLocalKafka(f"mvn could not fetch Kafka's jars: {done.stdout.strip()[-500:]}")
        os.rename(Path(work) / "jars", folder)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now; raises `NoLocalKafka` when there are too few."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue  # it is taken
        found.append(port)
        if len(found) == count:
            return found
    raise NoLocalKafka(f"fewer than {count} ports from {PORTS.start} to {PORTS.stop} are free")


class LocalKafka:
    """A cluster of ``nodes`` brokers, each its own process, data below ``directory``.

    ``settings`` are broker properties beside those that make it small and local; ``protocol`` is
    what clients and brokers speak, whose credentials are among the settings.  ``listeners`` are
    further ones, by name: per node the port that clients are told, of a proxy that passes their
    connections on to the port in `behind`.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 1,
        settings: Mapping[str, str] | None = None,
        protocol: str = "PLAINTEXT",
        listeners: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self._jars = jars()
        self._directory = directory
        self._told = dict(listeners or {})
        ports = iter(free_ports((2 + len(self._told)) * nodes))
        self.ports = list(islice(ports, nodes))
        self._controllers = list(islice(ports, nodes))
        self.behind = {name: list(islice(ports, nodes)) for name in self._told}
        self._settings = dict(settings or {})
        self._protocol = protocol
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    @property
    def bootstrap(self) -> str:
        """``bootstrap.servers`` of the cluster."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def pid(self, node: int = 0) -> int:
        """The process id of a running node."""
        return self._processes[node].pid

    def start(self) -> None:
        """Formats the storage, starts every node, and returns when all take connections."""
        for node in range(len(self.ports)):
            self._format(node)
        for node in range(len(self.ports)):
            self.start_node(node, wait=False)
        for node in range(len(self.ports)):
            self._await(node)

    def start_node(self, node: int, wait: bool = True) -> None:
        """Starts a node on what it has on disk."""
        log = (self._home(node) / "output").open("ab")
        try:
            self._processes[node] = subprocess.Popen(
                self._java("kafka.Kafka", str(self._home(node) / "server.properties")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home(node),
            )
        finally:
            log.close()
        if wait:
            self._await(node)

    def stop_node(self, node: int = 0) -> None:
        """A clean shutdown; killed when it takes too long."""
        process = self._processes.pop(node)
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill_node(self, node: int = 0) -> None:
        """kill -9."""
        process = self._processes.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Ends every node that runs; the data stays.  Idempotent."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _home(self, node: int) -> Path:
        home = self._directory / f"node-{node}"
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [
            "java",
            "-Xms256m",
            "-Xmx768m",
            "-Djava.net.preferIPv4Stack=true",
            "-cp",
            f"{self._jars}/*",
            main,
            *arguments,
        ]

    def _format(self, node: int) -> None:
        home = self._home(node)
        lines = [f"{name}={value}" for name, value in self._properties(node).items()]
        (home / "server.properties").write_text("\n".join(lines) + "\n")
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", self._cluster, "-c",
            str(home / "server.properties"),
        )  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoLocalKafka(f"the storage could not be formatted: {done.stderr.strip()[-500:]}")

    def _properties(self, node: int) -> dict[str, str]:
        nodes = len(self.ports)
        copies = str(min(3, nodes))
        client = f"{self._protocol}://{HOST}:{self.ports[node]}"
        bound = [f"{name}://{HOST}:{ports[node]}" for name, ports in self.behind.items()]
        told = [f"{name}://{HOST}:{ports[node]}" for name, ports in self._told.items()]
        own = [f"{name}:{self._protocol}" for name in (self._protocol, *self._told)]
        voters = [f"{n}@{HOST}:{port}" for n, port in enumerate(self._controllers)]
        return {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(
                [client, *bound, f"CONTROLLER://{HOST}:{self._controllers[node]}"]
            ),
            "advertised.listeners": ",".join([client, *told]),
            "inter.broker.listener.name": self._protocol,
            "listener.security.protocol.map": ",".join([*own, "CONTROLLER:PLAINTEXT"]),
            "log.dirs": str(self._home(node) / "data"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": str(min(2, nodes)),
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": str(min(2, nodes)),
            "transaction.state.log.num.partitions": "5",
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # with group.protocol=consumer the broker decides: as short as kstate's own
            "group.consumer.min.session.timeout.ms": "6000",
            "group.consumer.session.timeout.ms": "6000",
            "group.consumer.min.heartbeat.interval.ms": "1500",
            "group.consumer.heartbeat.interval.ms": "1500",
            "log.cleaner.dedupe.buffer.size": "16777216",
            # the cleaner comes soon to what a test closes (`kstate.testing.kafka_cleaner`), and to
            # nothing else: by time, a segment would be closed where records of old times meet new
            "log.cleaner.backoff.ms": "200",
            "log.roll.hours": "87600",
        } | self._settings

    def _await(self, node: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            process = self._processes[node]
            if process.poll() is not None:
                output = (self._home(node) / "output").read_text(errors="replace")
                raise NoLocalKafka(f"Kafka ended with {process.returncode}: {output[-800:]}")
            try:
                with socket.create_connection((HOST, self.ports[node]), 1.0):
                    return
            except OSError:
                time.sleep(0.1)
        raise NoLocalKafka(f"Kafka took no connections within {START_TIMEOUT_S:.0f} s")


@contextmanager
def local_kafka(
    nodes: int = 1, settings: Mapping[str, str] | None = None, protocol: str = "PLAINTEXT"
) -> Iterator[LocalKafka]:
    """A cluster in a temporary directory, gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="kstate-kafka-") as directory:
        kafka = LocalKafka(Path(directory), nodes, settings, protocol)
        try:
            kafka.start()
            yield kafka
        finally:
            kafka.stop()
