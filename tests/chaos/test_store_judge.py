"""The judge of local stores finds what is wrong with one, and knows what a recovery may leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from chaos_checks import StoreJudge
from crash_evidence import Schemas, read_evidence, read_snapshots
from crash_model import Model
from world import World

from kstate.core.messages import Record
from kstate.log.port import Log
from kstate.store.port import Checkpoint
from kstate.store.sqlitedict import SqliteDictStore
from kstate.wiring import open_log
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

    def found(self, records: list[Record] | None = None) -> list[str]:
        """What the judge says of the store; ``records``: of the snapshots topic."""
        schemas = Schemas(self.log, self.topics)
        judge = StoreJudge(self.snapshots if records is None else records, schemas, self.model)
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

    def test_a_state_that_the_model_never_had_is_found(self, scene: Scene) -> None:
        states = scene.model.accounts[KEY.decode()].states
        states[-1] = states[0]
        assert "holds" in scene.found()[0]
