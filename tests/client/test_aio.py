"""The client for asyncio: the same, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from client_tools import refuse_records_of
from counter import Add, AddAndRefuse, Added, Count, Counter, Look
from world import World

from kstate import CallTimeout, Conflict, KStateError, Rejected, aio
from kstate.aio import AsyncClient
from kstate.errors import ConfigError, LogError, StateTimeout, TopicError


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await main

    return asyncio.run(bounded())


def test_calls_casts_states_ids_and_events(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            assert await k.call(Counter, "a", Add(5)) == 5
            assert await k.cast(Counter, "a", Add(2), command_id="mine") == "mine"
            await k.flush()
            assert await k.call("counter", "a", Look()) == 7
            assert await k.state(Counter, "a") == Count(7, 2)
            assert await k.state(Counter, "a", at_seq=1) == Count(5, 1)
            assert await k.ids(Counter) == ["a"]
            found = [e.event async for e in k.events.by_id(Counter, "a")]
            assert found == [Added(5), Added(2)]
            assert [e async for e in k.events.by_tag(Counter, "none")] == []

    world.run(Counter)
    run(main())


def test_many_calls_at_once(world: World) -> None:
    async def main() -> list[int]:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            calls = [k.call(Counter, f"id-{n % 10}", Add(1), timeout=20) for n in range(200)]
            return await asyncio.gather(*calls)

    world.run(Counter)
    assert sorted(run(main())) == sorted([*range(1, 21)] * 10)


def test_errors_are_the_same(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            with pytest.raises(Rejected, match="5 is not wanted"):
                await k.call(Counter, "a", AddAndRefuse(5))
            with pytest.raises(Conflict):
                await k.call(Counter, "a", Add(5), expected_seq=9)
            with pytest.raises(TopicError):
                await k.call("nobody", "a", Add(5))

    world.run(Counter)
    run(main())


def test_a_header_that_kstate_sets_itself_is_refused(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            with pytest.raises(ConfigError, match="the header reply-to is kstate's own"):
                await k.call(Counter, "a", Add(5), headers={"reply-to": b"x"})
            with pytest.raises(ConfigError, match="the header command-id is kstate's own"):
                await k.cast(Counter, "a", Add(5), headers={"command-id": b"x"})

    world.run(Counter)
    run(main())


def test_a_call_that_timed_out_is_repeated_for_the_original_answer(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            await k.call(Counter, "a", Look(), timeout=20)
            await asyncio.to_thread(world.stop)
            with pytest.raises(CallTimeout) as timeout:
                await k.call(Counter, "a", Add(5), timeout=0.05)
            await asyncio.to_thread(world.restart)
            again = timeout.value.command_id
            assert await k.call(Counter, "a", Add(5), command_id=again, timeout=20) == 5
            assert await k.call(Counter, "a", Look(), timeout=20) == 5

    world.run(Counter)
    run(main())


def test_a_state_that_is_not_told_in_time_says_what_to_do(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            await k.call(Counter, "a", Look(), timeout=20)
            await asyncio.to_thread(world.stop)
            with pytest.raises(StateTimeout, match="kstate status counter"):
                await k.state(Counter, "a", timeout=0.05)

    world.run(Counter)
    run(main())


def test_a_cancelled_call_leaves_the_client_usable(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            task = asyncio.create_task(k.call(Counter, "a", Add(5)))
            while not world.read(world.topics(Counter).commands):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(world.restart)
            assert await k.call(Counter, "a", Look(), timeout=20) == 5

    world.run(Counter)
    world.stop()
    run(main())


def test_a_call_cancelled_while_it_waits_takes_no_others_reply_with_it(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            calls = [
                asyncio.create_task(k.call(Counter, "a", Add(5), command_id="one", timeout=20))
                for _ in range(2)
            ]
            await both_wait(k)
            calls[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await calls[0]
            await asyncio.to_thread(world.restart)
            assert await calls[1] == 5
            assert await k.call(Counter, "a", Look(), timeout=20) == 5

    async def both_wait(k: AsyncClient) -> None:
        replies = k._client._links.replies(world.topics(Counter))
        while len(replies._waiting.get(b"one", ())) != 2:
            await asyncio.sleep(0)

    world.run(Counter)
    world.stop()
    run(main())


def test_a_cast_that_is_not_stored_is_told_to_the_task_that_sent_it(world: World) -> None:
    async def cast_and_flush(k: AsyncClient, persist_id: str, cast: asyncio.Barrier) -> None:
        await k.cast(Counter, persist_id, Add(1))
        await cast.wait()
        await k.flush()

    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            refuse_records_of(k._client, b"unlucky")
            both = asyncio.Barrier(2)
            told = await asyncio.gather(
                cast_and_flush(k, "lucky", both),
                cast_and_flush(k, "unlucky", both),
                return_exceptions=True,
            )
            assert told[0] is None
            assert isinstance(told[1], LogError)

    world.run(Counter)
    run(main())


def test_what_a_task_that_ended_was_not_told_goes_to_the_next_flush(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:
            refuse_records_of(k._client, b"unlucky")
            await asyncio.gather(*(k.cast(Counter, name, Add(1)) for name in ("lucky", "unlucky")))
            with pytest.raises(LogError):
                await k.flush()
            await k.flush()

    world.run(Counter)
    run(main())


def test_a_live_query_gets_what_comes_and_can_be_left(world: World) -> None:
    async def main() -> list[int]:
        seqs = []
        async with aio.connect(world.url, prefix=world.prefix) as k:
            await k.call(Counter, "a", Add(5, times=2))
            async for stored in k.events.by_id(Counter, "a", live=True):
                seqs.append(stored.seq)
                if stored.seq == 2:
                    await k.cast(Counter, "a", Add(1))
                if stored.seq == 3:
                    break
        return seqs

    world.run(Counter)
    assert run(main()) == [1, 2, 3]


def test_a_live_query_that_waits_can_be_cancelled(world: World) -> None:
    async def main() -> None:
        async with aio.connect(world.url, prefix=world.prefix) as k:

            async def follow() -> None:
                async for _ in k.events.by_id(Counter, "a", live=True):
                    seen.set()

            seen = asyncio.Event()
            task = asyncio.create_task(follow())
            await k.cast(Counter, "a", Add(1))
            await seen.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    world.run(Counter)
    run(main())


def test_closing_ends_a_call_that_waits(world: World) -> None:
    async def main() -> None:
        k = aio.connect(world.url, prefix=world.prefix)
        task = asyncio.create_task(k.call(Counter, "a", Add(5), timeout=20))
        while not world.read(world.topics(Counter).commands):
            await asyncio.sleep(0)
        await k.close()
        with pytest.raises(KStateError, match="closed"):
            await task

    world.run(Counter)
    world.stop()
    run(main())
