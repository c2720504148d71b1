"""How long a killed worker's partitions are without an owner: from kill -9 to another's answers.

Two workers share a place with a past (`benchmarks.takeover`).  One is killed at a moment that has
nothing to do with its heartbeats, and each of its partitions is asked at once for a state; the
answers come from the other worker, when the group has missed the dead one and its partitions are
recovered.  Then it is started anew, and the other one's turn has come.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from demo.worker_process import WorkerProcess
from kstate import Client, connect
from kstate.core.messages import GetState
from kstate.core.topics import Topics
from kstate.log.port import Log
from kstate.wiring import open_log
from processors.bank import Bank

PATIENCE_S = 120.0
LOOK_S = 0.05
PHASE_S = 2.0
"""Longer than heartbeats are apart."""


class Answers(NamedTuple):
    """After one kill, seconds to the answers of the victim's partitions."""

    first_s: float
    last_s: float


class Pair:
    """Two workers of the bank on one place."""

    def __init__(
        self, url: str, prefix: str, balances: Mapping[int, Mapping[str, int]], directory: Path
    ) -> None:
        self._topics = Topics.of(Bank.name, prefix)
        self._balances = balances
        self._stack = ExitStack()
        self._log: Log = open_log(url)
        self._stack.callback(self._log.close)
        self._client: Client = self._stack.enter_context(connect(url, prefix=prefix))
        self._workers: list[WorkerProcess] = []
        self._data: list[Path] = []
        settings = directory / "kstate.toml"
        for number in range(2):
            data = directory / f"worker-{number}"
            worker = WorkerProcess(
                "processors.bank:Bank",
                url,
                prefix,
                data,
                directory / f"worker-{number}.log",
                ("--config", str(settings)),
            )
            self._data.append(data)
            self._workers.append(worker)
            self._stack.callback(worker.stop)
        self._settings = settings

    def run(self, store: str, standby: str, kills: int) -> list[Answers]:
        """Kills in turn; what each one took.  Ends the workers."""
        self._settings.write_text(f'store = "{store}"\nstandby = "{standby}"\n')
        chance = random.Random()
        with self._stack:
            for worker in self._workers:
                worker.start()
            found = []
            for number in range(kills):
                self._until(self._shared, "both workers own partitions")
                self._ask(range(len(self._balances)))  # all is recovered
                time.sleep(chance.random() * PHASE_S)
                found.append(self._kill(number % 2))
                self._workers[number % 2].start()
            return found

    def _kill(self, number: int) -> Answers:
        mine = [
            partition
            for partition, owner in self._log.owners(
                self._topics.group, self._topics.commands
            ).items()
            if owner == self._instance(number)
        ]
        self._workers[number].kill()
        return self._ask(mine)

    def _ask(self, partitions: Sequence[int]) -> Answers:
        """Asks an account of each partition; the answers must be what the past comes to."""
        began = time.perf_counter()
        with ThreadPoolExecutor(len(partitions)) as pool:
            took = list(pool.map(lambda each: self._answer(each, began), partitions))
        return Answers(min(took), max(took))

    def _answer(self, partition: int, began: float) -> float:
        persist_id, balance = next(iter(self._balances[partition].items()))
        state = self._client.call(Bank, persist_id, GetState(), timeout=PATIENCE_S)
        took = time.perf_counter() - began
        if state.balance != balance:
            raise AssertionError(f"{persist_id} has {state.balance}, the past comes to {balance}")
        return took

    def _shared(self) -> bool:
        owners = self._log.owners(self._topics.group, self._topics.commands)
        names = {self._instance(number) for number in range(2)}
        return len(owners) == len(self._balances) and set(owners.values()) == names

    def _instance(self, number: int) -> str | None:
        name = self._data[number] / self._topics.group / "instance"
        return f"{self._topics.group}-{name.read_text()}-0" if name.exists() else None

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"never happened: {what}")
            for worker in self._workers:
                worker.check()
            time.sleep(LOOK_S)
