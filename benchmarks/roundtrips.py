"""How long an answer takes, one command at a time: the loops in processes of their own, one client.

The client knows confluent-kafka alone and is the same for both loops, which are asked in turn.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from benchmarks.bare import DEPOSIT, DEPOSIT_HEADER, encode
from benchmarks.workload import Place, Stage
from kstate.log.kafka_config import Settings

REPLY_PARTITION = 0
START_S = 60.0
"""How long the first answer may take: the loop's process starts meanwhile."""
POLL_S = 0.5
STOP_S = 30.0
FIRST = 20
"""Answers that do not count: they warm up."""
ACCOUNTS = 100


class NoAnswer(Exception):
    """A loop ended, or gave no answer in time."""


class Server:
    """One loop in a process of its own, its words kept in a file."""

    def __init__(self, name: str, command: Sequence[str], directory: Path) -> None:
        self.name = name
        self._output = directory / f"{name}.output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command], stdout=output, stderr=subprocess.STDOUT
            )

    def check(self) -> None:
        """Raises `NoAnswer` when the process has ended."""
        if self._process.poll() is not None:
            raise NoAnswer(
                f"{self.name} ended with {self._process.returncode}: "
                f"{self._output.read_text(errors='replace')[-2000:]}"
            )

    def stop(self) -> None:
        """Ends the process: a request first, then by force."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Asker:
    """Sends a command and waits for its reply on one partition."""

    def __init__(self, bootstrap: str, place: Place, server: Server) -> None:
        settings = Settings(bootstrap, {}, 2**20)
        self._topics = place.topics
        self._server = server
        self._number = 0
        self._producer: Any = Producer(settings.client_producer() | {"linger.ms": 0})
        self._consumer: Any = Consumer(
            settings.reader_consumer(f"{place.prefix}asker", follows=True)
        )
        self._consumer.assign([TopicPartition(place.topics.replies, REPLY_PARTITION, 0)])

    def ask(self) -> float:
        """Seconds from sending a command until its reply is here; raises `NoAnswer`."""
        self._number += 1
        command_id = b"%032x" % self._number
        headers = [
            ("command-id", command_id),
            ("reply-to", self._topics.replies.encode()),
            ("reply-partition", b"%d" % REPLY_PARTITION),
        ]
        key = b"acct-%d" % (self._number % ACCOUNTS)
        value = encode(DEPOSIT_HEADER, DEPOSIT, {"amount": 1})
        began = time.perf_counter()
        self._producer.produce(self._topics.commands, value, key, headers=headers)
        self._producer.poll(0)
        self._await(command_id, began + START_S)
        return time.perf_counter() - began

    def _await(self, command_id: bytes, deadline: float) -> None:
        while True:
            message = self._consumer.poll(POLL_S)
            if message is None:
                self._server.check()
                if time.perf_counter() > deadline:
                    raise NoAnswer(f"{self._server.name} did not answer within {START_S:g} s")
            elif message.error() is None:
                if message.key() == command_id:
                    return
            elif not is_end(message):
                raise KafkaException(message.error())

    def close(self) -> None:
        """Releases the clients."""
        self._producer.flush(STOP_S)
        self._consumer.close()


def is_end(message: Any) -> bool:
    """Whether this tells that the end of the partition was reached."""
    return bool(message.error().name() == "_PARTITION_EOF")


def round_trips(stage: Stage, partitions: int, count: int) -> dict[str, list[float]]:
    """Per loop the seconds of ``count`` round trips, sorted."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kstate-bench-")))
        askers = {}
        for name in ("bare", "kstate"):
            place = stage.place(partitions)
            command = (
                bare_command(stage, place)
                if name == "bare"
                else kstate_command(stage, place, directory)
            )
            server = Server(name, command, directory)
            stack.callback(server.stop)
            asker = askers[name] = Asker(stage.bootstrap, place, server)
            stack.callback(asker.close)
        return dict(_in_turn(askers, count))


def _in_turn(askers: dict[str, Asker], count: int) -> Iterator[tuple[str, list[float]]]:
    trips: dict[str, list[float]] = {name: [] for name in askers}
    for _ in range(FIRST + count):
        for name, asker in askers.items():
            trips[name].append(asker.ask())
    for name, seconds in trips.items():
        yield name, sorted(seconds[FIRST:])


def bare_command(stage: Stage, place: Place) -> list[str]:
    """Module and arguments of the bare loop."""
    return ["benchmarks.bare", stage.bootstrap, place.prefix]


def kstate_command(stage: Stage, place: Place, directory: Path) -> list[str]:
    """Module and arguments of ``kstate run``."""
    log = f"kafka://{stage.bootstrap}"
    options = ["--log", log, "--prefix", place.prefix, "--data", str(directory / "data")]
    return ["kstate.cli.main", "run", "processors.bank:Bank", *options]
