"""Snapshots held against the events they stand for, whatever is gone of them (``--verify``)."""

from __future__ import annotations

from typing import Any

import pytest
from counter import Add, Count, Counter, Save
from damaging import PARTITIONS, Beside, Scene
from test_verify_sound import Measure, Meter

from kstate import after_snapshot
from kstate.errors import BadPersistId, JournalError
from kstate.query.comparing import Compared, compare
from kstate.query.journal import Journal
from kstate.wiring import open_log


class Keeping(Counter):
    name = "counter"
    snapshot_every = 5
    keep = after_snapshot(2)


def compared(scene: Scene, *ids: str, code: Any = Counter) -> list[Compared]:
    """What is said of the snapshots, by persist id."""
    client = scene.world.client
    found = compare(client.journal(code), client.machine(code), frozenset(ids))
    return sorted(found, key=lambda each: (each.persist_id, each.seq))


def told(scene: Scene, *ids: str, code: Any = Counter) -> list[tuple[str, int, str]]:
    """The same, without states and reasons."""
    return [(c.persist_id, c.seq, c.verdict) for c in compared(scene, *ids, code=code)]


# -- erasure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cleaned", [False, True])
def test_what_came_after_an_erasure_is_held_against_its_snapshot(
    scene: Scene, cleaned: bool
) -> None:
    world = scene.world
    world.run(Counter, partitions=PARTITIONS)
    for persist_id in ("a", "gone"):
        world.call(Counter, persist_id, Add(5, times=3))
        world.call(Counter, persist_id, Save())
        world.client.erase(Counter, persist_id, timeout=60)
    for each in (Add(1), Add(1), Add(1), Save()):
        world.call(Counter, "a", each)
    world.stop()
    if cleaned:
        world.clean(scene.topics.journal, scene.topics.snapshots)
    found = told(scene)
    assert {verdict for _, _, verdict in found} == {"equal"}
    assert ("a", 6, "equal") in found
    assert ("gone", 3, "equal") in found
    scene.snapshot("a", 6, 18, erased=3, removed=3)  # as if nothing had been erased
    assert ("a", 6, "differs") in told(scene)


def test_an_entity_that_is_erased_and_cleaned_while_its_snapshots_are_compared(
    scene: Scene,
) -> None:
    scene.written(a=2)
    scene.snapshot("a", 2, 2)

    def erase() -> None:
        world = scene.world
        world.run(Counter, partitions=PARTITIONS)
        world.client.erase(Counter, "a", timeout=60)
        world.stop()
        world.clean(scene.topics.journal, scene.topics.snapshots)

    assert beside(scene, erase) == []


def beside(scene: Scene, act: Any) -> list[str]:
    """What is wrong, when something happens after the snapshots of the first partition are read."""
    client = scene.world.client
    log: Any = open_log(scene.world.url)
    try:
        seen: Any = Beside(log, scene.topics.journal, act, 1)
        journal = Journal(seen, scene.topics, client.messages(Counter))
        found = list(compare(journal, client.machine(Counter), frozenset(["a"])))
    finally:
        log.close()
    assert seen.acted
    return [each.verdict for each in found if each.bad]


# -- retention -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cleaned", [False, True])
def test_what_retention_left_is_sound(scene: Scene, cleaned: bool) -> None:
    world = scene.world
    world.run(Keeping, partitions=PARTITIONS)
    for _ in range(17):
        world.call(Keeping, "a", Add(1))
    world.stop()
    if cleaned:
        world.clean(scene.topics.journal, scene.topics.snapshots)
    found = told(scene, code=Keeping)
    assert found[-1] == ("a", 15, "trusted" if cleaned else "equal")


def test_an_older_snapshot_whose_next_events_are_gone_is_let_alone(scene: Scene) -> None:
    """The journal was cleaned, and the snapshots were not."""
    scene.prepared()
    scene.snapshot("b", 3, 3, removed=1)
    scene.snapshot("b", 7, 7, removed=5)
    for seq in (6, 7, 8, 9):
        scene.event("b", seq)
    scene.snapshot("b", 9, 9, removed=5)
    assert told(scene) == [("b", 7, "trusted"), ("b", 9, "equal")]
    scene.snapshot("b", 9, 8, removed=5)
    assert told(scene)[1:] == [("b", 9, "equal"), ("b", 9, "differs")]


def test_events_that_are_removed_while_they_are_read(scene: Scene) -> None:
    """A cleaner took those in the middle before they were read; a newer snapshot tells of it."""
    scene.prepared()
    scene.snapshot("a", 2, 2)
    scene.snapshot("a", 8, 8)
    for seq in (1, 6, 7, 8):
        scene.event("a", seq)
    with pytest.raises(JournalError, match="the journal of 'a' is broken: seq 6 follows 1"):
        compared(scene)
    assert beside(scene, lambda: scene.snapshot("a", 9, 9, removed=5)) == []


# -- what cannot be compared ---------------------------------------------------------------------


def test_a_newest_snapshot_that_cannot_be_read(scene: Scene) -> None:
    scene.written(a=3, b=1)
    where = scene.partition("a")
    scene.snapshot("a", 1, 1)
    scene.record(scene.topics.snapshots, where, b"a", b"\xc3\x01")
    assert told(scene) == [("a", 0, "unreadable"), ("a", 1, "equal")]
    assert compared(scene)[0].reason
    scene.snapshot("a", 2, 2)  # what was replaced is of no use to anybody
    assert told(scene) == [("a", 1, "equal"), ("a", 2, "equal")]


def test_a_state_that_cannot_be_read(scene: Scene) -> None:
    scene.prepared()
    scene.event("a", 1)
    client = scene.world.client
    value = client.machine(Counter).codec.encode_snapshot
    scene.snapshot("a", 1, 1)
    whole: bytes = value(scene.world.snapshot(Counter, "a"))
    state: bytes = scene.codec.encode_state(Count(1, 1))
    broken = whole.replace(state, state[:10] + b"\x80" * (len(state) - 10))
    assert broken != whole
    scene.record(scene.topics.snapshots, scene.partition("a"), b"a", broken)
    assert ("a", 1, "unreadable") in told(scene)


def test_a_snapshot_beyond_the_end_of_the_journal(scene: Scene) -> None:
    scene.written(a=3)
    scene.snapshot("a", 9, 9)
    (found,) = compared(scene)
    assert (found.verdict, found.reason) == ("unreached", "the journal ends with seq 3")


def test_a_snapshot_of_an_entity_without_events(scene: Scene) -> None:
    scene.prepared()
    scene.snapshot("d", 3, 3)
    (found,) = compared(scene)
    assert (found.verdict, found.reason) == ("unreached", "the journal has no event of it")
    scene.record(scene.topics.snapshots, scene.partition("d"), b"d", None)  # it is given up
    assert compared(scene) == []


def test_a_snapshot_that_does_not_reach_what_is_left(scene: Scene) -> None:
    scene.prepared()
    scene.snapshot("a", 3, 3, removed=3)
    scene.event("a", 6)
    (found,) = compared(scene)
    assert (found.verdict, found.reason) == ("unreached", "the journal begins with seq 6")


def test_snapshots_of_another_version_are_counted(scene: Scene) -> None:
    class Newer(Counter):
        name = "counter"
        snapshot_version = 2

    scene.written(a=3)
    scene.snapshot("a", 2, 77)
    assert told(scene, code=Newer) == [("a", 2, "version")]
    scene.snapshot("a", 3, 3, version=2)
    assert told(scene, code=Newer) == [("a", 3, "equal")]


def test_an_id_that_does_not_exist(scene: Scene) -> None:
    scene.written(a=1)
    scene.snapshot("b", 1, 1)
    assert told(scene, "a", "b", "nobody") == [("b", 1, "unreached"), ("nobody", 0, "absent")]
    with pytest.raises(BadPersistId):
        compared(scene, "")


# -- states --------------------------------------------------------------------------------------


def test_a_state_that_is_not_equal_to_itself_is_held_against_its_bytes(scene: Scene) -> None:
    scene.world.run(Meter, partitions=PARTITIONS)
    scene.world.call(Meter, "a", Measure(float("nan")))
    scene.world.stop()
    assert told(scene, code=Meter) == [("a", 1, "equal")]


def test_a_deletion_is_held_against_the_events(scene: Scene) -> None:
    scene.written(a=2)
    scene.snapshot("a", 2, 0, state=None, deleted=True)
    (found,) = compared(scene)
    assert (found.verdict, found.snapshot, found.folded) == ("differs", None, Count(2, 2))
