"""What mypy must say of a user's code; each line's comment is what it must say."""

from __future__ import annotations

from typing import assert_type

from counter import Add, Count, Counter, Reset

import kstate
from kstate import Client, Context, Tagged, aio, tagged


def use(k: Client) -> None:
    assert_type(k.call(Counter, "a", Add(5)), int)
    assert_type(k.call("counter", "a", Add(5)), int)
    assert_type(k.call(Counter, "a", Add(5), timeout=1, command_id="x", expected_seq=1), int)
    assert_type(k.call(Counter, "a", Reset()), None)
    assert_type(k.cast(Counter, "a", Add(5)), str)
    assert_type(k.state(Counter, "a"), Count)
    assert_type(k.state(Counter, "a", at_seq=3), Count)
    print(k.state("counter", "a").anything)  # its class is not known: Any
    assert_type(k.ids(Counter), list[str])
    for stored in k.events.by_id(Counter, "a"):
        assert_type(stored.seq, int)
    assert_type(kstate.connect("sqlite:x.db"), Client)
    print(kstate.nothing)  # E: attr-defined
    assert_type(kstate.errors.LogError(), kstate.errors.LogError)
    assert_type(tagged(5, "x"), Tagged)
    k.call(Counter, "a", 5)  # E: arg-type
    k.call(Counter, "a", Add("5"))  # E: arg-type
    k.call(Counter, "a", Add)  # E: arg-type
    k.call(Counter, 7, Add(5))  # E: arg-type
    k.call(int, "a", Add(5))  # E: arg-type
    k.cast(Counter, "a", "Add")  # E: arg-type
    print(k.state(Counter, "a").nothing)  # E: attr-defined
    text: str = k.call(Counter, "a", Add(5))  # E: assignment
    print(text)


async def use_async() -> None:
    async with aio.connect("sqlite:x.db") as k:
        assert_type(await k.call(Counter, "a", Add(5)), int)
        assert_type(await k.call("counter", "a", Add(5)), int)
        assert_type(await k.cast(Counter, "a", Add(5)), str)
        assert_type(await k.state(Counter, "a"), Count)
        assert_type(await k.state(Counter, "a", at_seq=3), Count)
        await k.state("counter", "a")  # its class is not known: Any
        assert_type(await k.ids(Counter), list[str])
        async for stored in k.events.by_id(Counter, "a"):
            assert_type(stored.seq, int)
        await k.call(Counter, "a", 5)  # E: arg-type
        text: str = await k.call(Counter, "a", Add(5))  # E: arg-type
        print(text)


def handle(ctx: Context[Count]) -> None:
    assert_type(ctx.state, Count)
    assert_type(ctx.seq, int)
    assert_type(ctx.persist_id, str)
    ctx.send(Counter, "b", Add(5))
    ctx.send(Counter, "b", 5)  # E: arg-type
    ctx.after_commit(5)  # E: arg-type
