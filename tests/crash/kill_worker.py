"""Kills the worker at random moments while commands flow, then checks everything that is left.

    python tests/crash/kill_worker.py --commands 50000 --kills 20 --seed 1

Reads the commands back in the order of the log and replays them on a model of the bank that knows
nothing of kstate; journal, replies and states must be the model's.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kstate
from kstate.client import Call
from kstate.core.messages import GetState, Record
from kstate.core.topics import Topics, parse_event_key
from kstate.log.port import Log
from kstate.wiring import codec_of, open_log
from processors.bank import Bank, Deposit, Transfer, Withdraw

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0
WINDOW = 500  # calls under way at once


class WorkerProcess:
    """``kstate run processors.bank:Bank`` in a process of its own."""

    def __init__(self, url: str, directory: Path) -> None:
        self._command = [
            sys.executable, "-m", "kstate.cli.main", "run", "processors.bank:Bank",
            "--log", url, "--data", str(directory / "data"), "--log-level", "WARNING",
        ]  # fmt: skip
        self._output = directory / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=output, stderr=output)

    def check(self) -> None:
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the worker ended with {code}: {self._output.read_text()[-800:]}"

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


# -- the model ---------------------------------------------------------------------------------


@dataclass
class Model:
    """The bank as plain dicts, fed with the commands in the order of the log."""

    balance: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    withdrawals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    events: dict[str, list[tuple[str, int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # id → (type, amount, command id)
    answers: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    persisted: dict[tuple[str, str], int] = field(default_factory=dict)

    def run(self, key: str, command_id: str, command: Any) -> None:
        if (key, command_id) in self.persisted:
            return
        if isinstance(command, Deposit):
            self._add(key, "Deposited", command.amount, command_id)
            self.balance[key] += command.amount
        elif isinstance(command, Withdraw | Transfer):
            same = isinstance(command, Transfer) and command.to == key
            if same or command.amount > self.balance[key]:
                self.answers[command_id] = ("rejected", None)
                return
            self._add(key, "Withdrawn", command.amount, command_id)
            self.balance[key] -= command.amount
            self.withdrawals[key] += 1
            self.answers[command_id] = ("ok", self.balance[key])
            if self.withdrawals[key] % 10 == 0 and self.balance[key] >= 1:
                self._add(key, "FeeCharged", 1, command_id)
                self.balance[key] -= 1
            self.persisted[key, command_id] = 1
            return
        else:
            return  # a question for the state
        self.persisted[key, command_id] = 1
        self.answers[command_id] = ("ok", self.balance[key])

    def _add(self, key: str, kind: str, amount: int, command_id: str) -> None:
        self.events[key].append((kind, amount, command_id))


def read(log: Log, topic: str) -> Iterator[Record]:
    """Every committed record of a topic, partition by partition."""
    for partition, ends in log.ends(topic).items():
        if ends.start == ends.stable:
            continue
        reader = log.reader()
        reader.assign(topic, {partition: ends.start})
        position = ends.start
        while position < ends.stable:
            chunk = reader.poll(2_000, 0.2)
            yield from chunk.records
            if chunk.records:
                position = chunk.records[-1].offset + 1
            position = max(position, chunk.ends.get(partition, 0))
        reader.close()


# -- the run -----------------------------------------------------------------------------------


def random_command(chance: random.Random, accounts: int) -> Any:
    amount = chance.randint(1, 100)
    what = chance.random()
    if what < 0.6:
        return Deposit(amount)
    if what < 0.8:
        return Withdraw(amount)
    return Transfer(f"acct-{chance.randrange(accounts)}", amount)


class Run:
    """One run: sends, kills, and keeps what was acknowledged."""

    def __init__(self, url: str, directory: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.chance = random.Random(options.seed)
        self.log = open_log(url)
        self.topics = Topics.of("bank")
        self.worker = WorkerProcess(url, directory)
        self.calls: list[Call] = []
        self.acknowledged: dict[str, tuple[str, int | None]] = {}
        self.counts: Counter[str] = Counter()

    def done(self) -> int:
        progress = self.log.progress(self.topics.group, self.topics.commands)
        return sum(each.offset for each in progress.values())

    def await_topics(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.topics.commands not in self.log.topics() or not self.log.owners(
            self.topics.group, self.topics.commands
        ):
            self.worker.check()
            assert time.monotonic() < deadline, "the worker made no topics"
            time.sleep(0.05)

    def send(self, client: kstate.Client) -> None:
        """Sends everything; kills the worker whenever the next of the drawn counts is reached."""
        options, chance = self.options, self.chance
        points = sorted(chance.sample(range(1, options.commands), options.kills))
        old: list[tuple[str, Any, str]] = []
        for number in range(options.commands):
            key = f"acct-{chance.randrange(options.accounts)}"
            command = random_command(chance, options.accounts)
            command_id = f"{options.seed}-{number}"
            if old and chance.random() < 0.02:
                key, command, command_id = chance.choice(old[-50:])
                self.counts["repeated"] += 1
                client.cast(Bank, key, command, command_id=command_id)
            elif chance.random() < 0.3:
                self.calls.append(client.begin(Bank, key, command, command_id))
                self.counts["calls"] += 1
            else:
                client.cast(Bank, key, command, command_id=command_id)
                self.counts["casts"] += 1
            old.append((key, command, command_id))
            if len(self.calls) >= WINDOW:
                self.collect(client)
            if points and number >= points[0]:
                points.pop(0)
                self.kill()
        client.flush()
        self.collect(client)
        self.settle()

    def kill(self) -> None:
        end = sum(ends.end for ends in self.log.ends(self.topics.commands).values())
        self.counts["kills with commands under way"] += end > self.done()
        self.worker.kill()
        self.counts["kills"] += 1
        self.worker.start()

    def collect(self, client: kstate.Client) -> None:
        for call in self.calls:
            try:
                answer: tuple[str, int | None] = ("ok", client.wait(Bank, call, PATIENCE_S))
            except kstate.Rejected:
                answer = ("rejected", None)
            self.acknowledged[call.command_id] = answer
        self.calls.clear()

    def settle(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.done() < sum(e.end for e in self.log.ends(self.topics.commands).values()):
            self.worker.check()
            assert time.monotonic() < deadline, "the worker did not finish"
            time.sleep(0.05)

    # -- what must hold ------------------------------------------------------------------------

    def violations(self, client: kstate.Client) -> list[str]:
        codec = codec_of(self.log, self.topics, Bank)[0]
        model = Model()
        for record in read(self.log, self.topics.commands):
            command = codec.decode_command(record.value, None, None)
            command_id = dict(record.headers)["command-id"].decode()
            model.run((record.key or b"").decode(), command_id, command)
            self.counts["commands in the log"] += 1
        wrong = self._journal(model, codec)
        for command_id, answer in self.acknowledged.items():
            if model.answers.get(command_id) != answer:
                wrong.append(f"{command_id} got {answer}, not {model.answers.get(command_id)}")
        wrong += self._states(client, model)
        self.counts["acknowledged"] = len(self.acknowledged)
        self.counts["acknowledged with success"] = sum(
            status == "ok" for status, _ in self.acknowledged.values()
        )
        if self.counts["kills with commands under way"] * 2 < self.options.kills:
            wrong.append("vacuous: most kills hit an idle worker")
        if self.counts["acknowledged with success"] * 2 < len(self.acknowledged):
            wrong.append("vacuous: most commands were rejected")
        return wrong

    def _journal(self, model: Model, codec: Any) -> list[str]:
        found: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
        wrong = []
        for record in read(self.log, self.topics.journal):
            parsed = parse_event_key(record.key)
            assert parsed is not None
            key, seq = parsed[0].decode(), parsed[1]
            headers = dict(record.headers)
            event = codec.decode_event(record.value)
            if seq != len(found[key]) + 1:
                wrong.append(f"{key}: seq {seq} after {len(found[key])}")
            found[key].append(
                (headers["type"].decode(), event.amount, headers["command-id"].decode())
            )
            self.counts["events"] += 1
        for key in found.keys() | model.events.keys():
            if found[key] != model.events[key]:
                wrong.append(f"{key}: the journal is not the model's")
        return wrong

    def _states(self, client: kstate.Client, model: Model) -> list[str]:
        keys = sorted(model.events)
        calls = {key: client.begin(Bank, key, GetState()) for key in keys}
        machine, journal = client.machine(Bank), client.journal(Bank)
        wrong = []
        for key, call in calls.items():
            state = client.wait(Bank, call, PATIENCE_S)
            expected = model.balance[key], model.withdrawals[key]
            if (state.balance, state.withdrawals) != expected:
                wrong.append(f"{key}: the state is {state}, not {expected}")
        for key in keys[:10]:  # each reads its partition once
            folded = [state for _, state in journal.states(machine, key)][-1]
            if (folded.balance, folded.withdrawals) != (model.balance[key], model.withdrawals[key]):
                wrong.append(f"{key}: the journal folds to {folded}")
        self.counts["states compared"] = len(keys)
        return wrong


def run(options: argparse.Namespace) -> tuple[Counter[str], list[str]]:
    """One run in a directory of its own: what was counted, and what was wrong."""
    with tempfile.TemporaryDirectory(prefix="kstate-crash-") as name:
        directory = Path(name)
        url = f"sqlite:{directory / 'bank.db'}"
        this = Run(url, directory, options)
        this.worker.start()
        try:
            this.await_topics()
            with kstate.connect(url) as client:
                this.send(client)
                return this.counts, this.violations(client)
        finally:
            this.worker.stop()
            this.log.close()


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main() -> None:
    options = options_of()
    began = time.monotonic()
    counts, wrong = run(options)
    print(f"seed {options.seed}, {time.monotonic() - began:.1f} s")
    for name, count in counts.items():
        print(f"{name:32} {count:10,}")
    for line in wrong[:20]:
        print(f"VIOLATION {line}")
    print(f"{len(wrong)} violations")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
