"""What is sound has no findings, whatever is at work at that moment."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from counter import Add, AddAndFail, Added, Count, Counter, Reset, Save
from damaging import PARTITIONS, Scene

from kstate import Command, Context, Processor, command, event
from kstate.core.messages import Write
from kstate.errors import ProcessorAbsent
from kstate.verify.check import Verification
from kstate.verify.findings import Finding


def assert_sound(scene: Scene, **options: Any) -> Verification:
    """No damage, with the code and without; what the verification with the code came to."""
    assert scene.findings(None, **options) == []
    verification, found = scene.verified(Counter, **options)
    assert [each for each in found if each.severity == "damage"] == []
    return verification


def test_a_processor_that_never_ran_is_told_so(scene: Scene) -> None:
    with pytest.raises(ProcessorAbsent, match=r"counter\.commands.* does not exist on this log"):
        scene.findings()


def test_an_empty_journal(scene: Scene) -> None:
    scene.written()
    counts = assert_sound(scene).counts
    assert (counts.partitions, counts.events, counts.persist_ids) == (PARTITIONS, 0, 0)


def test_a_journal_with_snapshots_each_held_against_its_fold(scene: Scene) -> None:
    scene.written(a=5, b=3, c=1)
    scene.saved("a", "c")
    scene.written(a=2)
    counts = assert_sound(scene).counts
    assert (counts.events, counts.persist_ids) == (11, 3)
    assert (counts.snapshots, counts.compared) == (2, 2)


def test_a_deleted_entity(scene: Scene) -> None:
    scene.written(a=3)
    scene.world.run(Counter, partitions=PARTITIONS)
    scene.world.call(Counter, "a", Reset())
    scene.world.call(Counter, "a", Save())
    scene.world.stop()
    assert assert_sound(scene).counts.compared == 1


def test_an_entity_that_lives_on_after_its_deletion(scene: Scene) -> None:
    scene.written(a=3)
    scene.world.run(Counter, partitions=PARTITIONS)
    for each in (Reset(), Add(5), Save(), Add(1)):
        scene.world.call(Counter, "a", each)
    scene.world.stop()
    assert assert_sound(scene).counts.compared == 1


def test_events_removed_behind_a_snapshot(scene: Scene) -> None:
    scene.written(a=5, b=2)
    scene.snapshot("a", 5, 5, removed=3)
    scene.written(a=2)
    for seq in (1, 2, 3):
        scene.event("a", seq, None)
    assert_sound(scene)


def test_all_events_up_to_a_snapshot_removed(scene: Scene) -> None:
    scene.written(a=5)
    scene.snapshot("a", 5, 5, removed=5)
    for seq in range(1, 6):
        scene.event("a", seq, None)
    scene.written(a=2)
    assert_sound(scene)


def test_an_entity_of_which_every_event_was_removed(scene: Scene) -> None:
    scene.written(a=3, b=1)
    for seq in (1, 2, 3):
        scene.event("a", seq, None)
    assert_sound(scene)


def test_an_erased_entity(scene: Scene) -> None:
    scene.written(a=3, b=2)
    scene.world.run(Counter, partitions=PARTITIONS)
    scene.world.client.erase(Counter, "a", timeout=60)
    scene.world.stop()
    assert_sound(scene)


def test_an_entity_that_lives_on_after_its_erasure(scene: Scene) -> None:
    scene.written(a=3)
    scene.world.run(Counter, partitions=PARTITIONS)
    scene.world.client.erase(Counter, "a", timeout=60)
    for each in (Add(5), Add(6), Save(), Add(1)):
        scene.world.call(Counter, "a", each)
    scene.world.stop()
    assert_sound(scene)


def test_an_erasure_that_has_only_begun(scene: Scene) -> None:
    """Its snapshot says so, and the tombstones of the older events are still to come."""
    scene.written(a=3)
    scene.snapshot("a", 3, 0, state=None, deleted=True, removed=1, erased=3)
    scene.event("a", 1, None)
    assert_sound(scene)
    scene.event("a", 4)
    scene.snapshot("a", 4, 1, state=Count(1, 1), removed=1, erased=3)
    assert assert_sound(scene).counts.compared == 1
    scene.snapshot("a", 4, 1, state=Count(4, 4), removed=1, erased=3)
    assert [each.kind for each in scene.findings()] == ["snapshot"]


class Touchy(Counter):
    name = "counter"

    @event
    def added(self, state: Count, event: Added) -> Count:
        if state.total >= 3:
            raise ZeroDivisionError("no")
        return replace(state, total=state.total + event.amount)


def test_an_entity_that_is_erased_while_the_verification_reads(scene: Scene) -> None:
    persist_id = scene.first()
    scene.written(**{persist_id: 3})

    def erase() -> None:
        scene.snapshot(persist_id, 3, 0, state=None, deleted=True, removed=3, erased=3)
        for seq in (1, 2, 3):
            scene.event(persist_id, seq, None)
        scene.event(persist_id, 4)  # the fold of which would raise on what is erased

    assert scene.findings(Touchy, beside=(scene.topics.snapshots, erase)) == []


def test_removed_events_that_are_compacted_away(scene: Scene) -> None:
    scene.prepared()
    scene.snapshot("a", 4, 4, removed=3)
    scene.event("a", 4)
    scene.event("a", 5)
    assert_sound(scene)


def test_a_journal_that_begins_behind_a_snapshot_is_folded_from_there_on(scene: Scene) -> None:
    class Broken(Counter):
        name = "counter"

        @event
        def added(self, state: Count, event: Added) -> Count:
            if state.total == 44:
                raise ZeroDivisionError("no")
            return replace(state, total=state.total + event.amount)

    scene.prepared()
    scene.snapshot("a", 4, 43, removed=3)
    for seq in (4, 5, 6):
        scene.event("a", seq)
    assert_sound(scene)
    (found,) = scene.findings(Broken)
    assert (found.kind, found.seq) == ("fold", 6)


def test_a_snapshot_of_another_version_is_noted_and_not_compared(scene: Scene) -> None:
    class Newer(Counter):
        name = "counter"
        snapshot_version = 2

    scene.written(a=3)
    scene.snapshot("a", 2, 77)
    verification, found = scene.verified(Newer)
    assert [(each.kind, each.severity) for each in found] == [("version", "note")]
    assert "1 of the snapshots are not of the snapshot_version 2" in found[0].sentence
    assert verification.counts.compared == 0


def test_removed_events_behind_a_snapshot_that_today_s_code_passes_over(scene: Scene) -> None:
    class Newer(Counter):
        name = "counter"
        snapshot_version = 2

    scene.prepared()
    scene.snapshot("a", 4, 4, removed=4)
    scene.event("a", 5)
    assert_sound(scene)
    (found,) = scene.findings(Newer)
    assert (found.kind, found.seq) == ("gap", 5)  # a worker with this code refuses


@dataclass(frozen=True)
class Levels:
    """A state with a value that is not equal to itself."""

    newest: float = 0.0


@dataclass(frozen=True)
class Measured:
    level: float


@dataclass(frozen=True)
class Measure(Command[None]):
    level: float


class Meter(Processor[Levels]):
    name = "counter"
    snapshot_every = 1

    def init(self, persist_id: str) -> Levels:
        return Levels()

    @command
    def measure(self, ctx: Context[Levels], cmd: Measure) -> None:
        ctx.persist(Measured(cmd.level))

    @event
    def measured(self, state: Levels, event: Measured) -> Levels:
        return Levels(event.level)


def test_a_snapshot_with_a_number_that_is_not_equal_to_itself(scene: Scene) -> None:
    scene.world.run(Meter, partitions=PARTITIONS)
    scene.world.call(Meter, "a", Measure(float("nan")))
    scene.world.stop()
    verification, found = scene.verified(Meter)
    assert found == []
    assert verification.counts.compared == 1


# -- notes ---------------------------------------------------------------------------------------


def test_dead_letters_are_counted_and_no_damage(scene: Scene) -> None:
    scene.written(a=1)
    scene.world.run(Counter, partitions=PARTITIONS)
    for _ in range(2):
        with pytest.raises(Exception, match="no luck"):
            scene.world.call(Counter, "a", AddAndFail(1))
    scene.world.stop()
    verification, found = scene.verified(None)
    (note,) = found
    assert (note.kind, note.severity, note.persist_id) == ("dead-letters", "note", "a")
    assert note.sentence.startswith("2 failed commands lie here, the oldest since 20")
    assert verification.counts.dead_letters == 2
    assert verification.counts.damages == 0


def test_dead_letters_with_a_tombstone_do_not_count(scene: Scene) -> None:
    scene.written(a=1)
    for key, value in ((b"0:1", b"?"), (b"0:2", b"?"), (b"0:1", None)):
        headers = [("source", key), ("persist-id", b"b")] if value else []
        scene.world.produce(
            Counter, value, key=key, headers=headers, partition=0, topic=scene.topics.dead_letters
        )
    verification, (note,) = scene.verified(None)
    assert verification.counts.dead_letters == 1
    assert (note.offset, note.persist_id) == (1, "b")
    assert note.sentence.startswith("1 failed command lies here")


# -- beside others -------------------------------------------------------------------------------


class Busy(Counter):
    name = "counter"
    snapshot_every = 3


def test_workers_that_write_all_the_time(scene: Scene) -> None:
    scene.world.run(Busy, partitions=PARTITIONS, max_entities=4)
    client, stop, failures = scene.world.client, threading.Event(), []

    def send() -> None:
        try:
            number = 0
            while not stop.is_set():
                persist_id = f"id-{number % 40}"
                number += 1
                if number % 97 == 0:
                    client.cast(Counter, persist_id, Reset())
                client.cast(Counter, persist_id, Add(1, number % 3 + 1))
                if number % 200 == 0:
                    client.flush()
        except Exception as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    found: list[Finding] = []
    events: list[int] = []
    compared = 0
    try:
        scene.world.call(Counter, "id-0", Add(1), timeout=60)
        # by turns with the code and without
        while compared < 80 or len(events) < 6 or events[-1] < events[0] + 2_000:
            verification, more = scene.verified([None, Counter][len(events) % 2])
            found += more
            events.append(verification.counts.events)
            compared += verification.counts.compared
    finally:
        stop.set()
        sender.join()
    assert found == []
    assert failures == []
    assert events == sorted(events)


@pytest.mark.parametrize("topic", ["snapshots", "journal"])
def test_what_is_written_while_the_verification_reads_is_let_alone(
    scene: Scene, topic: str
) -> None:
    persist_id = scene.first()
    scene.written(**{persist_id: 2})

    def more() -> None:
        scene.written(**{persist_id: 2})
        scene.saved(persist_id)

    for code in (Counter, None):
        assert scene.findings(code, beside=(getattr(scene.topics, topic), more)) == []


def test_events_removed_behind_a_snapshot_that_came_after_the_snapshots_were_read(
    scene: Scene,
) -> None:
    persist_id = scene.first()
    scene.written(**{persist_id: 3})

    def remove() -> None:
        scene.snapshot(persist_id, 3, 3, removed=2)
        for seq in (1, 2):
            scene.event(persist_id, seq, None)

    assert scene.findings(beside=(scene.topics.snapshots, remove)) == []


def test_a_snapshot_that_covers_what_is_below_the_mark_and_came_after_the_snapshots_were_read(
    scene: Scene,
) -> None:
    persist_id = scene.first()
    scene.written(**{persist_id: 2})
    scene.committed(0, low_water=1_000)
    assert [each.kind for each in scene.findings()] == ["low-water"]

    def cover() -> None:
        scene.snapshot(persist_id, 2, 2)

    assert scene.findings(beside=(scene.topics.snapshots, cover)) == []


def test_events_below_the_mark_that_are_removed_are_not_missed(scene: Scene) -> None:
    scene.written(a=2, b=1)
    scene.committed(scene.partition("a"), low_water=1_000)
    scene.snapshot("b", 1, 1)
    assert [each.persist_id for each in scene.findings()] == ["a"]
    for seq in (1, 2):
        scene.event("a", seq, None)
    assert_sound(scene)


def test_tombstones_that_came_after_the_journal_was_read(scene: Scene) -> None:
    """As when they are written while the events before them are compacted away."""
    persist_id = scene.first()
    scene.written(**{persist_id: 1})
    scene.event(persist_id, 4)

    def remove() -> None:
        scene.snapshot(persist_id, 4, 4, removed=3)
        for seq in (1, 2, 3):
            scene.event(persist_id, seq, None)

    assert [each.kind for each in scene.findings()] == ["gap"]
    assert scene.findings(beside=(scene.topics.journal, remove)) == []


def test_records_of_no_worker_beside_each_other(scene: Scene) -> None:
    """Sources are compared within a partition; events without one are let alone."""
    scene.prepared()
    for seq, source in ((1, b"0:5"), (2, None), (3, b"0:5"), (4, b"0:6")):
        scene.event("a", seq, headers=[] if source is None else [("source", source)])
    assert_sound(scene)


def test_a_transaction_of_a_worker_is_waited_for(scene: Scene) -> None:
    persist_id = scene.first()
    scene.written(**{persist_id: 2})
    with scene.seat(0) as (log, member):
        value = scene.codec.encode_event(Added(1))
        key = f"{persist_id}@3".encode()
        member.write_ahead([Write(scene.topics.journal, 0, key, value, [], 1)])
        if log.multiple_owners:  # on the embedded log nothing is written before the commit
            ends = partial(log.ends, scene.topics.journal)
            scene.world.until(lambda: ends()[0].stable < ends()[0].end, "it is open")
        done = log.progress(scene.topics.group, scene.topics.commands)[0]

        def end() -> None:
            member.commit([], {0: done})

        verification, found = scene.verified(Counter, beside=(scene.topics.journal, end))
        assert found == []
        assert verification.counts.events == (3 if log.multiple_owners else 2)
    assert assert_sound(scene).counts.events == 3
