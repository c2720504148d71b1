"""What tells one cluster from another, and a processor that meets another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from counter import Add, Counter
from world import World

from kstate.errors import TopicError
from kstate.log.embedded import EmbeddedLog
from kstate.log.kafka import KafkaLog
from kstate.log.kafka_admin import KafkaAdmin
from kstate.runtime.schema_topic import META_KEY
from kstate.testing.broker import administrator


def meta(world: World) -> dict[str, Any]:
    records = world.read(world.topics(Counter).schemas)
    found: dict[str, Any] = json.loads([r.value for r in records if r.key == META_KEY][-1] or b"")
    return found


def write_meta(world: World, **changes: Any) -> None:
    changed = {name: value for name, value in (meta(world) | changes).items() if value is not None}
    topic = world.topics(Counter).schemas
    world.produce(Counter, json.dumps(changed).encode(), key=META_KEY, partition=0, topic=topic)


def test_kafkas_is_the_id_of_the_cluster(bootstrap: str) -> None:
    admin = administrator(bootstrap)  # its answers go with it
    told = admin.describe_cluster().result(30).cluster_id
    assert told
    assert KafkaLog(bootstrap).identity() == told


def test_it_is_asked_for_once_at_most(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    real = KafkaAdmin._metadata

    def metadata(self: KafkaAdmin, topic: str | None = None) -> Any:
        asked.append(topic)
        return real(self, topic)

    monkeypatch.setattr(KafkaAdmin, "_metadata", metadata)
    log = KafkaLog(bootstrap)
    log.topics(["no-such-topic"])
    assert asked == ["no-such-topic"]
    assert log.identity() == log.identity() != ""
    assert asked == ["no-such-topic"]


def test_the_embedded_log_has_none(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.db")
    assert log.identity() == ""
    log.close()


def test_the_meta_record_bears_it(world: World) -> None:
    world.run(Counter)
    assert meta(world)["cluster"] == world._logs.log.identity()


def test_a_processor_of_another_cluster_is_refused_with_a_cure_of_its_own(world: World) -> None:
    world.run(Counter, partitions=2)
    world.stop()
    here = world._logs.log.identity()
    write_meta(world, cluster="another", topics={}, partitions=5)
    with pytest.raises(TopicError) as refused:
        world.run(Counter, partitions=2)
    told = str(refused.value)
    if not here:  # nothing to compare with: the topics tell
        assert "was deleted and created anew" in told
        return
    assert told == (
        f"{world.topics(Counter).schemas} tells of a processor that began on the cluster another, "
        f"and this is {here}: is the log's URL the right one? A processor moves by kstate export "
        "and kstate import"
    )


@pytest.mark.parametrize("cluster", [None, ""])
def test_a_meta_record_without_it_is_not_compared(world: World, cluster: str | None) -> None:
    world.run(Counter)
    world.stop()
    write_meta(world, cluster=cluster)
    world.run(Counter)
    assert world.call(Counter, "a", Add(1)) == 1


def test_a_topic_that_is_lost_on_kafka_stops_the_start(bootstrap: str, tmp_path: Path) -> None:
    world = World(f"kafka://{bootstrap}", tmp_path)
    try:
        world.run(Counter)
        assert world.call(Counter, "a", Add(1)) == 1
        world.stop()
        schemas = world.topics(Counter).schemas
        admin = administrator(bootstrap)
        admin.delete_topics([schemas])[schemas].result(30)
        log = world._logs.log
        world.until(lambda: not log.topics([schemas]), "the topic was deleted")
        with pytest.raises(TopicError, match=f"^{schemas} is missing, but .*journal has had rec"):
            world.run(Counter)
        assert not log.topics([schemas])
    finally:
        world.close()
