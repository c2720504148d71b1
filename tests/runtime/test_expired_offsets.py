"""A group's offsets expire when it idles: what they told is found again, and committed anew."""

from __future__ import annotations

import logging

import pytest
from counter import Add, Counter, Save
from runtime_tools import add, forget_progress, progress, total
from world import World

from kstate.core.messages import Progress
from kstate.wiring import open_log


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kstate")


def committed(world: World) -> bool:
    """Whether the group has any progress."""
    topics = world.topics(Counter)
    log = open_log(world.url)
    try:
        return bool(log.progress(topics.group, topics.commands))
    finally:
        log.close()


def found_again(world: World, *, without_store: bool) -> Progress:
    """The progress after a start that found none of the group's own; no command comes."""
    world.stop()
    forget_progress(world)
    if without_store:
        world.forget_stores()
    world.run(Counter, partitions=1)
    assert world.worker(Counter).ready.wait(20)
    return progress(world)


@pytest.mark.parametrize("without_store", [False, True])
def test_progress_that_was_found_again_is_committed_before_a_command_comes(
    world: World, without_store: bool
) -> None:
    world.run(Counter, partitions=1, max_tail=20, batch_records=10)
    add(world, 60)
    before = progress(world)
    again = found_again(world, without_store=without_store)
    assert again._replace(low_water=0) == before._replace(low_water=0)
    assert again.low_water >= before.low_water
    total(world, 60)


def test_it_survives_the_loss_of_all_else_that_told_it(world: World) -> None:
    world.run(Counter, partitions=1)
    add(world, 3)
    world.call(Counter, "id-0", Save())
    before = found_again(world, without_store=False)
    world.stop()
    world.forget_stores()
    world.run(Counter, partitions=1)
    assert world.call(Counter, "id-0", Add(1)) == 2
    assert before.offset == 4


def test_a_processor_that_has_no_past_commits_nothing(world: World) -> None:
    world.run(Counter, partitions=1)
    assert world.worker(Counter).ready.wait(20)
    assert not committed(world)


def test_a_commit_of_it_that_fails_is_tried_again_with_a_new_seat(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kstate.errors import OutcomeUnknown
    from kstate.log.embedded_member import EmbeddedMember

    world.run(Counter, partitions=1)
    add(world, 3)
    before = progress(world)
    real, failed = EmbeddedMember.commit, []

    def commit(self, writes, done):  # type: ignore[no-untyped-def]
        if not writes and not failed:
            failed.append(done)
            raise OutcomeUnknown("lost on demand")
        return real(self, writes, done)

    monkeypatch.setattr(EmbeddedMember, "commit", commit)
    assert found_again(world, without_store=False) == before
    assert len(failed) == 1
    total(world, 3)


def test_entities_are_counted_by_their_events(world: World) -> None:
    world.run(Counter, partitions=1, max_entities=2)
    for persist_id in ("a", "b", "c", "d"):
        world.call(Counter, persist_id, Save())
    for persist_id in ("a", "b", "c"):
        world.call(Counter, persist_id, Add(1))
    world.call(Counter, "a", Save())
    assert progress(world).entities == 3
    assert found_again(world, without_store=True).entities == 3
