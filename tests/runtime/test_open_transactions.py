"""Open transactions on Kafka: those of dead workers are ended, others are waited for and named."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from counter import Add, AddAndFail, Counter
from runtime_tools import add
from world import PATIENCE_S, World

from kstate import CommandFailed
from kstate.core.letters import living
from kstate.core.messages import Erase, Progress
from kstate.core.partition import partition_for
from kstate.errors import LogError
from kstate.log.port import Committed
from kstate.wiring import open_log

TRANSACTION_TIMEOUT_MS = 60_000
"""Much longer than a takeover may take here: what ends a transaction sooner is not its timeout."""


@pytest.fixture
def url(bootstrap: str) -> str:
    """A Kafka whose transactions may be open for long."""
    return f"kafka://{bootstrap}?transaction.timeout.ms={TRANSACTION_TIMEOUT_MS}"


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kstate")


@contextmanager
def left_open(
    world: World, bootstrap: str, instance: str, *, records: bool, progress: bool
) -> Iterator[None]:
    """A transaction that touches partition 0, as a worker of that name leaves one."""
    topics = world.topics(Counter)
    servers = {"bootstrap.servers": bootstrap}
    timeout = {"transaction.timeout.ms": TRANSACTION_TIMEOUT_MS}
    producer = Producer({**servers, **timeout, "transactional.id": instance})
    producer.init_transactions()
    producer.begin_transaction()
    if records:
        producer.produce(topics.journal, b"open", b"k", 0)
    if progress:
        consumer = Consumer({**servers, "group.id": topics.group})
        metadata = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction([TopicPartition(topics.commands, 0, 99)], metadata)
        consumer.close()
    producer.flush()
    yield
    producer.purge()


def sign(world: World, *names: str) -> None:
    """Lets each partition's progress be what somebody of that name wrote."""
    topics = world.topics(Counter)
    log = open_log(world.url)
    member = log.join(topics.group, topics.commands, f"{world.prefix}signing")
    try:
        owned: set[int] = set()

        def all_owned() -> bool:
            owned.update(each.partition for each in member.poll(1, 0.05).assigned)
            return len(owned) == len(names)

        world.until(all_owned, "the partitions came")
        done = {}
        for number, name in enumerate(names):
            found = member.committed(number)
            parsed = found and Progress.parse(*found)
            progress = parsed[0] if parsed else Progress(0, 0, -1, 0)
            done[number] = Committed(progress.offset, progress.metadata(name))
        member.commit([], done)
    finally:
        member.close()
        log.close()


def move(world: World, name: str) -> None:
    """The next worker runs elsewhere, and so under another name."""
    world.data = world.data.parent / name


def test_a_worker_killed_in_its_first_transaction_on_a_partition_keeps_nobody_waiting(
    world: World, tmp_path: Path
) -> None:
    world.run(Counter, partitions=1)
    add(world, 3, ids=1)
    world.stop()
    program = Path(__file__).parent / "held_worker.py"
    arguments = [world.url, world.prefix, str(tmp_path / "second")]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen([sys.executable, str(program), *arguments], env=path)
    try:
        world.cast(Counter, "id-0", Add(1))
        assert killed.wait(PATIENCE_S) == -signal.SIGKILL
    finally:
        killed.kill()
        killed.wait()
    began = time.monotonic()
    move(world, "third")
    world.run(Counter, partitions=1)
    assert world.call(Counter, "id-0", Add(1)) == 5
    assert time.monotonic() - began < TRANSACTION_TIMEOUT_MS / 1000 / 2


@pytest.mark.parametrize(
    ("records", "progress"), [(True, False), (False, True)], ids=["records", "progress"]
)
@pytest.mark.parametrize("names", [("gone", "before"), ("before", "gone")], ids=["here", "there"])
def test_what_a_dead_worker_left_open_is_ended_whichever_partition_names_it(
    world: World, bootstrap: str, names: tuple[str, str], records: bool, progress: bool
) -> None:
    world.run(Counter, partitions=2)
    add(world, 10, ids=5)
    world.stop()
    sign(world, *(f"{world.prefix}{name}" for name in names))
    with left_open(world, bootstrap, f"{world.prefix}gone", records=records, progress=progress):
        began = time.monotonic()
        world.run(Counter, partitions=2)
        assert [world.call(Counter, f"id-{n}", Add(1)) for n in range(5)] == [3] * 5
        assert time.monotonic() - began < TRANSACTION_TIMEOUT_MS / 1000 / 2


def test_a_transaction_of_a_stranger_on_the_journal_is_named_when_it_does_not_end(
    world: World, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.recovery.STALL_S", 1.0)
    world.run(Counter, partitions=1)
    add(world, 3)
    world.stop()
    journal = world.topics(Counter).journal
    with left_open(world, bootstrap, f"{world.prefix}odd", records=True, progress=False):
        log = open_log(world.url)
        ends = log.ends(journal)[0]
        log.close()
        assert ends.stable < ends.end
        world.run(Counter, partitions=1)
        failure = world.failure()
    assert isinstance(failure, LogError)
    assert f"{journal}:0" in str(failure)
    assert f"a transaction is open from offset {ends.stable} on" in str(failure)
    assert f"read to {ends.end}" in str(failure)


def test_a_transaction_of_a_stranger_on_the_progress_is_told_of_and_then_named(
    world: World,
    bootstrap: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("kstate.runtime.recovery.STALL_S", 3.0)
    monkeypatch.setattr("kstate.runtime.recovery.TOLD_S", 1.0)
    world.run(Counter, partitions=1)
    add(world, 3)
    world.stop()
    topics = world.topics(Counter)
    with left_open(world, bootstrap, f"{world.prefix}odd", records=False, progress=True):
        world.run(Counter, partitions=1)
        failure = world.failure()
    assert isinstance(failure, LogError)
    for text in (f"{topics.commands}:0", topics.group, "a transaction is open"):
        assert text in str(failure)
    told = [each for each in caplog.messages if "is waited for" in each]
    assert len(told) == 1
    assert f"{topics.commands}:0" in told[0]
    assert topics.group in told[0]


# -- in the dead letters ---------------------------------------------------------------------------


def test_an_erasure_waits_for_one_in_the_dead_letters_and_other_partitions_go_on(
    world: World, bootstrap: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Counter, partitions=2)
    with pytest.raises(CommandFailed):
        world.call(Counter, "a", AddAndFail(1))
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{world.prefix}odd"})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(world.topics(Counter).dead_letters, b"open", b"k", partition_for(b"a", 2))
    producer.flush()
    command_id = world.cast(Counter, "a", Erase())
    waits = "waits: an entity is erased, and a transaction is open"
    world.until(lambda: waits in caplog.text, "the partition was held")
    others = (f"b-{number}" for number in range(20))
    other = next(e for e in others if partition_for(e.encode(), 2) != partition_for(b"a", 2))
    assert world.call(Counter, other, Add(1)) == 1
    producer.abort_transaction()
    erased = world.client.erase(Counter, "a", timeout=PATIENCE_S, command_id=command_id)
    assert erased == 0
    assert living(world.dead_letters(Counter)) == []
