"""Delivery: ids twice, headers repeated, odd timestamps, and commands on the wrong partition."""

from __future__ import annotations

import pytest
from counter import Add, Added, Count, Counter
from world import World, header

from kstate.core.partition import partition_for

RIGHT = partition_for(b"a", 2)
WRONG = 1 - RIGHT


def test_the_same_command_id_twice_is_done_once(world: World) -> None:
    world.run(Counter)
    for _ in range(2):
        world.produce(Counter, world.encoded(Counter, Add(5)), headers=[("command-id", b"one")])
    world.settled(Counter)
    assert world.events(Counter, "a") == [(1, Added(5))]


def test_of_repeated_headers_the_last_counts(world: World) -> None:
    world.run(Counter)
    reply = world.ask(
        Counter,
        world.encoded(Counter, Add(5)),
        headers=[
            ("expected-seq", b"nonsense"),
            ("expected-seq", b"0"),
            ("reply-partition", b"99"),
            ("reply-partition", b"2"),
        ],
    )
    assert (header(reply, "status"), reply.partition) == ("ok", 2)


@pytest.mark.parametrize("timestamp", [-1, 0, 253_402_300_799_000])
def test_a_records_timestamp_decides_nothing(world: World, timestamp: int) -> None:
    world.run(Counter)
    world.produce(
        Counter,
        world.encoded(Counter, Add(5)),
        headers=[("command-id", b"one")],
        timestamp=timestamp,
    )
    world.produce(Counter, world.encoded(Counter, Add(5)), headers=[("command-id", b"one")])
    world.settled(Counter)
    (stored,) = world.client.events.by_id(Counter, "a")
    assert abs(stored.at.timestamp() - world.clock()) < 3600


# -- a command on the wrong partition --------------------------------------------------------------


def test_it_is_forwarded_to_the_right_one_and_done_there(world: World) -> None:
    world.run(Counter)
    reply = world.ask(Counter, world.encoded(Counter, Add(5)), partition=WRONG)
    assert header(reply, "status") == "ok"
    assert header(reply, "position").startswith(f"{RIGHT}:")
    (stored,) = world.journal(Counter)
    assert (stored.partition, stored.key) == (RIGHT, b"a@1")
    assert world.counts(Counter).forwarded == 1
    assert world.dead_letters(Counter) == []


def test_it_is_as_it_came(world: World) -> None:
    world.run(Counter)
    sent = [("mine", b"1"), ("command-id", b"one"), ("mine", b"2"), ("expected-seq", b"0")]
    value = world.encoded(Counter, Add(5))
    world.produce(Counter, value, headers=sent, partition=WRONG)
    world.settled(Counter)
    (forwarded,) = [r for r in world.read(world.topics(Counter).commands) if r.partition == RIGHT]
    assert (forwarded.key, forwarded.value, forwarded.headers) == (b"a", value, sent)


def test_without_an_id_it_is_given_that_of_its_first_place(world: World) -> None:
    world.run(Counter)
    world.produce(Counter, world.encoded(Counter, Add(5)), partition=WRONG)
    world.settled(Counter)
    (stored,) = world.journal(Counter)
    assert header(stored, "command-id") == f"{WRONG}:0"


def test_it_is_done_once_though_its_forwarding_was_aborted_and_run_again(world: World) -> None:
    world.run(Counter)
    world.faults.abort(2)
    world.ask(Counter, world.encoded(Counter, Add(5)), partition=WRONG)
    assert world.events(Counter, "a") == [(1, Added(5))]


def test_it_is_done_once_when_it_comes_on_both_partitions(world: World) -> None:
    world.run(Counter)
    for partition in (WRONG, RIGHT, WRONG):
        world.produce(
            Counter,
            world.encoded(Counter, Add(5)),
            headers=[("command-id", b"one")],
            partition=partition,
        )
    world.settled(Counter)
    world.settled(Counter)
    assert world.events(Counter, "a") == [(1, Added(5))]


def test_one_owner_only_has_the_entity_after_a_restart(world: World) -> None:
    world.run(Counter)
    for partition in (WRONG, RIGHT, WRONG):
        world.ask(Counter, world.encoded(Counter, Add(5)), partition=partition)
    world.restart(without_store=True)
    assert world.state(Counter, "a") == Count(15, 3)
    assert {r.partition for r in world.journal(Counter)} == {RIGHT}


def test_a_bad_one_is_a_dead_letter_once(world: World) -> None:
    world.run(Counter)
    reply = world.ask(Counter, b"bad", partition=WRONG)
    assert header(reply, "status") == "error"
    assert len(world.dead_letters(Counter)) == 1
