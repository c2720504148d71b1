"""What a query does not look for is never decoded: here it could not be."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from counter import Add, Added, Counter
from world import World

import kstate
from kstate import Client, EventAdapter, aio, tagged
from kstate.core.messages import Headers
from kstate.core.partition import partition_for
from kstate.errors import DecodeError

GARBAGE = b"\xc3\x01 no event"


class Sizes(EventAdapter):
    def to_journal(self, event: Any) -> Any:
        return tagged(event, "large", "seen") if event.amount >= 10 else tagged(event, "seen")


class Sized(Counter):
    name = "sized"
    adapters = (Sizes(),)


AMOUNTS = (3, 10, 20)
SELECTIONS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "one tag": ({"any_of": ["large"]}, [10, 20]),
    "one of several tags": ({"any_of": ["large", "seen"]}, [3, 10, 20]),
    "all of several tags": ({"all_of": ["large", "seen"]}, [10, 20]),
    "without a tag": ({"none_of": ["foreign"]}, [3, 10, 20]),
    "a type": ({"types": ["Added"]}, [3, 10, 20]),
    "a class": ({"types": [Added]}, [3, 10, 20]),
    "one of several types": ({"types": ["Added", "Removed"]}, [3, 10, 20]),
    "a type and a tag": ({"types": ["Added"], "any_of": ["large"]}, [10, 20]),
    "a type without a tag": ({"types": ["Added"], "none_of": ["large"]}, [3]),
}
selections = pytest.mark.parametrize("name", SELECTIONS)


def fill(world: World) -> World:
    """Events, and on every partition others of which the values are none."""
    world.run(Sized)
    for amount in AMOUNTS:
        world.call(Sized, "a", Add(amount))
    world.stop()  # a worker would refuse such a journal
    plant(world, [("type", b"Other"), ("tag", b"foreign")], 1)
    plant(world, [("type", b"Adde"), ("tag", b"larg"), ("tag", b"foreign")], 2)
    return world


@pytest.fixture(scope="module")
def mixed(shared_world: World) -> World:
    return fill(shared_world)


def plant(world: World, headers: Headers, seq: int) -> None:
    """Puts a record that cannot be decoded at the end of each partition of the journal."""
    journal = world.topics(Sized).journal
    for persist_id in "xyz":
        key = f"{persist_id}@{seq}".encode()
        partition = partition_for(persist_id.encode(), 2)
        world.produce(Sized, GARBAGE, key=key, partition=partition, topic=journal, headers=headers)


@pytest.fixture(params=["plain", "with an index"])
def client(mixed: World, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    index = "" if request.param == "plain" else str(tmp_path / "index")
    with kstate.connect(mixed.url, prefix=mixed.prefix, index=index) as made:
        yield made


def test_who_looks_for_them_cannot_read_them(client: Client) -> None:
    for selection in ({}, {"any_of": ["foreign"]}, {"types": ["Other"]}, {"none_of": ["large"]}):
        with pytest.raises(DecodeError):
            list(client.events.all(Sized, **selection))  # type: ignore[arg-type]
    with pytest.raises(DecodeError):
        list(client.events.by_id(Sized, "x"))


@selections
def test_a_query_passes_them_by(client: Client, name: str) -> None:
    selection, amounts = SELECTIONS[name]
    found = client.events.all(Sized, **selection)
    assert [each.event.amount for each in found] == amounts


@selections
def test_a_query_in_the_order_of_times_passes_them_by(client: Client, name: str) -> None:
    selection, amounts = SELECTIONS[name]
    found = client.events.all(Sized, in_time_order=True, **selection)
    assert [each.event.amount for each in found] == amounts


@selections
def test_a_live_query_passes_them_by(client: Client, name: str) -> None:
    selection, amounts = SELECTIONS[name]
    found = client.events.all(Sized, live=True, **selection)
    assert [each.event.amount for each in itertools.islice(found, len(amounts))] == amounts


def test_a_query_by_id_passes_them_by(client: Client) -> None:
    assert [each.event.amount for each in client.events.by_id(Sized, "a")] == [*AMOUNTS]


def test_what_comes_passes_the_tail_by(world: World) -> None:
    """At the end of the journal, too, where all live queries share a reader."""
    mixed = fill(world)
    large = mixed.client.events.by_tag(Sized, "large", live=True)
    assert [next(large).event.amount for _ in range(2)] == [10, 20]
    plant(mixed, [("type", b"Other"), ("tag", b"foreign")], 3)
    value = mixed.client.machine(Sized).codec.encode_event(Added(77))
    mixed.produce(Sized, value, key=b"a@4", partition=partition_for(b"a", 2),
                  topic=mixed.topics(Sized).journal,
                  headers=[("type", b"Added"), ("tag", b"large")])  # fmt: skip
    assert next(large).event.amount == 77


def test_the_ids_need_no_event(mixed: World) -> None:
    assert mixed.client.ids(Sized) == ["a", "x", "y", "z"]


def test_asyncio(mixed: World) -> None:
    async def main() -> list[int]:
        async with aio.connect(mixed.url, prefix=mixed.prefix) as k:
            return [each.event.amount async for each in k.events.by_tag(Sized, "large")]

    assert asyncio.run(main()) == [10, 20]
