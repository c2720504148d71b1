"""reply-to: only topics on the processor's list are written to; the command is done anyway."""

from __future__ import annotations

import pytest
from counter import Add, Added, Counter
from inbox import Inbox
from world import World

from kstate.core.messages import Record
from kstate.errors import TopicError

GOOD = "replies"


def asked(world: World, reply_to: bytes, partition: bytes | None = b"0") -> None:
    """A command with this reply-to, and what must have become of it."""
    headers = [("command-id", b"one"), ("reply-to", reply_to)]
    if partition is not None:
        headers.append(("reply-partition", partition))
    there = topics(world, reply_to)
    world.produce(Counter, world.encoded(Counter, Add(5)), headers=headers)
    world.settled(Counter)
    assert world.events(Counter, "a") == [(1, Added(5))]
    assert world.counts(Counter).replies_refused == 1
    assert world.replies(Counter) == world.dead_letters(Counter) == []
    assert topics(world, reply_to) == there
    assert world.call(Counter, "a", Add(1)) == 6


def topics(world: World, reply_to: bytes) -> set[str]:
    """The topics of this test; other tests may use the same log."""
    asked_for = reply_to.decode(errors="replace")
    there = world.client._log.topics()
    return {name for name in there if name.startswith(world.prefix) or name == asked_for}


@pytest.mark.parametrize("kind", ["journal", "commands", "snapshots", "dead_letters", "schemas"])
def test_no_topic_of_the_processor_but_replies_is_replied_on(world: World, kind: str) -> None:
    world.run(Counter)
    before = len(of_kind(world, kind))
    asked(world, getattr(world.topics(Counter), kind).encode())
    added = {"journal": 2, "commands": 2}.get(kind, 0)  # by the commands themselves
    assert len(of_kind(world, kind)) == before + added


def of_kind(world: World, kind: str) -> list[Record]:
    """The records of a topic, less the notes of the progress."""
    if kind == "snapshots":
        return world.snapshots(Counter)
    return world.read(getattr(world.topics(Counter), kind))


@pytest.mark.parametrize(
    "reply_to",
    [b"__consumer_offsets", b"no-such-topic", b"../../etc/passwd", b"\xff\xfe", b"x" * 10_000],
)
def test_no_other_topic_is_replied_on(world: World, reply_to: bytes) -> None:
    world.run(Counter)
    asked(world, reply_to)


def test_another_processors_replies_are_not_replied_on(world: World) -> None:
    world.run(Counter, Inbox)
    asked(world, world.topics(Inbox).replies.encode())
    assert world.replies(Inbox) == []


@pytest.mark.parametrize("partition", [b"999", b"4", b"-1", b"one", b"", b"1.0", b"9" * 40])
def test_no_partition_that_is_not_there_is_replied_on(world: World, partition: bytes) -> None:
    world.run(Counter)
    asked(world, world.topics(Counter).replies.encode(), partition)


def test_without_a_partition_the_reply_goes_where_the_command_id_belongs(world: World) -> None:
    world.run(Counter)
    headers = [("command-id", b"one"), ("reply-to", world.topics(Counter).replies.encode())]
    world.produce(Counter, world.encoded(Counter, Add(5)), headers=headers)
    assert world.reply_to(Counter, b"one").key == b"one"


def test_a_topic_that_was_put_on_the_list_is_replied_on(world: World) -> None:
    world.run(Inbox)
    world.stop()
    other = world.topics(Inbox).replies
    world.run(Counter, reply_topics=(other,))
    headers = [("command-id", b"one"), ("reply-to", other.encode()), ("reply-partition", b"1")]
    world.produce(Counter, world.encoded(Counter, Add(5)), headers=headers)
    assert world.reply_to(Inbox, b"one").partition == 1


def test_a_topic_on_the_list_must_be_there_at_the_start(world: World) -> None:
    with pytest.raises(TopicError, match="the reply topic nowhere does not exist"):
        world.run(Counter, reply_topics=("nowhere",))


def test_a_bad_command_with_a_bad_reply_to_is_a_dead_letter_only(world: World) -> None:
    world.run(Counter)
    world.produce(Counter, b"bad", headers=[("reply-to", b"no-such-topic")])
    world.settled(Counter)
    assert len(world.dead_letters(Counter)) == 1
    assert world.replies(Counter) == []
