"""One run: a cluster, workers, clients, faults in two threads, and the judgement."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Event

import chaos_schedule as kinds
from chaos_checks import (
    StoreJudge,
    forgive_second_answers,
    history_violations,
    partition_of,
    told_states,
    vacuous,
)
from chaos_clients import History, Stream, Told, Witness
from chaos_cluster import Cluster
from chaos_faults import OF_THE_REST, OF_WORKERS, Arena, Fault, stores_of
from crash_checks import violations
from crash_evidence import Evidence, Schemas, read_evidence, read_snapshots
from crash_load import Load
from crash_model import Model, State
from crash_run import ASKING, Run
from crash_tally import Tally
from crash_workers import Victim

from kstate import connect
from kstate.config import ALL
from kstate.errors import KStateError
from processors.bank import Bank

WORKERS = {1: 2, 3: 3}
"""By the number of brokers."""
GUESTS = 2
CLIENTS = 2
PAUSE_S = 1.0  # between two faults of a thread, at the most
LOOK_S = 0.05
OPTIONS = ("--max-entities", "8")
"""Few, so that entities leave memory all the time: what is not in it comes from the local store."""
STANDBY = 0
"""The worker that keeps the stores of all partitions of others warm."""


class ChaosRun(Run):
    """Workers on a cluster on which everything goes wrong."""

    def __init__(self, made: Cluster, directory: Path, options: argparse.Namespace) -> None:
        super().__init__(made.url, directory, options, 0)
        self.cluster = made
        self.directory = directory
        self._warm = directory / "standby.toml"
        self._warm.write_text(f'standby = "{ALL}"\n')
        count = WORKERS[made.brokers]
        self.workers = [self._victim(made.url_of(number), number) for number in range(count)]
        guests = [self._victim(made.url, count + number) for number in range(GUESTS)]
        self.fresh = self._victim(made.url, count + GUESTS)
        self.arena = Arena(
            made, self.topics, self.log, self.workers, guests, directory / "faults.jsonl"
        )
        self.arena.processed = lambda: self._moved[0]
        self.histories = [directory / f"history-{number}.jsonl" for number in range(CLIENTS)]
        self.model = Model()
        self.evidence = Evidence()
        self.wrong: list[str] = []
        self.unknown = 0  # answers that did not come in time
        self.forgiven = 0  # second answers that a loss of offsets explains
        self.held = self.held_at_standby = 0  # snapshots in the local stores that were judged
        self._stop = Event()

    def _victim(self, url: str, number: int) -> Victim:
        options = (*OPTIONS, "--config", str(self._warm)) if number == STANDBY else OPTIONS
        return Victim(url, self.topics.group, self._prefix, self.directory, number, options=options)

    def check_workers(self) -> None:
        self.arena.check()

    def judge(self) -> None:
        """Runs everything and fills in what is wrong."""
        with ExitStack() as stack:
            stack.callback(self.arena.close)
            stack.callback(lambda: self.log.close())
            for each in (*self.workers, *self.arena.guests, self.fresh):
                stack.callback(each.stop)
            for each in self.workers:
                each.start()
            self._await_topics()
            self.tally = Tally(self.log, self.topics.commands)
            stack.callback(lambda: self.tally.close())
            self.await_owners(self.workers)
            self.client = stack.enter_context(connect(self.url, prefix=self._prefix))
            self._load()
            self.evidence = read_evidence(self.log, self.topics)
            self._ask(self.evidence)
            self._judge_log(self.evidence)
            self._judge_stores()
            self._ask_anew(self.evidence)

    # -- what is going on --------------------------------------------------------------------

    def look(self) -> int:
        """As any run, with more patience: a machine may stand still, which says nothing of kstate.

        A worker that has ended is told at once, and no `AssertionError`.
        """
        try:
            return super().look()
        except AssertionError:
            if time.monotonic() - self._moved[1] >= self.cluster.patience_s:
                raise
            return self._moved[0]

    def _load(self) -> None:
        """Sends and disturbs, until all is well again and everything is answered."""
        options = self.options
        per_second = options.commands / (options.minutes * 60) / CLIENTS
        with ExitStack() as stack:
            loads, streams, clients = [], [], []
            for number, path in enumerate(self.histories):
                client = stack.enter_context(connect(self.url, prefix=self._prefix))
                history = History(path)
                stack.callback(history.close)
                stream = Stream(f"{options.seed}-{number}", options.accounts, per_second)
                load = Load(Witness(client, history), stream, options.accounts)
                stack.callback(load.join)
                stack.callback(stream.close)
                load.start()
                loads.append(load)
                streams.append(stream)
                clients.append(client)
            try:
                self._disturb()
                for stream in streams:
                    stream.close()
                while any(load.sending() for load in loads):
                    self._look()
                while not self.all_processed():
                    self._look()
            except BaseException:
                for client in clients:
                    with suppress(KStateError):
                        client.close()  # nobody waits for replies any more
                raise

    def _disturb(self) -> None:
        """Both threads of faults, looked after from here; then everything heals."""
        end = time.monotonic() + self.options.minutes * 60
        self._moved = (0, time.monotonic())
        lanes = ((kinds.WORKERS, OF_WORKERS), (kinds.AROUND, OF_THE_REST))
        try:
            with ThreadPoolExecutor(len(lanes)) as pool:
                under_way: list[Future[None]] = [
                    pool.submit(self._lane, *each, end) for each in lanes
                ]
                try:
                    while not all(each.done() for each in under_way):
                        self._look()
                        for each in under_way:
                            if each.done():
                                each.result()
                except BaseException:
                    self.cluster.given_up.set()  # nobody is to wait for what will not come
                    raise
                finally:
                    self._stop.set()
        finally:
            self.cluster.given_up.clear()
        for each in under_way:
            each.result()
        self.cluster.heal()

    def _lane(self, deck: Mapping[str, int], faults: Mapping[str, Fault], end: float) -> None:
        """One fault after the other: each kind once, and on until the end.

        Not before something is processed: to lose the offsets, say, takes some.
        """
        chance = random.Random(f"{self.options.seed}-{sorted(deck)}")
        self._await_work()
        for number, kind in enumerate(kinds.cards(deck, chance)):
            if number >= len(deck) and time.monotonic() > end:
                return
            if self._stop.wait(chance.uniform(0.0, PAUSE_S)):
                return
            faults[kind](self.arena, chance)
            self._await_work()

    def _await_work(self) -> None:
        """Returns when commands are processed: a fault is to disturb something."""
        before = self._moved[0]
        self.cluster.until(
            lambda: self._moved[0] > before or self._stop.is_set(), "commands were processed"
        )

    def _look(self) -> None:
        self.look()
        time.sleep(LOOK_S)

    # -- the judgement -----------------------------------------------------------------------

    def _judge_log(self, evidence: Evidence) -> None:
        told = Told(self.histories)
        evidence.planned = told.invoked
        evidence.acknowledged = told.answered
        self.model.run_all(evidence.commands)
        self.forgiven = forgive_second_answers(evidence, self.model, self.arena.rewound)
        self.unknown = told.unknown
        self.wrong += violations(evidence, self.model)
        self.wrong += history_violations(told, evidence)

    def _judge_stores(self) -> None:
        """Stops the workers and looks at what they leave on their disks."""
        followed = self._followed()
        for each in self.workers:
            code = each.stop()
            if code:
                self.wrong.append(f"stop: a worker at rest stopped with exit code {code}")
        judge = StoreJudge(
            read_snapshots(self.log, self.topics), Schemas(self.log, self.topics), self.model
        )
        for worker in (*self.workers, *self.arena.guests):
            for path in stores_of(worker):
                damaged = path in self.arena.corrupted
                standby = worker is self.workers[STANDBY] and partition_of(path) in followed
                self.wrong += judge.violations(path, self.topics.snapshots, damaged, standby)
        self.held, self.held_at_standby = judge.snapshots, judge.standby_snapshots
        self.wrong += vacuous(self.arena.counts, self.model, judge)

    def _followed(self) -> set[int]:
        """The partitions that the worker at standby follows for others.

        It is the first to be stopped: what it follows then is not what others leave to it.
        """
        mine = self.workers[STANDBY].instance
        found: set[int] = set()

        def shared_out() -> bool:
            owners = self.arena.owners()
            found.clear()
            found.update(each for each, owner in owners.items() if owner != mine)
            return len(owners) == len(self.tally.partitions) and bool(found)

        self.cluster.until(shared_out, "others than the worker at standby owned partitions")
        return found

    def _ask(self, evidence: Evidence) -> None:
        for account, seq, state in self.client.states(Bank).final():
            evidence.folded[account] = (seq, State(state.balance, state.withdrawals))
        evidence.asked = self._states(evidence)

    def _ask_anew(self, evidence: Evidence) -> None:
        """A worker that has nothing but the log, and then those with their stores, tell all."""
        self.fresh.start()
        self.wrong += told_states("rebuilt", self._states(evidence), self.model)
        self.fresh.stop()
        for each in self.workers:
            each.start()
        self.wrong += told_states("from the stores", self._states(evidence), self.model)

    def _states(self, evidence: Evidence) -> dict[str, State]:
        ask = partial(self.client.state, Bank, timeout=self.cluster.patience_s)
        with ThreadPoolExecutor(ASKING) as pool:
            found = pool.map(ask, evidence.folded)
            return {
                account: State(state.balance, state.withdrawals)
                for account, state in zip(evidence.folded, found, strict=True)
            }
