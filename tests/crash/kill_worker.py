"""Kills the worker at random moments while commands flow, then judges all that it left behind.

    python tests/crash/kill_worker.py --commands 50000 --kills 20 --seed 1

Sends deposits, withdrawals and transfers to the bank; some as calls, whose replies are kept, some
as casts, some twice under one command id.  Meanwhile the worker is killed with SIGKILL after random
numbers of processed commands, or while it takes over, and started again.  At the end everything is
read back and held against a model that replays the commands in the order of the log.  Ends with 1
when anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import signal
import struct
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from crash_checks import violations  # noqa: E402 - they are found only now
from crash_evidence import Evidence, read_evidence  # noqa: E402
from crash_load import Load, kill_points, plan  # noqa: E402
from crash_model import Model, State  # noqa: E402

from demo.answers import read_all  # noqa: E402
from demo.worker_process import WorkerProcess  # noqa: E402
from kstate import Client, connect  # noqa: E402
from kstate.core.topics import Topics  # noqa: E402
from kstate.wiring import open_log  # noqa: E402
from processors.bank import Account, Bank  # noqa: E402

PATIENCE_S = 60.0  # without any progress
LOOK_S = 0.002
ASKING = 16
SHOWN = 20

INSIDE = "inside a batch"
BETWEEN = "outside of batches"
TAKING_OVER = "while taking over"

_NOTE = struct.Struct("<qq")  # partition and offset of the command that is running


class Kill(NamedTuple):
    """One death."""

    processed: int  # commands
    stored: int  # commands not yet processed when it was dead
    under_way: int  # calls that waited for their reply
    moment: str


class Victim(WorkerProcess):
    """A worker that can be made to stand still."""

    def freeze(self) -> None:
        """SIGSTOP; returns when it stands still, or has ended."""
        pid = self._running().pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.check()

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self._running().pid, signal.SIGCONT)


class Run:
    """One run on one log."""

    def __init__(self, url: str, directory: Path, options: argparse.Namespace) -> None:
        self.kills: list[Kill] = []
        self._options = options
        self._url = url
        self._prefix = f"crash-{uuid.uuid4().hex[:8]}-"
        self._topics = Topics.of(Bank.name, self._prefix)
        self._data = directory / "data"
        self._log = open_log(url)
        self._worker = Victim(
            "processors.bank:Bank", url, self._prefix, self._data, directory / "worker.log"
        )
        self._moved = (-1, time.monotonic())

    def run(self) -> tuple[Evidence, Counter[str]]:
        """Sends and kills, then reads everything back."""
        options = self._options
        planned = plan(options.commands, options.accounts, options.seed)
        try:
            self._worker.start()
            self._await_topics()
            with connect(self._url, prefix=self._prefix) as client:
                load = Load(client, planned)
                load.start()
                self._kill_all(load)
                self._settle(load)
                evidence = read_evidence(self._log, self._topics)
                self._ask(client, evidence)
        finally:
            self._worker.stop()
            self._log.close()
        evidence.planned = {each.command_id for each in planned}
        evidence.acknowledged = load.acknowledged
        return evidence, load.counts

    def _await_topics(self) -> None:
        wanted = set(self._topics) - {self._topics.group}
        deadline = time.monotonic() + PATIENCE_S
        while not wanted <= set(self._log.topics()):
            self._worker.check()
            assert time.monotonic() < deadline, "the worker made no topics"
            time.sleep(LOOK_S)

    def _look(self) -> int:
        """How many commands are processed; fails when the worker has ended or does nothing."""
        self._worker.check()
        progress = self._log.progress(self._topics.group, self._topics.commands)
        processed = sum(each.offset for each in progress.values())
        if processed != self._moved[0]:
            self._moved = (processed, time.monotonic())
        idle_s = time.monotonic() - self._moved[1]
        assert idle_s < PATIENCE_S, f"the worker has processed nothing for {idle_s:.0f} s"
        return processed

    def _stored(self) -> int:
        ends = self._log.ends(self._topics.commands)
        return sum(each.end for each in ends.values()) - self._look()

    def _kill_all(self, load: Load) -> None:
        options = self._options
        for point, early in kill_points(options.commands, options.kills, options.seed):
            before = self.kills[-1].processed if self.kills else 0
            due = self._is_owned if early and self.kills else partial(self._has_done, point, before)
            while not self._frozen(due, load):
                time.sleep(LOOK_S)
            self._worker.kill()
            self.kills.append(self._after_death(load))
            self._worker.start()

    def _is_owned(self) -> bool:
        """Whether the worker that was just started takes the partitions over."""
        return bool(self._log.owners(self._topics.group, self._topics.commands))

    def _has_done(self, point: int, before: int) -> bool:
        """Whether enough commands are processed, some of them by this worker."""
        return self._look() >= max(point, before + 1)

    def _frozen(self, due: Callable[[], bool], load: Load) -> bool:
        """Whether it is time to kill the worker; it then stands still, with commands to do.

        An idle worker goes on, as long as anything is still to come.
        """
        over = not load.sending() and not self._stored()
        if not over and not due():
            self._worker.check()
            return False
        self._worker.freeze()
        if over or self._stored():
            return True
        self._worker.thaw()
        return False

    def _after_death(self, load: Load) -> Kill:
        ends = self._log.ends(self._topics.commands)
        progress = self._log.progress(self._topics.group, self._topics.commands)
        processed = sum(each.offset for each in progress.values())
        stored = sum(each.end for each in ends.values()) - processed
        if self.kills and processed == self.kills[-1].processed:
            moment = TAKING_OVER
        else:
            note = (self._data / self._topics.group / "0" / "running").read_bytes()
            partition, _ = _NOTE.unpack(note[: _NOTE.size])
            moment = INSIDE if partition >= 0 else BETWEEN
        return Kill(processed, stored, load.under_way, moment)

    def _settle(self, load: Load) -> None:
        """Returns when everything is sent, answered and processed."""
        while load.sending():
            self._look()
            time.sleep(LOOK_S)
        load.join()
        while not self._all_processed():
            time.sleep(LOOK_S)

    def _all_processed(self) -> bool:
        self._look()
        progress = self._log.progress(self._topics.group, self._topics.commands)
        # what a command sends is stored with its own progress: it cannot be missed here
        last = {each.partition: each.offset for each in read_all(self._log, self._topics.commands)}
        return all(p in progress and offset < progress[p].offset for p, offset in last.items())

    def _ask(self, client: Client, evidence: Evidence) -> None:
        """Adds the states, as their owner tells them and as the journal folds."""
        machine = client.machine(Bank)
        for account, seq, state in client.journal(Bank).final_states(machine):
            evidence.folded[account] = (seq, _state(state))
        with ThreadPoolExecutor(ASKING) as pool:
            states = pool.map(
                lambda account: client.state(Bank, account, timeout=PATIENCE_S), evidence.folded
            )
            for account, state in zip(evidence.folded, states, strict=True):
                evidence.asked[account] = _state(state)


def _state(state: Account) -> State:
    return State(state.balance, state.withdrawals)


def vacuous(kills: list[Kill], wanted: int, evidence: Evidence, model: Model) -> list[str]:
    """What a run lacks to prove anything."""
    found = []
    if len(kills) != wanted:
        found.append(f"{len(kills)} kills instead of {wanted}")
    found += [f"nothing was under way at {kill}" for kill in kills if not kill.stored]
    counts = model.counts
    if counts["executed"] < 2 * counts["rejected"]:
        found.append(f"only {counts['executed']} commands succeeded")
    for what in ("rejected", "answered again"):
        if not counts[what]:
            found.append(f"no command was {what}")
    if not model.sent:
        found.append("no money was transferred")
    if not evidence.snapshots:
        found.append("there was no snapshot")
    return [f"vacuous: {each}" for each in found]


def count(evidence: Evidence, model: Model, sent: Counter[str], kills: list[Kill]) -> Counter[str]:
    """The figures of a run, in the order in which they are printed."""
    told = [reply for replies in evidence.acknowledged.values() for reply in replies]
    return Counter(
        {
            "kills": len(kills),
            "kills with commands under way": sum(kill.stored > 0 for kill in kills),
            "kills with calls under way": sum(kill.under_way > 0 for kill in kills),
            **{
                f"kills {moment}": sum(kill.moment == moment for kill in kills)
                for moment in (INSIDE, BETWEEN, TAKING_OVER)
            },
            "commands in the log": len(evidence.commands),
            **sent,
            "sent by transfers": model.sent.total(),
            "executed": model.counts["executed"],
            "rejected": model.counts["rejected"],
            "answered again": model.counts["answered again"],
            "acknowledged": len(told),
            "acknowledged with success": sum(reply.status == "ok" for reply in told),
            "replies": sum(map(len, evidence.replies.values())),
            "events": len(evidence.events),
            "snapshots": len(evidence.snapshots),
            "accounts": len(evidence.asked),
            "money on all accounts": sum(state.balance for state in evidence.asked.values()),
        }
    )


@dataclass
class Outcome:
    """What came of a run."""

    kills: list[Kill]
    counts: Counter[str]
    wrong: list[str]
    evidence: Evidence
    model: Model


def run(options: argparse.Namespace) -> Outcome:
    """One run in a directory of its own, judged."""
    with tempfile.TemporaryDirectory(prefix="kstate-crash-") as name:
        directory = Path(name)
        this = Run(options.log or f"sqlite:{directory}/bank.db", directory, options)
        evidence, sent = this.run()
    model = Model()
    model.run_all(evidence.commands)
    wrong = violations(evidence, model)
    wrong += vacuous(this.kills, options.kills, evidence, model)
    return Outcome(this.kills, count(evidence, model, sent, this.kills), wrong, evidence, model)


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commands", type=int, default=50_000, help="how many are sent (50000)")
    parser.add_argument("--kills", type=int, default=20, help="how often the worker dies (20)")
    parser.add_argument("--accounts", type=int, default=500, help="how many there are (500)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (1)")
    parser.add_argument("--log", metavar="URL", help="another log than a fresh embedded one")
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, and prints what came of it."""
    options = options_of()
    print(f"seed {options.seed}")
    began = time.monotonic()
    outcome = run(options)
    for kill in outcome.kills:
        print(
            f"killed at {kill.processed:,} processed commands, {kill.stored:,} stored, "
            f"{kill.under_way} calls under way, {kill.moment}"
        )
    for name, figure in outcome.counts.items():
        print(f"{name:32} {figure:10,}")
    print(f"{'seconds':32} {time.monotonic() - began:10.1f}")
    for line in outcome.wrong[:SHOWN]:
        print(f"VIOLATION {line}")
    print(f"{len(outcome.wrong):,} violations")
    sys.exit(1 if outcome.wrong else 0)


if __name__ == "__main__":
    main()
