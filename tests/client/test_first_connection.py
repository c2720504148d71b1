"""A timeout bounds the first connection, too: the log may be away from the start."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from counter import Add, Counter, Look
from world import World

import kstate
from kstate import Client, aio
from kstate.errors import NotSent


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a cluster that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"kafka://127.0.0.1:{server.getsockname()[1]}"


def slow(client: Client, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The client's log says what topics there are only once the event is set."""
    gate = threading.Event()
    real: Any = client._log.topics

    def topics(*names: Any) -> Any:
        gate.wait()
        return real(*names)

    monkeypatch.setattr(client._log, "topics", topics)
    return gate


def asking() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "kstate-opening"]


def test_a_call_to_a_cluster_that_is_silent_ends_with_its_timeout(silent: str) -> None:
    with kstate.connect(silent) as client:
        with pytest.raises(NotSent, match="the command was not sent"):
            client.call(Counter, "a", Add(5), timeout=0.05)
        assert asking(), "it was still asking: nobody waited for the answer"


def test_a_call_of_asyncio_ends_with_its_timeout_as_well(silent: str) -> None:
    async def main() -> None:
        async with aio.connect(silent) as client:
            with pytest.raises(NotSent):
                await client.call(Counter, "a", Add(5), timeout=0.05)
            assert asking()

    asyncio.run(main())


def test_what_was_late_for_one_call_serves_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter)
    gate = slow(world.client, monkeypatch)
    with pytest.raises(NotSent):
        world.client.call(Counter, "a", Add(5), timeout=0.01)
    gate.set()
    assert world.call(Counter, "a", Look()) == 0, "and nothing was sent by the call before"


def test_a_client_closes_while_it_is_still_connecting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(Counter)
    client = kstate.connect(world.url, prefix=world.prefix)
    gate = slow(client, monkeypatch)
    with pytest.raises(NotSent):
        client.call(Counter, "a", Add(5), timeout=0.01)
    client.close()
    late = asking()
    assert late
    gate.set()
    for thread in late:
        thread.join(20)
        assert not thread.is_alive()
    assert not client._links._open, "what came late was closed at once"
