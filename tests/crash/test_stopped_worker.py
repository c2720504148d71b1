"""A worker that is stopped: for longer than its group keeps a seat, or for good."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from crash_workers import Victim, until
from slow_counter import Add, SlowCounter

import kstate
from demo.answers import read_all
from kstate.core.messages import Progress
from kstate.core.topics import Topics
from kstate.wiring import open_log

PATIENCE_S = 40.0
IDS = 20
OPTIONS = ("--partitions", "2", "--batch-ms", "300")


class Stage:
    """Two workers of the slow counter, and who speaks to them."""

    def __init__(self, url: str, directory: Path, stack: ExitStack) -> None:
        prefix = f"stopped-{uuid.uuid4().hex[:8]}-"
        self.topics = Topics.of(SlowCounter.name, prefix)
        self.log = open_log(url)
        stack.callback(self.log.close)
        self.sent: list[str] = []
        self.workers = [
            Victim(
                url,
                self.topics.group,
                prefix,
                directory,
                number,
                "slow_counter:SlowCounter",
                OPTIONS,
            )
            for number in range(2)
        ]
        for worker in self.workers:
            stack.callback(worker.stop)
            worker.start()
        self.until(self._shared_out, "each worker got a partition")
        self.client = stack.enter_context(kstate.connect(url, prefix=prefix))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits, and fails when a worker ends by itself meanwhile."""

        def happened() -> bool:
            for worker in self.workers:
                worker.check()
            return condition()

        until(happened, what, PATIENCE_S)

    def _shared_out(self) -> bool:
        if self.topics.commands not in self.log.topics([self.topics.commands]):
            return False
        owners = self.log.owners(self.topics.group, self.topics.commands)
        return set(owners.values()) == {worker.instance for worker in self.workers}

    def send(self, count: int) -> None:
        """Sends commands to all persist ids in turn; returns when they are stored."""
        for _ in range(count):
            persist_id = f"id-{len(self.sent) % IDS}"
            self.sent.append(self.client.cast(SlowCounter, persist_id, Add(1)))
        self.client.flush()

    def progress(self, partition: int) -> tuple[int, str]:
        """The next command of a partition, and who wrote that."""
        found = self.log.progress(self.topics.group, self.topics.commands).get(partition)
        if found is None:
            return 0, ""
        parsed = Progress.parse(found.offset, found.metadata)
        assert parsed is not None
        return found.offset, parsed[1]

    def all_processed(self) -> bool:
        ends = self.log.ends(self.topics.commands)
        return all(self.progress(partition)[0] >= each.end for partition, each in ends.items())

    def freeze(self, worker: Victim, wanted: Callable[[], bool]) -> None:
        """Stops a worker at a moment that is ``wanted``; looks while it stands still."""

        def stands_still() -> bool:
            worker.freeze()
            if wanted():
                return True
            worker.thaw()
            return False

        self.until(stands_still, "the worker stood still at that moment")

    def has_run(self, worker: Victim) -> tuple[int, int] | None:
        """Partition and offset of the command that a frozen worker is running, when it has run
        others before it in the same batch."""
        partition, offset = worker.running()
        if partition < 0 or offset <= self.progress(partition)[0]:
            return None
        return partition, offset

    def in_a_transaction(self, worker: Victim) -> bool:
        """Whether a transaction is open on the journal in a partition of the worker's."""
        ends = self.log.ends(self.topics.journal)
        owners = self.log.owners(self.topics.group, self.topics.commands)
        return any(
            each.stable < each.end and owners[partition] == worker.instance
            for partition, each in ends.items()
        )


@pytest.fixture
def stage(bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with ExitStack() as stack:
        yield Stage(f"kafka://{bootstrap}", tmp_path, stack)


def check_the_journal(stage: Stage) -> None:
    """Every command has its one event, and the seqs of each persist id have no gap."""
    seqs: dict[str, list[int]] = {}
    sources: Counter[str] = Counter()
    command_ids: Counter[str] = Counter()
    for record in read_all(stage.log, stage.topics.journal):
        headers = {name: value.decode() for name, value in record.headers if name != "reply"}
        persist_id, _, seq = (record.key or b"").decode().rpartition("@")
        seqs.setdefault(persist_id, []).append(int(seq))
        sources[headers["source"]] += 1
        command_ids[headers["command-id"]] += 1
    assert command_ids == Counter(stage.sent)
    assert set(sources.values()) == {1}
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())


def works_again(stage: Stage, worker: Victim) -> None:
    """Waits until a worker has a seat again, and has written progress in it."""
    stage.until(lambda: worker.said().count(": ready, ") >= 2, "the worker was ready again")
    stage.send(2 * IDS)
    instance = worker.instance
    stage.until(
        lambda: stage.all_processed() and instance in {stage.progress(p)[1] for p in (0, 1)},
        "the worker wrote progress of commands",
    )


def test_a_worker_stopped_in_a_batch_beyond_its_session_writes_nothing_of_it(stage: Stage) -> None:
    first, second = stage.workers
    stage.send(400)
    stage.freeze(first, lambda: stage.has_run(first) is not None)
    under_way = stage.has_run(first)
    assert under_way is not None
    partition, offset = under_way

    stage.until(
        lambda: stage.progress(partition)[0] > offset, "the other worker did what was under way"
    )
    assert stage.progress(partition)[1] == second.instance
    first.thaw()
    stage.until(lambda: "seat lost" in first.said(), "the worker learned that its seat is lost")
    works_again(stage, first)

    check_the_journal(stage)


def test_a_worker_stopped_in_a_transaction_beyond_its_session_writes_nothing_of_it(
    stage: Stage,
) -> None:
    first, second = stage.workers

    stage.send(400)
    stage.freeze(first, lambda: stage.in_a_transaction(first))
    owners = stage.log.owners(stage.topics.group, stage.topics.commands)
    (partition,) = (each for each, owner in owners.items() if owner == first.instance)

    # a commit that was asked for before the stop may still be done: it is the first worker's last
    stage.until(
        lambda: stage.progress(partition)[1] == second.instance, "the other worker took over"
    )
    first.thaw()
    stage.until(lambda: "seat lost" in first.said(), "the worker learned that its seat is lost")
    works_again(stage, first)

    check_the_journal(stage)


def test_a_worker_told_to_end_in_a_transaction_ends_it_and_leaves(stage: Stage) -> None:
    first, second = stage.workers
    stage.send(400)
    stage.freeze(first, lambda: stage.in_a_transaction(first))
    assert first.end() == 0
    assert "aborted" not in first.said()
    assert "seat lost" not in first.said()

    stage.workers.remove(first)
    stage.until(
        lambda: (
            stage.all_processed() and {stage.progress(p)[1] for p in (0, 1)} == {second.instance}
        ),
        "the other worker did what was left",
    )
    check_the_journal(stage)
