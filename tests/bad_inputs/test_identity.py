"""Persist ids that look like paths, like SQL or like each other are stored apart, safely."""

from __future__ import annotations

import unicodedata

import pytest
from counter import Add, Added, Count, Counter
from world import World

ODD = [
    "../../etc/passwd",
    "/",
    "..",
    "'; DROP TABLE x;--",
    '"; DROP TABLE records;--',
    "a",
    "a@1",
    "a@2",
    "a@1@1",
    "@",
    "@1",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "Name",
    "name",
    "NAME",
    " ",
    " a",
    "a ",
    "%00",
    "\\0",
    "🐘",
    "\u202eabc",
    "NULL",
    "0",
    "00",
]


@pytest.mark.parametrize("store", ["sqlitedict", "memory", "rocksdb"])
def test_odd_ids_are_kept_apart_in_memory_in_the_store_and_in_the_journal(
    world: World, store: str
) -> None:
    world.run(Counter, max_entities=3, store=store)
    for number, persist_id in enumerate(ODD, 1):
        assert world.call(Counter, persist_id, Add(number)) == number
    assert world.counts(Counter).evicted > 0
    expected = [Count(number, 1) for number in range(1, len(ODD) + 1)]
    assert [world.state(Counter, persist_id) for persist_id in ODD] == expected
    for without_store in (False, True):
        world.restart(without_store=without_store)
        assert [world.state(Counter, persist_id) for persist_id in ODD] == expected
    assert world.client.ids(Counter) == sorted(ODD, key=str.encode)


def test_a_query_by_id_finds_that_id_only(world: World) -> None:
    world.run(Counter)
    for number, persist_id in enumerate(ODD):
        world.call(Counter, persist_id, Add(number))
    for number, persist_id in enumerate(ODD):
        assert world.events(Counter, persist_id) == [(1, Added(number))]


@pytest.mark.parametrize("persist_id", ["", "a\0", "a\nb", "x" * 513, "\ud800", "\x7f"])
def test_a_client_refuses_what_is_no_persist_id(world: World, persist_id: str) -> None:
    from kstate.errors import BadPersistId

    world.run(Counter)
    with pytest.raises(BadPersistId):
        world.call(Counter, persist_id, Add(1))
    with pytest.raises(BadPersistId):
        world.cast(Counter, persist_id, Add(1))
    with pytest.raises(BadPersistId):
        list(world.client.events.by_id(Counter, persist_id))
    assert world.read(world.topics(Counter).commands) == []
