"""One run: workers, a load, something that goes wrong meanwhile, and everything read back."""

from __future__ import annotations

import argparse
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from crash_evidence import Evidence, read_evidence
from crash_load import Load, plan
from crash_model import State
from crash_tally import Tally
from crash_workers import LOOK_S, PATIENCE_S, Victim, until

from kstate import Client, connect
from kstate.core.messages import GetState
from kstate.core.partition import partition_for
from kstate.core.topics import Topics
from kstate.errors import LogUnavailable
from kstate.log.port import Committed
from kstate.wiring import open_log
from processors.bank import Account, Bank

ASKING = 16  # calls under way at once


class Run:
    """One run on one log; a subclass says in `disturb` what goes wrong."""

    def __init__(
        self, url: str, directory: Path, options: argparse.Namespace, workers: int
    ) -> None:
        self.options = options
        self.url = url
        prefix = f"crash-{uuid.uuid4().hex[:8]}-"
        self.topics = Topics.of(Bank.name, prefix)
        self.log = open_log(url)
        group = self.topics.group
        self.workers = [Victim(url, group, prefix, directory, number) for number in range(workers)]
        self._prefix = prefix
        self._moved = (0, time.monotonic())
        self.client: Client
        self.tally: Tally

    def run(self) -> tuple[Evidence, Counter[str]]:
        """Sends and disturbs, then reads everything back."""
        options = self.options
        planned = plan(options.commands, options.accounts, options.seed)
        with ExitStack() as stack:
            stack.callback(lambda: self.log.close())  # whichever it is then
            for worker in self.workers:
                stack.callback(worker.stop)
                worker.start()
            self._await_topics()
            self.tally = Tally(self.log, self.topics.commands)
            stack.callback(lambda: self.tally.close())
            self.await_owners(self.workers)
            self.client = stack.enter_context(connect(self.url, prefix=self._prefix))
            load = Load(self.client, planned, options.accounts)
            load.start()
            try:
                self.disturb(load)
                self._settle(load)
            except BaseException:
                load.limit()
                self.client.close()  # nobody waits for replies any more
                raise
            finally:
                load.join()
            evidence = read_evidence(self.log, self.topics)
            self._ask(evidence)
        evidence.planned = {each.command_id for each in planned}
        evidence.acknowledged = load.acknowledged
        return evidence, load.counts

    def reopen(self) -> None:
        """Looks at the log anew: what was asked of brokers that went away may never be answered."""
        self.tally.close()
        self.log.close()
        self.log = open_log(self.url)
        self.tally = Tally(self.log, self.topics.commands)
        self.tally.catch_up()
        self._moved = (self._moved[0], time.monotonic())

    def disturb(self, load: Load) -> None:
        """Lets things go wrong while the load is sent; returns when all is well again."""
        raise NotImplementedError

    # -- what is going on --------------------------------------------------------------------

    def check_workers(self) -> None:
        """Fails when a worker ended by itself."""
        for worker in self.workers:
            worker.check()

    def _await_topics(self) -> None:
        wanted = set(self.topics) - {self.topics.group}

        def made() -> bool:
            self.check_workers()
            return wanted <= set(self.log.topics(wanted))

        until(made, "the workers made their topics")

    def await_owners(self, workers: Iterable[Victim]) -> None:
        """Returns when each of the workers owns partitions, or one does where only one can, and
        every partition has an owner."""
        wanted = list(workers)

        def shared_out() -> bool:
            self.check_workers()
            owners = self.log.owners(self.topics.group, self.topics.commands)
            mine = [each for each in wanted if each.instance in owners.values()]
            complete = len(owners) == len(self.tally.partitions)
            return complete and (mine == wanted or (bool(mine) and not self.log.multiple_owners))

        until(shared_out, "the partitions were shared out")

    def owned(self, worker: Victim) -> list[int]:
        """The partitions that a worker owns."""
        owners = self.log.owners(self.topics.group, self.topics.commands)
        return [each for each, owner in owners.items() if owner == worker.instance]

    def progress(self) -> Mapping[int, Committed]:
        """What is committed of the commands, per partition."""
        return self.log.progress(self.topics.group, self.topics.commands)

    def look(self) -> int:
        """How many commands are processed; fails when a worker has ended or none does anything."""
        self.check_workers()
        processed = self._moved[0]
        try:
            self.tally.read()
            processed = self.tally.processed(self.progress())
        except LogUnavailable:
            pass  # nothing moves meanwhile, and that may not last
        if processed != self._moved[0]:
            self._moved = (processed, time.monotonic())
        idle_s = time.monotonic() - self._moved[1]
        assert idle_s < PATIENCE_S, f"the workers have processed nothing for {idle_s:.0f} s"
        return processed

    def waiting(self, partitions: Collection[int]) -> int:
        """How many commands in these partitions are not processed yet; rather too few."""
        self.tally.read()
        return self.tally.waiting(self.progress(), partitions)

    def all_processed(self) -> bool:
        """Whether every command in the log is processed."""
        progress = self.progress()
        # what a command sends is stored with its own progress: it cannot be missed from here on
        self.tally.catch_up()
        return not self.tally.waiting(progress, self.tally.partitions)

    def _settle(self, load: Load) -> None:
        """Returns when everything is sent, answered and processed."""
        while load.sending():
            self.look()
            time.sleep(LOOK_S)
        while not self.all_processed():
            self.look()
            time.sleep(LOOK_S)

    # -- questions ---------------------------------------------------------------------------

    def ask_partitions(self, partitions: Collection[int]) -> None:
        """Returns when the owner of each of the partitions has answered a question."""
        calls = [
            self.client.begin(Bank, _id_in(each, len(self.tally.partitions)), GetState())
            for each in partitions
        ]
        for call in calls:
            self.client.wait(Bank, call, PATIENCE_S)

    def _ask(self, evidence: Evidence) -> None:
        """Adds the states, as their owner tells them and as the journal folds."""
        client = self.client
        for account, seq, state in client.states(Bank).final():
            evidence.folded[account] = (seq, _state(state))
        with ThreadPoolExecutor(ASKING) as pool:
            states = pool.map(
                lambda account: client.state(Bank, account, timeout=PATIENCE_S), evidence.folded
            )
            for account, state in zip(evidence.folded, states, strict=True):
                evidence.asked[account] = _state(state)


def _id_in(partition: int, partitions: int) -> str:
    """A persist id, no account's, in a partition."""
    names = (f"probe-{number}" for number in count())
    return next(each for each in names if partition_for(each.encode(), partitions) == partition)


def _state(state: Account) -> State:
    return State(state.balance, state.withdrawals)
