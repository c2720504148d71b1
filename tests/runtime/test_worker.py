"""The worker's loop: what goes wrong outside, and what it does then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from counter import Add, AddAndFail, Count, Counter
from runtime_tools import add, caught_up, execute, total
from world import Run, World

from kstate import Context, Processor, command
from kstate.config import Config
from kstate.errors import GivenUp, LogUnavailable, ProcessorStopped
from kstate.log.embedded_member import EmbeddedMember
from kstate.log.embedded_reader import EmbeddedReader
from kstate.runtime import patience
from kstate.runtime.patience import MAX_REBUILDS
from kstate.wiring import build_workers, open_log


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kstate")


def seqs(world: World) -> list[bytes | None]:
    return sorted(record.key or b"" for record in world.journal(Counter))


# -- transactions that fail ----------------------------------------------------------------------


def test_a_batch_that_is_aborted_runs_again_and_nothing_happens_twice(world: World) -> None:
    world.run(Counter, partitions=1)
    world.faults.abort(MAX_REBUILDS)
    assert world.call(Counter, "id-0", Add(1, times=2)) == 2
    assert world.faults.fired == ["abort"] * MAX_REBUILDS
    assert seqs(world) == [b"id-0@1", b"id-0@2"]
    assert len(world.replies(Counter)) == 1
    assert world.counts(Counter).commands == 1


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RETRY_S", 0.02)


@pytest.mark.parametrize("setting", ["batch_records", "batch_bytes"])
def test_commands_behind_an_aborted_batch_keep_their_order(world: World, setting: str) -> None:
    world.run(Counter, partitions=1)
    world.stop()
    for _ in range(9):
        world.cast(Counter, "id-0", Add(1))
    world.faults.abort(2)
    world.run(Counter, partitions=1, **{setting: 1})
    world.until(lambda: caught_up(world), "all was processed")
    assert [record.key for record in world.journal(Counter)] == [
        b"id-0@%d" % seq for seq in range(1, 10)
    ]
    sources = [dict(record.headers)["source"] for record in world.journal(Counter)]
    assert sources == [b"0:%d" % offset for offset in range(9)]


def test_a_worker_whose_batches_are_always_aborted_gives_up_and_says_why(world: World) -> None:
    world.run(Counter, partitions=1)
    world.faults.abort(MAX_REBUILDS + 1)
    world.cast(Counter, "id-0", Add(1))
    failure = world.failure()
    assert isinstance(failure, GivenUp)
    assert "failures in a row" in str(failure)
    assert "aborted on demand" in str(failure)
    assert not world.journal(Counter)


def test_a_commit_in_between_makes_the_patience_new(world: World) -> None:
    world.run(Counter, partitions=1)
    for expected in (1, 2, 3):
        world.faults.abort(MAX_REBUILDS - 1)
        assert world.call(Counter, "id-0", Add(1)) == expected


@pytest.mark.parametrize("fault", ["lose_answer", "lose_commit"])
def test_after_an_unknown_outcome_the_worker_takes_its_seat_anew_and_nothing_happens_twice(
    world: World, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    world.run(Counter, partitions=1)
    assert world.call(Counter, "id-0", Add(1)) == 1
    getattr(world.faults, fault)()
    world.cast(Counter, "id-0", Add(1))
    assert world.call(Counter, "id-0", Add(1)) == 3
    assert seqs(world) == [b"id-0@1", b"id-0@2", b"id-0@3"]
    world.until(  # the answer may be here before the worker tells
        lambda: sum("taking it anew" in message for message in caplog.messages) == 1, "it is told"
    )


def test_a_worker_that_never_learns_an_outcome_gives_up_and_says_why(world: World) -> None:
    world.run(Counter, partitions=1)
    for _ in range(MAX_REBUILDS + 1):
        world.faults.lose_commit()
    world.cast(Counter, "id-0", Add(1))
    failure = world.failure()
    assert isinstance(failure, GivenUp)
    assert f"after {MAX_REBUILDS + 1} failures in a row" in str(failure)
    assert not world.journal(Counter)


def fence(world: World) -> None:
    """Another member is said to own the partitions."""
    group = world.topics(Counter).group
    assert execute(world, "UPDATE leases SET epoch=epoch+1 WHERE grp=?", group) == 1


def test_a_fenced_worker_takes_its_seat_anew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=1)
    assert world.call(Counter, "id-0", Add(1)) == 1
    fence(world)
    assert world.call(Counter, "id-0", Add(1)) == 2
    assert any("another worker owns" in message for message in caplog.messages)
    assert seqs(world) == [b"id-0@1", b"id-0@2"]


# -- a log that is away --------------------------------------------------------------------------


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, times: int) -> Iterator[list[int]]:
    """The next calls of a method find the log away; the list tells how many did."""
    real = getattr(owner, name)
    found: list[int] = []

    def call(self: Any, *args: Any) -> Any:
        of_the_client = threading.current_thread().name.endswith(".replies")
        if len(found) < times and not of_the_client:
            found.append(len(found))
            raise LogUnavailable("gone fishing")
        return real(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, call)
        yield found


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in message for message in caplog.messages)


def test_a_log_that_is_away_is_told_once_and_waited_for(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter, partitions=1)
    assert world.call(Counter, "id-0", Add(1)) == 1
    with away(monkeypatch, EmbeddedMember, "poll", 2 * MAX_REBUILDS) as found:
        world.until(lambda: len(found) == 2 * MAX_REBUILDS, "the log was asked again")
    assert world.call(Counter, "id-0", Add(1)) == 2
    assert said(caplog, "waiting for the log: gone fishing") == 1
    assert said(caplog, "the log is back") == 1


@pytest.mark.parametrize(
    ("owner", "name"),
    [(EmbeddedReader, "poll"), (EmbeddedMember, "start"), (EmbeddedReader, "assign")],
)
def test_a_log_that_goes_away_during_a_takeover_makes_it_begin_again(
    world: World,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
) -> None:
    world.run(Counter, partitions=1)
    add(world, 6)
    with away(monkeypatch, owner, name, 2 * MAX_REBUILDS) as found:
        fence(world)
        world.until(lambda: len(found) == 2 * MAX_REBUILDS, "the log was asked again")
    total(world, 6)
    assert said(caplog, "waiting for the log") == 1


# -- readiness -----------------------------------------------------------------------------------


def test_a_worker_is_ready_when_all_its_partitions_are_and_says_so_in_a_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=3)
    assert world.worker(Counter).ready.wait(20)
    world.until(lambda: said(caplog, "counter: ready, 3 partitions") == 1, "it was said")
    assert said(caplog, " is ready after ") == 3


def test_a_worker_that_lost_its_seat_is_not_ready_before_it_has_recovered(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    with away(monkeypatch, EmbeddedReader, "poll", 10**9):
        fence(world)
        world.until(lambda: not world.worker(Counter).ready.is_set(), "the seat was lost")
        world.until(lambda: said(caplog, "waiting for the log") == 1, "it recovers")
        assert not world.worker(Counter).ready.is_set()
    assert world.worker(Counter).ready.wait(20)
    world.until(lambda: said(caplog, "counter: ready, 1 partition") == 2, "it was said again")


def test_a_worker_that_stands_by_is_not_ready(world: World) -> None:
    world.run(Counter, partitions=1)
    assert world.worker(Counter).ready.wait(20)
    standby = another(world)
    try:
        assert world.call(Counter, "id-0", Add(1)) == 1
        assert not standby.workers["counter"].ready.is_set()
        world.stop()
        assert standby.workers["counter"].ready.wait(20)
    finally:
        assert standby.stop() is None


# -- stopping ------------------------------------------------------------------------------------


class Gate(Counter):
    """Its handler waits until it may go on."""

    entered: threading.Event
    opened: threading.Event

    @command
    def add(self, ctx: Context[Count], cmd: Add) -> int:
        self.entered.set()
        assert self.opened.wait(20)
        return super().add(ctx, cmd)


@pytest.fixture
def gate() -> type[Gate]:
    Gate.entered, Gate.opened = threading.Event(), threading.Event()
    return Gate


def test_a_worker_that_is_stopped_finishes_and_commits_its_batch(
    world: World, gate: type[Gate]
) -> None:
    world.run(gate, partitions=1)
    world.stop()
    for _ in range(5):
        world.cast(Counter, "id-0", Add(1))
    world.run(gate, partitions=1)
    assert gate.entered.wait(20)
    world.worker(gate).stop()
    gate.opened.set()
    world.stop()
    assert len(world.journal(Counter)) == 5
    assert caught_up(world)


def test_a_worker_that_is_stopped_while_it_waits_for_the_log_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter, partitions=1)
    with away(monkeypatch, EmbeddedMember, "poll", 10**9) as found:
        world.until(lambda: len(found) > 2, "the log was asked")
        world.stop()


def test_what_ran_before_a_command_that_stops_the_processor_is_committed(world: World) -> None:
    class Stops(Counter):
        on_error = "stop"

    world.run(Stops, partitions=1)
    world.stop()
    for amount in (1, 2):
        world.cast(Counter, "id-0", Add(amount))
    world.produce(Counter, world.encoded(Counter, AddAndFail(9)), key=b"id-0")
    world.cast(Counter, "id-0", Add(3))
    world.run(Stops, partitions=1)
    assert isinstance(world.failure(), ProcessorStopped)
    assert seqs(world) == [b"id-0@1", b"id-0@2"]
    world.run(Counter, partitions=1)  # of which the policy is to go on
    world.until(lambda: caught_up(world), "the rest was processed")
    assert world.state(Counter, "id-0").total == 6


# -- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "sizes"),
    [
        ({"batch_records": 2}, [2, 2, 1]),
        ({"batch_bytes": 1}, [1, 1, 1, 1, 1]),
        ({}, [5]),
    ],
)
def test_a_batch_closes_by_count_and_by_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch, setting: dict[str, int], sizes: list[int]
) -> None:
    world.run(Counter, partitions=1)
    world.stop()
    for _ in range(5):
        world.cast(Counter, "id-0", Add(1))
    real, found = EmbeddedMember.commit, []

    def commit(self: EmbeddedMember, writes: Any, progress: Any) -> Any:
        found.append(sum(topic == world.topics(Counter).journal for topic, *_ in writes))
        return real(self, writes, progress)

    monkeypatch.setattr(EmbeddedMember, "commit", commit)
    world.run(Counter, partitions=1, batch_ms=10_000, **setting)
    world.until(lambda: caught_up(world), "all was processed")
    assert [size for size in found if size] == sizes


# -- two workers ---------------------------------------------------------------------------------


def another(world: World, processor: type[Processor[Any]] = Counter) -> Run:
    """A second worker on the same data directory."""
    log = open_log(world.url)
    config = Config(log=world.url, prefix=world.prefix, data=world.data, partitions=1)
    return Run(log, build_workers(config, log, [processor], world.clock))


def test_a_second_worker_stands_by_and_takes_over_when_the_first_is_stopped(world: World) -> None:
    world.run(Counter, partitions=1)
    assert world.call(Counter, "id-0", Add(1)) == 1
    standby = another(world)
    try:
        assert world.call(Counter, "id-0", Add(1)) == 2
        assert standby.workers["counter"].counts.commands == 0
        world.stop()
        assert world.call(Counter, "id-0", Add(1)) == 3
        worker = standby.workers["counter"]
        world.until(lambda: worker.counts.commands == 1, "the one it ran is counted")
    finally:
        assert standby.stop() is None
    assert seqs(world) == [b"id-0@1", b"id-0@2", b"id-0@3"]


def test_a_second_worker_takes_over_when_the_first_is_killed(world: World) -> None:
    world.run(Counter, partitions=1)
    assert world.call(Counter, "id-0", Add(1)) == 1
    standby = another(world)
    try:
        world.faults.kill_after_commit()
        world.cast(Counter, "id-0", Add(1))
        world.killed()
        assert world.call(Counter, "id-0", Add(1)) == 3
    finally:
        assert standby.stop() is None
    assert seqs(world) == [b"id-0@1", b"id-0@2", b"id-0@3"]
