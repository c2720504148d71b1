"""With an index a query finds what it finds without."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from books import IDS, Books, by_partition, selections

import kstate.aio
from kstate.log.embedded import EmbeddedLog
from kstate.query.index_terms import decode_headers, encode_headers
from processors.bank import Bank


@pytest.fixture
def books(url: str, tmp_path: Path) -> Iterator[Books]:
    made = Books(url, tmp_path, f"t{uuid.uuid4().hex[:8]}-")
    try:
        yield made
    finally:
        made.close()


SEEDS = range(3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_selection_finds_the_same_events_in_the_same_order(books: Books, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3):
        books.grow(chance, 60)
        if chance.random() < 0.3 and isinstance(books.world.log, EmbeddedLog):
            books.world.log.compact(books.topics.journal)
        for selection in selections(chance):
            plain = books.living(books.plain.events.all(Bank, **selection))
            indexed = list(books.indexed.events.all(Bank, **selection))
            assert by_partition(indexed) == by_partition(plain), selection


@pytest.mark.parametrize("seed", SEEDS)
def test_in_time_order_the_sequence_is_the_same(books: Books, seed: int) -> None:
    chance = random.Random(seed)
    books.grow(chance, 100)
    for selection in selections(chance):
        plain = books.living(books.plain.events.all(Bank, in_time_order=True, **selection))
        assert list(books.indexed.events.all(Bank, in_time_order=True, **selection)) == plain


def test_an_id_has_the_same_events_in_the_same_order(books: Books) -> None:
    books.grow(random.Random(7), 200)
    for persist_id in IDS:
        plain = books.living(books.plain.events.by_id(Bank, persist_id))
        assert list(books.indexed.events.by_id(Bank, persist_id)) == plain
        later = [each for each in plain if 2 <= each.seq <= 5]
        found = books.indexed.events.by_id(Bank, persist_id, from_seq=2, to_seq=5)
        assert list(found) == later


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("in_time_order", [False, True])
def test_a_position_resumes_with_or_without_the_index(
    books: Books, seed: int, in_time_order: bool
) -> None:
    chance = random.Random(seed)
    books.grow(chance, 80)
    for selection in selections(chance):
        every = books.living(books.plain.events.all(Bank, **selection))
        if not every:
            continue
        for first, second in ((books.plain, books.indexed), (books.indexed, books.plain)):
            found = list(first.events.all(Bank, in_time_order=in_time_order, **selection))
            at = chance.randrange(len(found))
            rest = second.events.all(Bank, after=found[at].position, **selection)
            resumed = books.living([*found[: at + 1], *rest])
            assert by_partition(resumed) == by_partition(every)


def test_a_query_since_a_time_begins_at_the_same_events(books: Books) -> None:
    books.grow(random.Random(3), 100)
    middle = sorted(each.at for each in books.plain.events.all(Bank))[50]
    plain = books.living(books.plain.events.by_tag(Bank, "large", "odd", since=middle))
    assert plain
    found = books.indexed.events.by_tag(Bank, "large", "odd", since=middle)
    assert by_partition(found) == by_partition(plain)


def test_more_tags_than_one_statement_takes_are_found(books: Books) -> None:
    books.produce(*[books.event("acct-1", n, [f"t{n}"]) for n in range(250)])
    found = books.indexed.events.by_tag(Bank, *[f"t{n}" for n in range(1, 250)])
    assert [each.event.amount for each in found] == list(range(1, 250))


def test_a_result_of_many_pages_is_complete(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kstate.query.index.PAGE", 7)
    books.produce(*[books.event("acct-1", n, ["large"] * (n % 2)) for n in range(100)])
    tagged = books.indexed.events.by_tag(Bank, "large")
    assert [each.event.amount for each in tagged] == list(range(1, 100, 2))
    by_id = books.indexed.events.by_id(Bank, "acct-1")
    assert [each.seq for each in by_id] == list(range(1, 101))


def test_what_came_since_the_last_query_is_found(books: Books) -> None:
    books.produce(books.event("acct-1", 1, ["large"]))
    assert len(list(books.indexed.events.by_tag(Bank, "large"))) == 1
    books.produce(books.event("acct-2", 2, ["large"]))
    assert len(list(books.indexed.events.by_tag(Bank, "large"))) == 2


def test_headers_of_all_lengths_are_kept() -> None:
    headers = [
        (name, b"x" * size) for name in ("tag", "ü", "n" * 300) for size in (0, 253, 254, 255, 300)
    ]
    missing = [("none", None)]
    assert decode_headers(encode_headers(headers + missing)) == headers + missing  # type: ignore[operator]


@pytest.mark.parametrize("blob", [b"\x03tag", b"\x03ta", b"\x03tag\x05abc", b"\xfe\x00"])
def test_damaged_headers_are_told(blob: bytes) -> None:
    with pytest.raises(ValueError, match="no headers"):
        decode_headers(blob)


def test_the_environment_names_the_directory(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSTATE_INDEX", str(tmp_path / "named"))
    books.produce(books.event("acct-1", 1, ["large"]))
    with kstate.connect(books.url, prefix=books.prefix) as client:
        assert len(list(client.events.by_tag(Bank, "large"))) == 1
    assert list((tmp_path / "named").glob("*.index"))


def test_a_client_for_asyncio_has_an_index_too(books: Books) -> None:
    books.produce(books.event("acct-1", 1, ["large"]))

    async def amounts() -> list[int]:
        index = books.directory
        async with kstate.aio.connect(books.url, prefix=books.prefix, index=index) as client:
            return [each.event.amount async for each in client.events.by_tag(Bank, "large")]

    assert asyncio.run(amounts()) == [1]
    assert list(books.directory.glob("*.index"))
