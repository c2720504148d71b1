"""The broker goes away while commands flow, and comes back: nothing is lost, nothing done twice."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from crash_checks import violations
from crash_evidence import Evidence
from crash_load import Load
from crash_model import Model
from crash_run import Run
from crash_workers import LOOK_S, until

from kstate import CallTimeout
from kstate.core.messages import GetState
from kstate.testing.kafka_local import LocalKafka, NoLocalKafka, local_kafka
from kstate.testing.plugin import without
from processors.bank import Bank

COMMANDS = 2_000
ACCOUNTS = 40
SOME = 600  # commands, after which the broker goes
CALL_TIMEOUT_S = 2.0
LINES_OF_AN_OUTAGE = 12
"""What a worker may say while the broker is away, what its recoveries tell aside."""

WAITS = "waiting for the log"
BACK = "the log is back"

ENDS: dict[str, Callable[[LocalKafka], None]] = {
    "kill -9": LocalKafka.kill_node,
    "clean stop": LocalKafka.stop_node,
}


class OutageRun(Run):
    """A run in which the broker goes away."""

    def __init__(self, kafka: LocalKafka, how: str, directory: Path) -> None:
        options = argparse.Namespace(commands=COMMANDS, accounts=ACCOUNTS, seed=5)
        super().__init__(f"kafka://{kafka.bootstrap}", directory, options, 1)
        self.kafka = kafka
        self.how = how
        self.said: list[str] = []  # by the worker, from the end of the broker until all was well
        self.stored = 0  # commands that were waiting when it went
        self.under_way = 0  # calls that were waiting for their reply
        self.call: Future[object]  # begun while it was away

    def disturb(self, load: Load) -> None:
        (worker,) = self.workers
        while self.look() < SOME or not self.waiting(self.tally.partitions):
            time.sleep(LOOK_S)
        processed, before = self.look(), len(worker.said())
        self.stored, self.under_way = self.waiting(self.tally.partitions), load.under_way

        def said(text: str) -> bool:
            worker.check()
            return text in worker.said()[before:]

        with ThreadPoolExecutor(1) as pool:
            ENDS[self.how](self.kafka)
            self.call = pool.submit(
                lambda: self.client.call(Bank, "acct-1", GetState(), timeout=CALL_TIMEOUT_S)
            )
            until(lambda: said(WAITS), "the worker said that it waits")
            self.kafka.start_node(0)
        until(lambda: said(BACK), "the worker said that the log is back")
        self.reopen()
        until(lambda: self.look() > processed, "the worker went on")
        self.said = worker.said()[before:].splitlines()


@dataclass
class Outcome:
    """What came of a run."""

    run: OutageRun
    evidence: Evidence


@pytest.fixture(scope="module", params=sorted(ENDS))
def outcome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcome]:
    try:
        with local_kafka() as kafka:
            run = OutageRun(kafka, request.param, tmp_path_factory.mktemp("outage"))
            evidence, _ = run.run()
            yield Outcome(run, evidence)
    except NoLocalKafka as error:
        without(error)


def test_a_broker_that_goes_and_comes_back_loses_nothing_and_has_nothing_done_twice(
    outcome: Outcome,
) -> None:
    model = Model()
    model.run_all(outcome.evidence.commands)
    assert violations(outcome.evidence, model) == []
    assert model.counts["executed"] > COMMANDS / 2


def test_it_went_while_commands_were_under_way(outcome: Outcome) -> None:
    assert outcome.run.stored
    assert outcome.run.under_way


def test_the_worker_says_once_that_it_waits_and_once_that_the_log_is_back(
    outcome: Outcome,
) -> None:
    said = outcome.run.said
    assert sum(WAITS in line for line in said) == 1, said
    assert sum(BACK in line for line in said) == 1, said


def test_the_worker_does_not_flood_its_log(outcome: Outcome) -> None:
    lines = [line for line in outcome.run.said if "is ready after" not in line]
    assert len(lines) <= LINES_OF_AN_OUTAGE, lines


def test_a_call_meanwhile_is_answered_later_or_ends_with_a_clear_error(outcome: Outcome) -> None:
    error = outcome.run.call.exception()
    if error is not None:
        assert isinstance(error, CallTimeout)
        assert "repeat it with command id" in str(error)
