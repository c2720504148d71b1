"""Workers of a group whose partitions the broker assigns (KIP-848: ``group.protocol=consumer``)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from crash_workers import Victim, until
from kill_worker import AWAY, SESSION_S, TAKEN_OVER_S, Outcome, options_of, run
from slow_counter import Add, SlowCounter
from test_same_name_twice import Twins

from kstate.log.kafka_member import TWIN_TIMES

KILLS = 5
ARGUMENTS = f"--commands 2500 --kills {KILLS} --accounts 25 --seed 3 --workers 2"
PATIENCE_S = 30.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def _protocol() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KSTATE_KAFKA_GROUP_PROTOCOL", "consumer")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        yield


@pytest.fixture
def twins(bootstrap: str, tmp_path: Path) -> Iterator[Twins]:
    with ExitStack() as stack:
        yield Twins(f"kafka://{bootstrap}", tmp_path, stack)


def await_ready(worker: Victim) -> None:
    def ready() -> bool:
        worker.check()
        return ": ready, " in worker.said()

    until(ready, "the worker was ready", PATIENCE_S)


def test_a_worker_killed_and_started_at_once_works_when_the_session_of_its_last_life_is_over(
    twins: Twins,
) -> None:
    worker, instance = twins.first, twins.first.instance
    assert twins.client.call(SlowCounter, "id", Add(1), timeout=PATIENCE_S) == 1
    worker.kill()
    worker.start()
    await_ready(worker)

    assert twins.client.call(SlowCounter, "id", Add(1), timeout=PATIENCE_S) == 2
    assert worker.instance == instance
    assert "seat lost" not in worker.said()
    assert "CRITICAL" not in worker.said()


def test_a_worker_that_is_stopped_is_replaced_at_once(twins: Twins) -> None:
    second = twins.second
    (second.data / second._group / "instance").unlink()  # a worker of another name
    second.start()
    await_ready(second)
    twins.first.stop()
    stopped = time.monotonic()

    until(lambda: ": ready, 8 partitions" in second.said(), "it was replaced", PATIENCE_S)
    assert time.monotonic() - stopped < SESSION_S  # for which a seat is kept that has a name


def test_of_two_workers_under_one_name_one_ends_with_one_clear_sentence(twins: Twins) -> None:
    twins.second.start()

    def one_ended() -> bool:
        for number in range(10):
            twins.client.cast(SlowCounter, f"id-{number}", Add(1))
        twins.client.flush()
        return bool(twins.ended())

    until(one_ended, "one of the two ended", PATIENCE_S, look_s=0.2)
    assert len(twins.ended()) == 1
    said = twins.first.said() + twins.second.said()
    last = [line for line in said.splitlines() if line.startswith("kstate: ")]
    assert len(last) == 1
    assert "another worker runs under the name" in last[0]
    assert said.count("seat lost") <= 2 * TWIN_TIMES, said
    assert twins.client.call(SlowCounter, "id-0", Add(1), timeout=PATIENCE_S) > 0


@pytest.fixture(scope="module")
def outcome(bootstrap: str) -> Outcome:
    return run(options_of([*ARGUMENTS.split(), "--log", f"kafka://{bootstrap}"]))


def test_workers_killed_again_and_again_lose_nothing_and_do_nothing_twice(
    outcome: Outcome,
) -> None:
    # one that comes back waits until the broker has given its last life up, and is no sooner
    assert [each for each in outcome.wrong if not each.startswith("late: ")] == []
    assert len(outcome.kills) == KILLS
    assert all(kill.stored for kill in outcome.kills)


def test_the_partitions_of_a_killed_worker_wait_no_longer_than_its_session(
    outcome: Outcome,
) -> None:
    assert {each.what for each in outcome.waits} > {AWAY}
    assert max(each.seconds for each in outcome.waits) <= TAKEN_OVER_S
