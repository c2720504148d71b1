"""A standby keeps the stores of others' partitions warm, and hands them over when it takes one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from counter import Counter
from runtime_tools import Takeover, add, noted, tail, total
from world import LOGS, Run, World

from kstate.config import Config
from kstate.core.policy import Policy
from kstate.errors import ConfigError
from kstate.store.port import Checkpoint, PartitionStore
from kstate.wiring import build_workers, open_log, open_store

HOUR_MS = 3_600_000


@pytest.fixture(params=sorted(LOGS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """All logs, as for tests of the whole."""
    made: str = LOGS[request.param](request, tmp_path)
    return made


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kstate")


class Spare:
    """A second worker with a directory of its own, whose slices of standing by are taken here."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        self.data = world.data.parent / "spare"
        policy = Policy(max_tail=settings.pop("max_tail", 20))
        self.config = Config(
            log=world.url, prefix=world.prefix, data=self.data, policy=policy,
            **{"standby": "all", "batch_records": 10, **settings},
        )  # fmt: skip
        self.log = open_log(world.url)
        (self.worker,) = build_workers(self.config, self.log, [Counter], world.clock)
        self.partitions = self.worker.partitions
        self.run: Run | None = None

    def slice(self) -> None:
        """A short one."""
        self.partitions.stand_by(0.0, idle=True)

    def follow(self, count: int = 1) -> None:
        """Stands by until so many partitions have all that is there."""
        ends = self.log.ends(self.world.topics(Counter).snapshots)

        def caught_up() -> bool:
            self.slice()
            reached = self.partitions.standing_by
            return len(reached) == count and all(
                offset >= ends[number].stable for number, offset in reached.items()
            )

        self.world.until(caught_up, "the standby has what is there")

    def take_over(self) -> None:
        """The worker takes its seat, and answers."""
        self.world.stop()
        self.run = Run(self.log, [self.worker])
        self.world.until(self.worker.ready.is_set, "the spare is ready")

    def store(self, number: int = 0) -> PartitionStore:
        """The store on disk, while nobody has it open."""
        store = open_store("sqlitedict", self.data / self.world.topics(Counter).group / "0/store")
        return store.open(self.world.topics(Counter).snapshots, number)

    def close(self) -> None:
        """Stops the worker, which must not have failed, and leaves."""
        run, self.run = self.run, None
        failure = None if run is None else run.stop()
        self.partitions.close()
        if run is None:
            self.worker.give_up()
            self.log.close()
        if failure is not None:
            raise failure


@pytest.fixture
def spares() -> Iterator[list[Spare]]:
    """Closed in the end."""
    made: list[Spare] = []
    yield made
    for spare in made:
        spare.close()


def held(world: World, below: int) -> dict[bytes, bytes]:
    """What the snapshots topic comes to, up to an offset."""
    found: dict[bytes, bytes] = {}
    for record in world.snapshots(Counter):
        assert record.key is not None
        if record.offset < below and record.value is not None:
            found[record.key] = record.value
        elif record.offset < below:
            found.pop(record.key, None)
    return found


# -- a takeover ----------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sqlitedict", "rocksdb", "memory"])
def test_a_takeover_by_a_standby_reads_no_snapshot_that_it_followed(
    world: World, caplog: pytest.LogCaptureFixture, spares: list[Spare], store: str
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    noted(world)
    spares.append(spare := Spare(world, store=store))
    spare.follow()
    expected = tail(world)
    spare.take_over()
    assert Takeover(caplog).records_read == expected
    total(world, 100)


def test_a_takeover_by_a_standby_reads_the_snapshots_that_were_written_since(
    world: World, caplog: pytest.LogCaptureFixture, spares: list[Spare]
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 60)
    noted(world)
    spares.append(spare := Spare(world))
    spare.follow()
    before = len(world.snapshots(Counter) + world.checkpoints(Counter))
    add(world, 60)
    noted(world)
    since = len(world.snapshots(Counter) + world.checkpoints(Counter)) - before
    assert since
    expected = tail(world) + since
    spare.take_over()
    assert Takeover(caplog).records_read == expected
    total(world, 120)


def test_the_store_of_a_partition_that_was_lost_goes_on_as_a_standby(
    world: World, spares: list[Spare]
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 60)
    world.stop()
    spares.append(spare := Spare(world, store="memory"))  # which forgets what is closed
    with closing(spare.worker.turns()) as turns:
        world.until(lambda: next(turns) or spare.worker.ready.is_set(), "the spare is ready")
        spare.partitions.lose(0)
        spare.slice()
        assert spare.partitions.standing_by[0] > world.snapshots(Counter)[-1].offset


def test_until_a_takeover_is_over_nothing_else_is_followed(
    world: World, spares: list[Spare]
) -> None:
    world.run(Counter, partitions=2)
    add(world, 10)
    spares.append(spare := Spare(world))
    spare.follow(2)
    spare.take_over()
    assert spare.partitions.standing_by == {}


def test_a_worker_with_nothing_to_do_follows_by_itself(world: World, spares: list[Spare]) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 60)
    spares.append(spare := Spare(world))
    newest = world.snapshots(Counter)[-1].offset
    with closing(spare.worker.turns()) as turns:
        reached = spare.partitions
        world.until(
            lambda: next(turns) or reached.standing_by.get(0, 0) > newest, "it followed to the end"
        )


def test_a_worker_that_leaves_releases_the_stores_it_followed(
    world: World, spares: list[Spare]
) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    spares.append(spare := Spare(world))
    spare.follow()
    with closing(spare.worker.turns()) as turns:
        next(turns)
    spare.store().close()  # in use it could not be opened


# -- what a store holds --------------------------------------------------------------------------


def test_a_store_holds_what_its_checkpoint_says_after_every_slice(
    world: World, spares: list[Spare], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.standby.CHUNK", 3)
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    stores: list[PartitionStore] = []
    spares.append(spare := Spare(world))
    real = spare.partitions._standby._open_store
    spare.partitions._standby._open_store = lambda n: stores.append(real(n)) or stores[-1]  # type: ignore[func-returns-value]
    offsets = set()

    def moved() -> bool:
        spare.slice()
        checkpoint = stores[0].checkpoint() if stores else None
        if checkpoint is None:
            return False
        assert dict(stores[0].items()) == held(world, checkpoint.snapshots_offset)
        offsets.add(checkpoint.snapshots_offset)
        return held(world, checkpoint.snapshots_offset) == held(world, 2**60)

    world.until(moved, "the store has all")
    assert len(offsets) > 1


def test_a_store_that_was_emptied_while_it_was_away_is_filled_from_the_start(
    world: World, spares: list[Spare]
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 10, ids=10)
    add(world, 60, ids=1)  # so that the others have their snapshots
    spares.append(spare := Spare(world))
    spare.follow()
    standby = spare.partitions._standby
    store = standby.release(0)
    assert store is not None
    store.clear()  # as a takeover does that cannot use it, and then loses the partition
    standby.adopt(0, store)
    add(world, 30, ids=1)
    spare.follow()
    checkpoint = store.checkpoint()
    assert checkpoint is not None
    assert dict(store.items()) == held(world, checkpoint.snapshots_offset)


def test_a_snapshot_that_is_deleted_leaves_the_store(world: World, spares: list[Spare]) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    topic = world.topics(Counter).snapshots
    spares.append(spare := Spare(world))
    spare.follow()
    world.produce(Counter, None, key=b"id-0", partition=0, topic=topic)
    spare.follow()
    spares.remove(spare)
    spare.close()
    store = spare.store()
    assert b"id-0" not in dict(store.items())
    assert store.count() == 2
    store.close()


def test_a_store_that_lacks_something_does_not_pass_for_newer_than_it_was(
    world: World, spares: list[Spare], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    spare = Spare(world)
    spare.follow()
    spare.close()
    store = spare.store()
    before = store.checkpoint()
    assert before is not None
    older = before._replace(snapshots_offset=0, at=before.at - 2 * HOUR_MS)
    store.apply({}, older)
    store.close()
    monkeypatch.setattr("kstate.runtime.standby.CHUNK", 1)
    monkeypatch.setattr("kstate.runtime.standby.RENEWAL_MS", 2**60)
    spares.append(spare := Spare(world))
    world.until(lambda: _some(spare), "something was read")
    spares.remove(spare)
    spare.close()
    store = spare.store()
    after = store.checkpoint()
    store.close()
    assert after is not None
    assert after.snapshots_offset > 0
    assert after.at == older.at


def _some(spare: Spare) -> bool:
    spare.slice()
    return any(spare.partitions.standing_by.values())


def test_a_store_that_lacks_nothing_is_as_new_as_can_be(world: World, spares: list[Spare]) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 100)
    spares.append(spare := Spare(world))
    spare.follow()
    began = _checkpoint(spare).at
    world.clock.advance(2 * 3600)
    world.until(lambda: _newer(spare, began), "its age was renewed")


def _checkpoint(spare: Spare) -> Checkpoint:
    return spare.partitions._standby._followed[0].snapshots.reached


def _newer(spare: Spare, than_ms: int) -> bool:
    spare.slice()
    return _checkpoint(spare).at >= than_ms + HOUR_MS


# -- how many, and what goes wrong ---------------------------------------------------------------


def test_no_more_partitions_are_followed_than_asked_for(world: World, spares: list[Spare]) -> None:
    world.run(Counter, partitions=4)
    add(world, 20, ids=8)
    spares.append(spare := Spare(world, standby="2"))
    spare.follow(2)
    for _ in range(5):
        spare.slice()
    assert len(spare.partitions.standing_by) == 2


def test_without_the_setting_nothing_is_followed(world: World, spares: list[Spare]) -> None:
    world.run(Counter, partitions=1)
    add(world, 1)
    spares.append(spare := Spare(world, standby="0"))
    spare.slice()
    assert spare.partitions.standing_by == {}
    assert not list(spare.data.glob("*/0/store"))


def test_a_store_that_cannot_be_used_ends_the_standby_of_its_partition_alone(
    world: World, caplog: pytest.LogCaptureFixture, spares: list[Spare]
) -> None:
    world.run(Counter, partitions=2)
    add(world, 10)
    spares.append(spare := Spare(world))
    with closing(spare.store(1)):  # somebody else has it open
        spare.follow(1)
        for _ in range(3):
            spare.slice()
        assert list(spare.partitions.standing_by) == [0]
    told = [message for message in caplog.messages if "is followed no longer" in message]
    assert len(told) == 1
    assert "in use" in told[0]


@pytest.mark.parametrize("value", ["some", "-1", "1.5", ""])
def test_a_standby_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="standby"):
        Config(standby=value)
