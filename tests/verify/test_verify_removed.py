"""What may be missing is what a snapshot says was removed; all else was lost."""

from __future__ import annotations

import pytest
from counter import Add, Count, Counter, Save
from damaging import PARTITIONS, Scene, place

from kstate import after_snapshot
from kstate.core.messages import ImportMark
from kstate.core.topics import CHECKPOINT_KEY


def test_a_lost_beginning_is_no_retention(scene: Scene) -> None:
    """A snapshot stands for it, but says nothing of events that were removed."""
    scene.prepared()
    scene.snapshot("c", 3, 3)
    offset = scene.event("c", 3)
    found = scene.damage()
    assert place(found) == ("gap", scene.partition("c"), offset, "c", 3)
    assert found.sentence.startswith(
        "the events 1 to 2 are missing; the snapshot at seq 3, with which workers go on, tells of "
        "no removed events: "
    )


def test_what_is_lost_behind_what_was_removed(scene: Scene) -> None:
    scene.prepared()
    scene.snapshot("c", 6, 6, removed=2)
    offset = scene.event("c", 5)
    scene.event("c", 6)
    found = scene.damage()
    assert place(found) == ("gap", scene.partition("c"), offset, "c", 5)
    assert "the events 3 to 4 are missing" in found.sentence
    assert "tells of removed events up to 2 only" in found.sentence
    scene.snapshot("c", 6, 6, removed=4)
    assert scene.findings() == scene.findings(None) == []


def test_a_tombstone_of_which_no_snapshot_tells(scene: Scene) -> None:
    scene.written(a=3)
    scene.snapshot("a", 3, 3)
    offset = scene.event("a", 1, None)
    found = scene.damage()
    assert place(found) == ("tombstone", scene.partition("a"), offset, "a", 1)
    scene.snapshot("a", 3, 3, removed=1)
    assert scene.findings() == scene.findings(None) == []


def test_an_entity_of_which_a_snapshot_alone_is_left(scene: Scene) -> None:
    scene.prepared()
    offset = scene.snapshot("d", 3, 3)
    found = scene.damage()
    assert place(found) == ("snapshot", scene.partition("d"), offset, "d", 3)
    assert found.topic == scene.topics.snapshots
    assert "the journal has no event of it" in found.sentence


@pytest.mark.parametrize("removed", [1, 3])
def test_an_entity_that_was_erased_has_no_events(scene: Scene, removed: int) -> None:
    scene.prepared()
    scene.snapshot("d", 3, 0, state=None, deleted=True, removed=removed, erased=3)
    assert scene.findings() == scene.findings(None) == []


def test_an_entity_whose_every_event_somebody_removed(scene: Scene) -> None:
    """Retention keeps at least one, and an erasure says so in a snapshot."""
    scene.written(a=3)
    scene.snapshot("a", 3, 3)
    offsets = [scene.event("a", seq, None) for seq in (1, 2, 3)]
    found = scene.damage()
    assert place(found) == ("tombstone", scene.partition("a"), offsets[0], "a", 1)
    scene.record(scene.topics.snapshots, scene.partition("a"), b"a", None)  # it is given up
    assert scene.findings() == scene.findings(None) == []


def test_what_the_newest_snapshot_tells_is_not_known_while_it_cannot_be_read(scene: Scene) -> None:
    scene.prepared()
    scene.snapshot("a", 4, 4)
    for seq in (4, 5):
        scene.event("a", seq)
    where = scene.partition("a")
    assert scene.damage().kind == "gap"
    scene.record(scene.topics.snapshots, where, b"a", b"\xc3\x01")
    assert scene.damage().kind == "unreadable"


def test_removed_events_of_which_some_can_still_be_read(scene: Scene) -> None:
    """A cleaner at work takes them segment by segment."""
    scene.prepared()
    scene.snapshot("a", 5, 5, removed=4)
    for seq in (2, 5, 6):
        scene.event("a", seq)
    assert scene.findings() == scene.findings(None) == []


def test_an_entity_that_is_erased_and_cleaned_away_while_the_verification_reads(
    scene: Scene,
) -> None:
    persist_id = scene.first()
    scene.prepared()
    scene.snapshot(persist_id, 3, 3)
    assert [each.kind for each in scene.findings()] == ["snapshot"]

    def erase() -> None:
        scene.snapshot(persist_id, 3, 0, state=None, deleted=True, removed=3, erased=3)

    assert scene.findings(beside=(scene.topics.journal, erase)) == []


def test_an_entity_that_comes_while_a_second_look_is_taken(scene: Scene) -> None:
    persist_id = scene.first()
    scene.written(**{persist_id: 1})
    scene.event(persist_id, 3)

    def come() -> None:
        other = next(f"new-{n}" for n in range(99) if not scene.partition(f"new-{n}"))
        scene.event(other, 1)
        scene.snapshot(other, 1, 1)

    for code in (Counter, None):
        found = scene.findings(code, beside=(scene.topics.journal, come))
        assert [(each.kind, each.persist_id) for each in found] == [("gap", persist_id)]


def test_a_snapshot_with_tombstones_that_comes_while_the_second_look_is_taken(
    scene: Scene,
) -> None:
    """Its tombstones are seen with it, and never without."""
    persist_id = scene.first()
    scene.written(**{persist_id: 6})
    scene.snapshot(persist_id, 3, 3, removed=1)
    scene.event(persist_id, 1, None)

    def later() -> None:
        scene.snapshot(persist_id, 6, 6, removed=4)
        for seq in (2, 3, 4):
            scene.event(persist_id, seq, None)

    scene.committed(0, low_water=1_000)  # a reason for a second look
    found = scene.findings(beside=(scene.topics.snapshots, later), at=3)
    assert {each.kind for each in found} == {"low-water"}


def test_an_import_that_has_not_come_to_its_end(scene: Scene) -> None:
    """Snapshots come first; what workers make of it is for them to say."""
    scene.prepared()
    scene.snapshot("d", 3, 3)
    note = ImportMark(0, "archive", 1, 0, 0).note()
    scene.record(scene.topics.snapshots, scene.partition("d"), CHECKPOINT_KEY, note)
    assert scene.findings() == scene.findings(None) == []


class Keeping(Counter):
    name = "counter"
    snapshot_every = 5
    keep = after_snapshot(2)


def test_retention_and_erasure_before_and_after_the_cleaner(scene: Scene) -> None:
    world = scene.world
    world.run(Keeping, partitions=PARTITIONS)
    for persist_id in ("a", "b", "c"):
        for _ in range(12):
            world.call(Keeping, persist_id, Add(1))
    for persist_id in ("b", "c"):
        world.client.erase(Keeping, persist_id, timeout=60)
    for each in (Add(1), Add(2), Save(), Add(3)):
        world.call(Keeping, "c", each)
    world.stop()
    assert scene.findings(Keeping) == scene.findings(None) == []
    world.clean(scene.topics.journal, scene.topics.snapshots)
    assert scene.findings(Keeping) == scene.findings(None) == []
    assert world.snapshot(Keeping, "c").state == Count(3, 2)
