"""The embedded log among processes that die, hang and crowd."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kstate.errors import Fenced, LogUnavailable
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Committed, TopicSpec
from kstate.testing.log_world import World, write

if sys.platform == "win32":
    pytest.skip("signals and limits of Unix", allow_module_level=True)

CHILD = Path(__file__).with_name("embedded_child.py")
PER_COMMIT = 5


@contextmanager
def child(mode: str, path: Path, lease_s: float) -> Iterator["subprocess.Popen[str]"]:
    """A child process that has opened the log; killed at the end, whatever happens."""
    process = subprocess.Popen(
        [sys.executable, str(CHILD), mode, str(path), str(lease_s)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert next_line(process) == "ready"
            yield process
        finally:
            process.kill()


def next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def rest_of(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.read().split()


def stop(process: "subprocess.Popen[str]", path: Path, *, inside: bool) -> None:
    """Stops the process at a moment when it is, or is not, inside a write transaction.

    SQLite's lock belongs to whoever is inside, and a stopped process keeps it.
    """
    probe = EmbeddedLog(path, busy_timeout_s=0.05)
    try:
        while True:
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            try:
                probe.create_topics([])
                stopped_inside = False
            except LogUnavailable:
                stopped_inside = True
            if stopped_inside == inside:
                return
            process.send_signal(signal.SIGCONT)
            next_line(process)
    finally:
        probe.close()


def open_world(path: Path, lease_s: float) -> World:
    world = World(lambda: EmbeddedLog(path, lease_s=lease_s), 30.0)
    world.log.create_topics(
        [TopicSpec("commands", 1, "delete"), TopicSpec("journal", 2, "compact")]
    )
    return world


def committed_by_children(world: World) -> Counter[int]:
    """How many records there are of each numbered commit."""
    return Counter(int(record.key or b"0") for record in world.read("journal"))


@pytest.mark.parametrize("commits", [1, 25, 120])
def test_a_killed_owner_leaves_whole_transactions_and_is_replaced_without_its_lease_running_out(
    tmp_path: Path, commits: int
) -> None:
    path = tmp_path / "log.db"
    world = open_world(path, lease_s=600.0)
    standby = world.join("g", "commands", "standby")
    with child("own", path, 600.0) as owner:
        for n in range(1, commits + 1):
            assert next_line(owner) == str(n)
        owner.send_signal(signal.SIGKILL)
        told = [*range(1, commits + 1), *map(int, rest_of(owner))]
    world.settle([standby], "commands")
    progress = standby.member.committed(0)
    assert progress is not None
    # The last commit may be in the log without the child having told of it.
    assert progress.offset in (told[-1], told[-1] + 1)
    assert committed_by_children(world) == dict.fromkeys(range(1, progress.offset + 1), PER_COMMIT)
    standby.member.commit([], {0: Committed(progress.offset + 1, "")})
    world.close()


def test_a_stopped_owner_is_replaced_after_its_lease_and_writes_nothing_when_it_goes_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    world = open_world(path, lease_s=1.0)
    with child("work", path, 1.0) as owner:
        assert next_line(owner) == "1"
        standby = world.join("g", "commands", "standby")
        for _ in range(5):
            standby.poll()
        assert not standby.assigned
        stop(owner, path, inside=False)
        world.settle([standby], "commands")
        progress = standby.member.committed(0)
        before = world.read("journal")
        assert progress is not None
        assert committed_by_children(world) == dict.fromkeys(
            range(1, progress.offset + 1), PER_COMMIT
        )
        owner.send_signal(signal.SIGCONT)
        assert rest_of(owner)[-1] == "Fenced"
        assert owner.wait() == Fenced.exit_code
        assert world.read("journal") == before
    assert standby.member.committed(0) == progress
    standby.member.commit([write("journal", 0, b"mine")], {0: Committed(1, "")})
    world.close()


def test_an_owner_stopped_inside_a_transaction_holds_up_the_others_until_it_dies(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    world = open_world(path, lease_s=0.5)
    patient = EmbeddedLog(path, lease_s=0.5, busy_timeout_s=0.1)
    standby = world.join("g", "commands", "standby", patient)
    with child("own", path, 0.5) as owner:
        assert next_line(owner) == "1"
        stop(owner, path, inside=True)
        before = world.read("journal")

        def held_up() -> bool:
            try:
                standby.poll()
            except LogUnavailable:
                return True
            return False

        world.until(held_up, "the standby found the log locked")
        assert not standby.assigned
        assert world.read("journal") == before
        owner.kill()
        owner.wait()
        world.settle([standby], "commands")
        assert len(world.read("journal")) in (len(before), len(before) + PER_COMMIT)
    world.close()
    patient.close()


def test_processes_that_write_at_once_lose_and_repeat_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    world = open_world(path, lease_s=30.0)
    seat = world.owner("g", "commands")
    seat.member.start(0, 0)
    with child("produce", path, 30.0) as one, child("produce", path, 30.0) as other:

        def process_some() -> bool:
            records = seat.poll().records
            writes = [write("journal", 0, record.value) for record in records]
            seat.member.commit(writes, {0: Committed(len(seat.records), "")})
            return len(seat.records) >= 600

        world.until(process_some, "all that was produced was processed")
        assert (rest_of(one), rest_of(other)) == (["done"], ["done"])
    expected = Counter({b"%d" % n: 2 for n in range(300)})
    assert Counter(world.values("commands")) == expected
    assert world.values("journal") == world.values("commands")
    world.close()


def test_a_disk_that_fills_during_a_commit_leaves_a_log_of_whole_transactions(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    world = open_world(path, lease_s=30.0)
    with child("fill", path, 30.0) as process:
        *told, error = rest_of(process)
    assert error in ("OutcomeUnknown", "TransactionAborted")
    seat = world.owner("g", "commands")
    progress = seat.member.committed(0)
    assert progress is not None
    assert progress.offset in (int(told[-1]), int(told[-1]) + 1)
    assert committed_by_children(world) == dict.fromkeys(range(1, progress.offset + 1), PER_COMMIT)
    seat.member.commit([write("journal", 0, bytes(500_000))], {0: Committed(99, "")})
    world.close()
