"""Events, replies, snapshots and letters beyond the log's limit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from counter import Add, Added, Count
from inbox import Inbox, Said, Say
from world import World, header

from kstate import Command, CommandFailed, Context, EventAdapter, Processor, command, event, tagged
from kstate.core.partition import partition_for
from kstate.core.policy import RECORD_OVERHEAD_BYTES
from kstate.errors import RecordTooLarge

LIMIT = 20_000
LARGEST = LIMIT - RECORD_OVERHEAD_BYTES


@dataclass(frozen=True)
class Pages:
    text: str = ""


@dataclass(frozen=True)
class Keep(Command[int]):
    text: str


@dataclass(frozen=True)
class Store(Command[None]):
    pass


@dataclass(frozen=True)
class Kept:
    text: str


@dataclass(frozen=True)
class SendBig(Command[None]):
    size: int


class Big(Inbox):
    name = "big"

    @command
    def send_big(self, ctx: Context[Count], cmd: SendBig) -> None:
        ctx.persist(Said(""))
        ctx.send("big", "b", Say("x" * cmd.size))


def failed(world: World) -> None:
    """One command is a dead letter, as too large; nothing of it is left."""
    (letter,) = world.dead_letters(Big)
    assert header(letter, "error-type") == "RecordTooLarge"
    assert world.journal(Big) == []
    assert world.call(Big, "a", Add(1)) == 1


def test_an_event_beyond_the_limit_fails_its_command(world: World) -> None:
    world.run(Big, url=world.limited(LIMIT))
    with pytest.raises(CommandFailed) as error:
        world.call(Big, "a", Say("x" * LARGEST))
    assert error.value.reason == (
        f"RecordTooLarge: the event Said takes {LARGEST + 13} bytes; "
        f"the log takes at most {LARGEST}"
    )
    failed(world)


def test_an_event_at_the_limit_is_persisted(world: World) -> None:
    world.run(Big, url=world.limited(LIMIT))
    world.call(Big, "é" * 256, Say("x" * (LARGEST - 13), times=0), command_id="c" * 256)
    (stored,) = world.journal(Big)
    assert len(stored.value or b"") == LARGEST


def test_an_event_at_the_limit_with_all_that_may_stand_beside_it_is_persisted(
    world: World,
) -> None:
    """Whatever is in a record's headers was bounded so that the record fits."""

    class Tagger(EventAdapter):
        def to_journal(self, event: object) -> object:
            return tagged(event, *(f"{n:04}" for n in range(170)))  # 170 * (4 + 8) = 2040

    class Labelled(Big):
        name = "labelled"
        adapters = (Tagger(),)

    world.run(Labelled, url=world.limited(LIMIT), kept_reply_bytes=512)
    reply = world.call(
        Labelled,
        "é" * 256,
        Add(1),
        command_id="d" * 256,
        headers={"traceparent": b"t" * 256},
    )
    assert reply == 1
    text = "x" * (LARGEST - 13)
    world.call(
        Labelled,
        "é" * 256,
        Say(text, times=0),
        command_id="c" * 256,
        headers={"traceparent": b"t" * 256},
    )
    assert [len(r.value or b"") for r in world.journal(Labelled)][1] == LARGEST


def test_more_tags_than_fit_into_a_record_fail_the_command(world: World) -> None:
    class Tagger(EventAdapter):
        def to_journal(self, event: object) -> object:
            return tagged(event, *(chr(0x80 + n) for n in range(512)))

    class Overdone(Big):
        name = "overdone"
        adapters = (Tagger(),)

    world.run(Overdone, url=world.limited(LIMIT))
    with pytest.raises(CommandFailed, match="the tags of an event take more than 2048 bytes"):
        world.call(Overdone, "a", Add(1))


def test_a_reply_beyond_the_limit_fails_its_command(world: World) -> None:
    world.run(Big, url=world.limited(LIMIT))
    with pytest.raises(CommandFailed, match="the reply to Say takes"):
        world.call(Big, "a", Say("x" * 100, times=200))
    failed(world)


def test_a_sent_command_beyond_the_limit_fails_its_command(world: World) -> None:
    world.run(Big, url=world.limited(LIMIT))
    with pytest.raises(CommandFailed, match="the command Say takes"):
        world.call(Big, "a", SendBig(LARGEST))
    failed(world)


def test_neighbours_of_what_is_too_large_commit(world: World) -> None:
    world.run(Big, url=world.limited(LIMIT), partitions=1)
    world.stop()
    world.cast(Big, "a", Add(1))
    world.cast(Big, "a", Say("x" * LARGEST))
    world.cast(Big, "a", Add(2))
    world.restart()
    world.settled(Big)
    assert world.events(Big, "a") == [(1, Added(1)), (2, Added(2))]


# -- states ----------------------------------------------------------------------------------------


class Archive(Processor[Pages]):
    """Its state grows beyond what a snapshot may hold."""

    name = "archive"
    snapshot_every = 2

    def init(self, persist_id: str) -> Pages:
        return Pages()

    @command
    def keep_text(self, ctx: Context[Pages], cmd: Keep) -> int:
        ctx.persist(Kept(cmd.text))
        return len(ctx.state.text)

    @command
    def store(self, ctx: Context[Pages], cmd: Store) -> None:
        ctx.persist(Kept("stored"))
        ctx.save_snapshot()

    @event
    def kept(self, state: Pages, event: Kept) -> Pages:
        return replace(state, text=state.text + event.text)


PAGE = "x" * 10_000


def test_a_snapshot_beyond_the_limit_that_a_command_asked_for_fails_it(world: World) -> None:
    world.run(Archive, url=world.limited(LIMIT))
    world.call(Archive, "a", Keep(PAGE))
    world.call(Archive, "a", Keep(PAGE))
    with pytest.raises(CommandFailed, match="RecordTooLarge: the snapshot takes"):
        world.call(Archive, "a", Store())
    assert len(world.journal(Archive)) == 2


def test_an_automatic_snapshot_beyond_the_limit_is_told_and_the_entity_lives_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(Archive, url=world.limited(LIMIT), partitions=1, max_entities=1)
    sizes = [world.call(Archive, "a", Keep(PAGE)) for _ in range(4)]
    assert sizes == [
        10_000,
        20_000,
        30_000,
        40_000,
    ]
    for persist_id in ("b", "c"):
        world.call(Archive, persist_id, Keep("short"))
    assert world.call(Archive, "a", Keep("!")) == 40_001
    assert world.counts(Archive).snapshots_failed > 0
    assert "archive: no snapshot of b'a': the snapshot takes" in caplog.text
    world.restart(without_store=True)
    assert world.call(Archive, "a", Keep("!")) == 40_002
    assert world.snapshot(Archive, "a") is None


def test_a_state_beyond_the_limit_cannot_be_asked_for_and_that_is_said(world: World) -> None:
    world.run(Archive, url=world.limited(LIMIT))
    for _ in range(2):
        world.call(Archive, "a", Keep(PAGE))
    with pytest.raises(CommandFailed, match="the state takes"):
        world.state(Archive, "a")
    assert world.dead_letters(Archive) == []
    assert world.client.state(Archive, "a", at_seq=2).text == PAGE * 2


# -- records that must be written again ------------------------------------------------------------


def at_the_limit(world: World, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    """A command as large as the log takes, with the key ``a``."""
    used = LIMIT - 1
    while True:
        try:
            padded = [*headers, ("padding", b"x" * used)]
            world.produce(Big, value, headers=padded, url=world.limited(LIMIT), partition=1)
        except RecordTooLarge as error:
            used -= error.size - error.limit
        else:
            return


def test_a_bad_record_at_the_limit_is_dead_lettered(world: World) -> None:
    world.run(Big, url=world.limited(LIMIT))
    at_the_limit(world, b"bad", [])
    world.settled(Big)
    assert len(world.dead_letters(Big)) == 1


def test_a_record_at_the_limit_on_the_wrong_partition_is_forwarded(world: World) -> None:
    world.run(Big, url=world.limited(LIMIT))
    assert partition_for(b"a", 2) == 0
    at_the_limit(world, world.encoded(Big, Add(1)), [])
    world.settled(Big)
    assert world.state(Big, "a") == Count(1, 1)


def test_a_client_refuses_a_command_beyond_the_limit(world: World) -> None:
    world.run(Big)
    with pytest.raises(RecordTooLarge):
        world.call(Big, "a", Say("x" * 1_100_000))
    assert world.call(Big, "a", Add(1)) == 1
