"""The judge of local stores finds what is wrong with one, and knows what a recovery may leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from chaos_checks import StoreJudge, vacuous
from crash_evidence import Schemas, read_evidence, read_snapshots
from crash_model import Model
from world import World

from kstate.config import Config
from kstate.core.messages import Record
from kstate.log.port import Log
from kstate.store.port import Checkpoint
from kstate.store.sqlitedict import SqliteDictStore
from kstate.wiring import build_workers, open_log
from processors.bank import Bank, Deposit

KEY = b"acct-1"


class Scene:
    """A worker's store and topics, with two snapshots of one account."""

    def __init__(self, world: World, log: Log, path: Path) -> None:
        self.path = path
        self.topics = world.topics(Bank)
        self.log = log
        self.snapshots = read_snapshots(self.log, self.topics)
        self.model = Model()
        self.model.run_all(read_evidence(self.log, self.topics).commands)

    def tamper(self, changes: Mapping[bytes, bytes | None], end: int) -> None:
        """Changes the store, and how far it says to reflect the snapshots topic."""
        partition = SqliteDictStore(self.path.parent).open(self.topics.snapshots, 0)
        checkpoint = partition.checkpoint()
        assert isinstance(checkpoint, Checkpoint)
        partition.apply(changes, checkpoint._replace(snapshots_offset=end))
        partition.close()

    def judge(self, records: list[Record] | None = None) -> StoreJudge:
        """Whoever judges the store; ``records``: of the snapshots topic."""
        schemas = Schemas(self.log, self.topics)
        return StoreJudge(self.snapshots if records is None else records, schemas, self.model)

    def found(self, records: list[Record] | None = None) -> list[str]:
        """What the judge says of the store."""
        judge = self.judge(records)
        return list(judge.violations(self.path, self.topics.snapshots, corrupted=False))


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    world.run(Bank, partitions=1)
    for _ in range(2):
        for _ in range(Bank.snapshot_every):
            world.cast(Bank, KEY.decode(), Deposit(1))
        world.settled(Bank)
    world.stop()
    (path,) = world.data.rglob("*.sqlite")
    with closing(open_log(world.url)) as log:
        made = Scene(world, log, path)
        assert len(made.snapshots) >= 2
        yield made


def followed(scene: Scene, world: World) -> Path:
    """The store of a second worker, which has followed the first one's snapshots to their end."""
    config = Config(log=world.url, prefix=world.prefix, data=world.data / "other", standby="all")
    with closing(open_log(world.url)) as log:
        (worker,) = build_workers(config, log, [Bank], world.clock)
        newest = scene.snapshots[-1].offset
        try:
            world.until(
                lambda: (
                    worker.partitions.stand_by(0.0, idle=True)
                    or worker.partitions.standing_by.get(0, 0) > newest
                ),
                "the standby has what is there",
            )
        finally:
            worker.partitions.close()
    (path,) = (world.data / "other").rglob("*.sqlite")
    return path


@pytest.mark.parametrize("url", ["embedded"], indirect=True)
class TestJudge:
    def test_a_store_as_its_worker_left_it_is_right(self, scene: Scene) -> None:
        assert scene.found() == []

    def test_a_store_that_misses_a_snapshot_is_found(self, scene: Scene) -> None:
        scene.tamper({KEY: None}, scene.snapshots[-1].offset + 1)
        assert "has another" in scene.found()[0]

    def test_a_store_that_is_behind_its_checkpoint_is_found(self, scene: Scene) -> None:
        older = scene.snapshots[0]
        scene.tamper({KEY: older.value}, scene.snapshots[-1].offset + 1)
        assert "has another" in scene.found()[0]

    def test_a_store_may_be_ahead_of_its_checkpoint(self, scene: Scene) -> None:
        scene.tamper({}, scene.snapshots[-1].offset)
        assert scene.found() == []

    def test_one_that_holds_what_the_topic_never_had_is_found(self, scene: Scene) -> None:
        scene.tamper({KEY: scene.snapshots[-1].value}, scene.snapshots[-1].offset)
        assert "has another" in scene.found(scene.snapshots[:-1])[0]

    def test_one_with_a_snapshot_of_another_partition_is_found(self, scene: Scene) -> None:
        elsewhere = [each._replace(partition=1) for each in scene.snapshots]
        assert "has not in its partition" in scene.found(elsewhere)[0]

    def test_a_standby_store_is_judged_and_counted(self, scene: Scene, world: World) -> None:
        path, judge = followed(scene, world), scene.judge()
        assert list(judge.violations(path, scene.topics.snapshots, False, standby=True)) == []
        assert judge.standby_snapshots == judge.snapshots == 1
        assert list(judge.violations(scene.path, scene.topics.snapshots, False)) == []
        assert (judge.standby_snapshots, judge.snapshots) == (1, 2)

    def test_a_standby_store_that_does_not_agree_is_found(self, scene: Scene, world: World) -> None:
        scene.path = followed(scene, world)
        scene.tamper({KEY: scene.snapshots[0].value}, scene.snapshots[-1].offset + 1)
        found = list(
            scene.judge().violations(scene.path, scene.topics.snapshots, False, standby=True)
        )
        assert found[0].startswith("standby store: ")
        assert "has another" in found[0]

    def test_a_run_without_a_snapshot_in_a_standby_store_is_vacuous(self, scene: Scene) -> None:
        judge = scene.judge()
        lacking = "vacuous: no standby store held a snapshot"
        assert list(judge.violations(scene.path, scene.topics.snapshots, False)) == []
        assert lacking in vacuous(Counter(), scene.model, judge)
        assert list(judge.violations(scene.path, scene.topics.snapshots, False, True)) == []
        assert lacking not in vacuous(Counter(), scene.model, judge)

    def test_a_state_that_the_model_never_had_is_found(self, scene: Scene) -> None:
        states = scene.model.accounts[KEY.decode()].states
        states[-1] = states[0]
        assert "holds" in scene.found()[0]
