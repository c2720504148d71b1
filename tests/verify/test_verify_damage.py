"""Each kind of damage is planted, and found where it is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer
from counter import Added, Count, Counter
from damaging import PARTITIONS, Scene, place

from kstate import event
from kstate.core.messages import Deleted, Progress
from kstate.core.topics import CHECKPOINT_KEY


@dataclass(frozen=True)
class Adjusted:
    """An event of older code."""

    why: str


def test_a_gap(scene: Scene) -> None:
    scene.written(a=2)
    offset = scene.event("a", 4)
    found = scene.damage()
    assert place(found) == ("gap", scene.partition("a"), offset, "a", 4)
    assert found.topic == scene.topics.journal
    assert "the event 3 is missing; workers refuse" in found.sentence


def test_a_gap_behind_which_a_snapshot_stands_does_not_stop_workers(scene: Scene) -> None:
    scene.written(a=2)
    offset = scene.event("a", 5)
    scene.snapshot("a", 5, 5)
    found = scene.damage()
    assert place(found) == ("gap", scene.partition("a"), offset, "a", 5)
    assert "the events 3 to 4 are missing; a snapshot at seq 5 stands for" in found.sentence


def test_a_beginning_that_is_gone_with_no_snapshot_for_it(scene: Scene) -> None:
    scene.written(a=2)
    offset = scene.event("b", 3)
    found = scene.damage()
    assert place(found) == ("gap", scene.partition("b"), offset, "b", 3)
    assert "there is no snapshot" in found.sentence


def test_a_beginning_that_is_gone_with_a_snapshot_that_does_not_reach_it(scene: Scene) -> None:
    scene.written(a=2)
    offset = scene.event("b", 5)
    scene.snapshot("b", 3, 3)
    found = scene.damage()
    assert place(found) == ("gap", scene.partition("b"), offset, "b", 5)
    assert "the newest snapshot is at seq 3" in found.sentence


def test_a_duplicate(scene: Scene) -> None:
    scene.written(a=3)
    offset = scene.event("a", 2)
    found = scene.damage()
    assert place(found) == ("duplicate", scene.partition("a"), offset, "a", 2)


def test_events_in_another_order(scene: Scene) -> None:
    scene.written(a=1)
    scene.event("a", 3)
    offset = scene.event("a", 2)
    scene.event("a", 4)
    found = scene.damage()
    assert place(found) == ("order", scene.partition("a"), offset, "a", 2)
    assert "behind a later one, 3 at offset" in found.sentence


def test_a_snapshot_that_is_not_what_the_events_make(scene: Scene) -> None:
    scene.written(a=3)
    offset = scene.snapshot("a", 2, 77)
    (found,) = scene.findings()
    assert place(found) == ("snapshot", scene.partition("a"), offset, "a", 2)
    assert found.topic == scene.topics.snapshots
    assert scene.findings(code=None) == []  # without the code nothing can tell


def test_a_wrong_snapshot_behind_which_events_were_removed(scene: Scene) -> None:
    scene.written(a=3)
    scene.snapshot("a", 3, 77, removed=1)
    scene.event("a", 1, None)
    assert [each.kind for each in scene.findings()] == ["snapshot"]


def test_a_snapshot_that_says_deleted_of_an_entity_that_is_not(scene: Scene) -> None:
    scene.written(a=3)
    scene.snapshot("a", 3, 0, state=None, deleted=True)
    (found,) = scene.findings()
    assert found.kind == "snapshot"


def test_a_snapshot_that_says_nothing_of_a_deletion(scene: Scene) -> None:
    scene.written(a=1)
    scene.event("a", 2, scene.codec.encode_event(Deleted()))
    scene.snapshot("a", 2, 0, state=Count())
    (found,) = scene.findings()
    assert (found.kind, found.persist_id, found.seq) == ("snapshot", "a", 2)


def test_a_beginning_that_is_gone_with_a_snapshot_that_was_removed(scene: Scene) -> None:
    scene.prepared()
    scene.snapshot("a", 3, 3, removed=3)
    scene.event("a", 4)
    assert scene.findings() == []
    scene.record(scene.topics.snapshots, scene.partition("a"), b"a", None)
    assert scene.damage().kind == "gap"


def test_a_snapshot_beyond_the_end_of_the_journal(scene: Scene) -> None:
    scene.written(a=3)
    scene.snapshot("a", 9, 9)
    found = scene.damage()
    assert (found.kind, found.persist_id, found.seq) == ("snapshot", "a", 3)
    assert "the newest event is 3, but the newest snapshot is at seq 9" in found.sentence


def test_an_unknown_schema(scene: Scene) -> None:
    scene.written(a=1)
    offset = scene.event("a", 2, b"\xc3\x01unheard!\x02")
    found = scene.damage()
    assert place(found) == ("schema", scene.partition("a"), offset, "a", 2)
    assert b"unheard!".hex() in found.sentence


def test_a_truncated_value(scene: Scene) -> None:
    scene.written(a=1)
    whole: bytes = scene.codec.encode_event(Added(100_000))
    offset = scene.event("a", 2, whole[:-1])
    found = scene.damage()
    assert place(found) == ("unreadable", scene.partition("a"), offset, "a", 2)
    assert "too early" in found.sentence


def test_an_event_of_a_type_that_the_code_does_not_have(scene: Scene) -> None:
    class Old(Counter):
        name = "counter"

        @event
        def adjusted(self, state: Count, event: Adjusted) -> Count:
            return state

    scene.world.run(Old, partitions=PARTITIONS)  # which publishes its schema
    scene.world.stop()
    codec: Any = scene.world.client.messages(Old)
    scene.event("a", 1, codec.encode_event(Adjusted("up")))
    (found,) = scene.findings(Counter)
    assert (found.kind, found.persist_id, found.seq) == ("unreadable", "a", 1)
    assert scene.findings(Old) == []
    assert scene.findings(None) == []


def test_a_record_whose_key_is_no_event_s(scene: Scene) -> None:
    scene.written(a=1)
    offset = scene.record(scene.topics.journal, 1, b"hello", b"world")
    found = scene.damage()
    assert place(found) == ("foreign", 1, offset, None, None)
    assert "b'hello' is no persist id and seq" in found.sentence


def test_a_record_whose_key_has_no_persist_id(scene: Scene) -> None:
    scene.written(a=1)
    offset = scene.record(scene.topics.journal, 1, b"\x07@1", b"world")
    found = scene.damage()
    assert place(found) == ("foreign", 1, offset, None, None)


def test_a_value_in_another_framing(scene: Scene) -> None:
    scene.written(a=1)
    offset = scene.event("a", 2, json.dumps({"amount": 1}).encode())
    found = scene.damage()
    assert place(found) == ("foreign", scene.partition("a"), offset, "a", 2)


def test_a_foreign_record_among_the_snapshots(scene: Scene) -> None:
    scene.written(a=1)
    offset = scene.record(scene.topics.snapshots, 0, b"\x07", b"?")
    found = scene.damage()
    assert place(found) == ("foreign", 0, offset, "\x07", None)
    assert found.topic == scene.topics.snapshots


def test_a_checkpoint_that_is_none(scene: Scene) -> None:
    scene.written(a=1)
    scene.record(scene.topics.snapshots, 0, CHECKPOINT_KEY, b"9;9")
    found = scene.damage()
    assert found.kind == "foreign"
    assert "the checkpoint record holds b'9;9'" in found.sentence


def test_an_unreadable_snapshot(scene: Scene) -> None:
    scene.written(a=1)
    scene.saved("a")
    whole: bytes = scene.codec.encode_snapshot(scene.world.snapshot(Counter, "a"))
    topic, where = scene.topics.snapshots, scene.partition("a")
    offset = scene.record(topic, where, b"a", whole[:20])
    found = scene.damage()
    assert place(found) == ("unreadable", where, offset, "a", None)
    assert "from the older one at seq 1" in found.sentence


def test_an_unreadable_snapshot_that_was_replaced_is_no_damage(scene: Scene) -> None:
    scene.written(a=1)
    scene.record(scene.topics.snapshots, scene.partition("a"), b"a", b"\xc3\x01")
    scene.saved("a")
    assert scene.findings() == scene.findings(None) == []


def test_a_tombstone_in_the_middle(scene: Scene) -> None:
    scene.written(a=4)
    offset = scene.event("a", 3, None)
    found = scene.damage()
    assert place(found) == ("tombstone", scene.partition("a"), offset, "a", 3)
    assert "the event 3 is missing: removed by a tombstone" in found.sentence


def test_a_tombstone_at_the_end(scene: Scene) -> None:
    scene.written(a=4)
    offset = scene.event("a", 4, None)
    found = scene.damage()
    assert place(found) == ("tombstone", scene.partition("a"), offset, "a", 4)


def test_a_beginning_that_was_removed_without_a_snapshot(scene: Scene) -> None:
    scene.written(a=4)
    offset = scene.event("a", 1, None)
    found = scene.damage()
    assert place(found) == ("gap", scene.partition("a"), offset, "a", 2)


def test_an_event_on_the_wrong_partition(scene: Scene) -> None:
    scene.written(a=2)
    wrong = 1 - scene.partition("b")
    offset = scene.event("b", 7, partition=wrong)
    scene.event("b", 9, partition=wrong)
    found = scene.damage()
    assert place(found) == ("partition", wrong, offset, "b", 7)


def test_a_snapshot_on_the_wrong_partition(scene: Scene) -> None:
    scene.written(a=2)
    wrong = 1 - scene.partition("b")
    offset = scene.snapshot("b", 7, 7, partition=wrong)
    found = scene.damage()
    assert place(found) == ("partition", wrong, offset, "b", None)


def test_a_fold_that_raises(scene: Scene) -> None:
    class Broken(Counter):
        name = "counter"

        @event
        def added(self, state: Count, event: Added) -> Count:
            raise ZeroDivisionError("no")

    scene.written(a=2)
    (found,) = scene.findings(Broken)
    assert (found.kind, found.persist_id, found.seq) == ("fold", "a", 1)
    assert "the fold of Added raised for 'a' at seq 1: ZeroDivisionError: no" in found.sentence


def test_an_init_that_raises(scene: Scene) -> None:
    class Broken(Counter):
        name = "counter"

        def init(self, persist_id: str) -> Count:
            raise ZeroDivisionError("no")

    scene.written(a=2)
    (found,) = scene.findings(Broken)
    assert (found.kind, found.persist_id, found.seq) == ("fold", "a", 1)


def test_a_low_water_mark_past_an_event_that_no_snapshot_covers(scene: Scene) -> None:
    scene.written(a=2)
    where = scene.partition("a")
    scene.committed(where, low_water=1_000)
    found = scene.damage()
    assert place(found) == ("low-water", where, scene.offset_of("a", 1), "a", 1)


def test_a_checkpoint_past_an_event_that_no_snapshot_covers_where_the_group_has_no_progress(
    scene: Scene,
) -> None:
    scene.prepared()
    where = scene.partition("a")
    for seq in (1, 2):
        scene.event("a", seq)
    scene.snapshot("a", 1, 1)
    note = Progress(7, 1_000, 6, 1).note()
    scene.record(scene.topics.snapshots, where, CHECKPOINT_KEY, note)
    found = scene.damage()
    assert place(found) == ("low-water", where, scene.offset_of("a", 2), "a", 2)


def test_an_event_of_an_older_command_behind_one_of_a_newer(scene: Scene) -> None:
    scene.written(a=2)
    where = scene.partition("a")
    source = f"{where}:0".encode()
    offset = scene.event("a", 3, headers=[("source", source)])
    found = scene.damage()
    assert place(found) == ("source", where, offset, "a", 3)


def test_two_damages_are_both_told(scene: Scene) -> None:
    scene.written(a=2, b=1)
    scene.event("a", 4)
    scene.event("b", 1)
    assert sorted(each.kind for each in scene.findings()) == ["duplicate", "gap"]


# -- transactions that hang ----------------------------------------------------------------------


on_kafka = pytest.mark.parametrize("url", ["kafka"], indirect=True)
"""The embedded log has no open transactions: a commit is one write."""


@pytest.fixture
def writer(scene: Scene) -> Iterator[Producer]:
    """A transactional producer that is no worker's."""
    name = f"stranger-{uuid.uuid4().hex}"
    producer = Producer(
        {
            "bootstrap.servers": urlsplit(scene.world.url).netloc,
            "transactional.id": name,
            "transaction.timeout.ms": 60_000,
        }
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    yield producer
    producer.abort_transaction(20)


@on_kafka
def test_a_transaction_that_is_left_open(scene: Scene, writer: Producer) -> None:
    scene.written(a=2)
    where = scene.partition("a")
    writer.produce(scene.topics.journal, b"?", b"?", partition=where)
    writer.flush(20)
    found = scene.damage(patience_s=1.0)
    assert (found.kind, found.topic, found.partition) == (
        "transaction", scene.topics.journal, where,
    )  # fmt: skip


@on_kafka
def test_a_transaction_left_open_on_the_commands(scene: Scene, writer: Producer) -> None:
    scene.written(a=2)
    writer.produce(scene.topics.commands, b"?", b"a", partition=0)
    writer.flush(20)
    found = scene.damage(patience_s=1.0)
    assert (found.kind, found.topic, found.partition) == ("transaction", scene.topics.commands, 0)


@on_kafka
def test_what_stands_before_a_transaction_that_is_left_open_is_verified(
    scene: Scene, writer: Producer
) -> None:
    scene.written(a=2)
    scene.event("a", 2)
    for topic in (scene.topics.journal, scene.topics.snapshots):
        writer.produce(topic, b"?", b"?", partition=scene.partition("a"))
    writer.flush(20)
    kinds = sorted(each.kind for each in scene.findings(patience_s=1.0))
    assert kinds == ["duplicate", "transaction", "transaction"]
