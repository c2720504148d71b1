"""One command id at several persist ids: these are several commands, each with its own answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from counter import Add, Count, Counter, Look
from world import World, header

from kstate import CallTimeout, Command, Conflict, Context, Processor, aio, command
from kstate.core.partition import partition_for

TUE = "tue"
IDS = {f"id-{n}": 10**n for n in range(6)}
"""Persist ids, and what each is to be added."""
A, B = [each for each in IDS if partition_for(each.encode(), 2) == 0][:2]
"""Two on one partition: their commands run in the order in which they were sent."""


@dataclass(frozen=True)
class Weigh(Command[int]):
    """The reply is the length of the persist id, negated."""


class Scales(Processor[Count]):
    name = "scales"

    def init(self, persist_id: str) -> Count:
        return Count()

    @command
    def weigh(self, ctx: Context[Count], cmd: Weigh) -> int:
        return -len(ctx.persist_id)


def silenced(world: World) -> None:
    """The client has been answered once, and no worker runs."""
    world.run(Counter)
    world.call(Counter, A, Look())
    world.stop()


def test_calls_under_way_get_each_their_own_reply(world: World) -> None:
    silenced(world)
    calls = {each: world.client.begin(Counter, each, Add(IDS[each]), TUE) for each in IDS}
    again = {each: world.client.begin(Counter, each, Add(IDS[each]), TUE) for each in IDS}
    world.restart()
    assert {each: world.client.wait(Counter, calls[each], 20) for each in IDS} == IDS
    assert {each: world.client.wait(Counter, again[each], 20) for each in IDS} == IDS


def test_calls_of_asyncio_get_each_their_own_reply(world: World) -> None:
    async def main() -> list[int]:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            calls = [
                k.call(Counter, each, Add(amount), command_id=TUE, timeout=20)
                for each, amount in IDS.items()
            ]
            return await asyncio.wait_for(asyncio.gather(*calls), 30)

    world.run(Counter)
    assert asyncio.run(main()) == list(IDS.values())


def test_a_late_reply_goes_to_no_other_caller(world: World) -> None:
    silenced(world)
    with pytest.raises(CallTimeout):
        world.client.call(Counter, A, Add(1), command_id=TUE, timeout=0.05)
    waits = world.client.begin(Counter, B, Add(1000), TUE)
    world.restart()
    assert world.client.wait(Counter, waits, 20) == 1000
    assert world.call(Counter, A, Add(1), command_id=TUE) == 1


def test_a_late_reply_goes_to_no_other_caller_of_asyncio(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            await k.call(Counter, A, Look(), timeout=20)
            await asyncio.to_thread(world.stop)
            with pytest.raises(CallTimeout):
                await k.call(Counter, A, Add(1), command_id=TUE, timeout=0.05)
            waits = asyncio.create_task(k.call(Counter, B, Add(1000), command_id=TUE, timeout=20))
            commands = world.topics(Counter).commands
            while len(await asyncio.to_thread(world.read, commands)) < 3:
                await asyncio.sleep(0)
            await asyncio.to_thread(world.restart)
            assert await waits == 1000

    world.run(Counter)
    asyncio.run(main())


def test_a_refusal_goes_to_no_other_caller(world: World) -> None:
    silenced(world)
    refused = world.client.begin(Counter, A, Add(1), TUE, expected_seq=7)
    done = world.client.begin(Counter, B, Add(1000), TUE)
    world.restart()
    assert world.client.wait(Counter, done, 20) == 1000
    with pytest.raises(Conflict):
        world.client.wait(Counter, refused, 20)


def test_another_processor_answers_for_itself(world: World) -> None:
    world.run(Counter, Scales)
    world.call(Counter, A, Look())
    calls = [
        (Counter, world.client.begin(Counter, A, Add(5), TUE)),
        (Scales, world.client.begin(Scales, A, Weigh(), TUE)),
    ]
    assert [world.client.wait(each, call, 20) for each, call in calls] == [5, -len(A)]


def test_a_reply_bears_the_persist_id(world: World) -> None:
    world.run(Counter)
    world.call(Counter, "größer", Add(1))
    world.call(Counter, A, Look())
    assert [header(each, "persist-id") for each in world.replies(Counter)] == ["größer", A]


@pytest.mark.parametrize("key", [None, b"k" * 513])
def test_what_is_no_persist_id_is_answered_without_one(world: World, key: bytes | None) -> None:
    world.run(Counter)
    reply = world.ask(Counter, world.encoded(Counter, Add(1)), key=key, partition=0)
    assert header(reply, "status") == "error"
    assert "persist-id" not in dict(reply.headers)
