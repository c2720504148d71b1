"""The file of an index: made anew where it must be, and free of what was erased."""

from __future__ import annotations

import os
import re
import sqlite3
import time
import uuid
from pathlib import Path

import pytest
from books import Books, fill, large, warnings
from click.testing import CliRunner

from kstate.cli.main import kstate as command_line
from kstate.errors import StoreCorrupt
from kstate.log.embedded import EmbeddedLog
from kstate.query.index import Index
from processors.bank import Bank


def content(books: Books) -> bytes:
    """All bytes of the file and of what was written ahead of it."""
    paths = books.directory.glob("*.index*")
    return b"".join(path.read_bytes() for path in paths)


# -- what was erased -----------------------------------------------------------------------------


def test_nothing_of_an_erased_event_is_left_in_the_file(books: Books) -> None:
    fill(books, 300)
    secrets = [f"secret-{n:04}-of-{uuid.uuid4().hex}" for n in range(200)]
    books.produce(*[books.event("erased-one", n, [tag]) for n, tag in enumerate(secrets)])
    assert len(list(books.indexed.events.by_tag(Bank, *secrets))) == 200
    books.index._file.clean()
    books.produce(*[books.tombstone("erased-one", n + 1) for n in range(200)])
    assert not list(books.indexed.events.by_id(Bank, "erased-one"))
    assert b"erased-one" not in content(books)
    assert large(books) == list(range(0, 300, 10))


def test_tags_that_no_event_bears_any_more_are_gone_from_the_file(books: Books) -> None:
    books.produce(books.event("acct-1", 1, ["mail-of-somebody"]))
    assert list(books.indexed.events.by_tag(Bank, "mail-of-somebody"))
    books.produce(books.tombstone("acct-1", 1))
    assert not list(books.indexed.events.by_tag(Bank, "mail-of-somebody"))
    assert b"mail-of-somebody" not in content(books)


def test_an_event_behind_its_tombstone_is_kept(books: Books) -> None:
    books.produce(books.tombstone("acct-1", 1), books.event("acct-1", 5, ["large"]))
    assert large(books) == [5]


def test_the_first_event_goes_when_the_journal_begins_later(books: Books) -> None:
    fill(books, 100)
    assert large(books)
    log = books.world.log
    assert isinstance(log, EmbeddedLog)
    books.produce(*[books.tombstone(f"acct-{n}", 1) for n in range(20)])
    log.compact(books.topics.journal)
    assert large(books) == sorted(e.event.amount for e in books.plain.events.by_tag(Bank, "large"))


def test_a_name_that_another_process_has_deleted_is_numbered_anew(books: Books) -> None:
    books.produce(books.event("acct-1", 1, ["first"]))
    assert list(books.indexed.events.by_tag(Bank, "first"))
    with books.client() as other:
        books.produce(books.tombstone("acct-1", 1), books.event("acct-2", 2, ["second"]))
        assert len(list(other.events.by_tag(Bank, "second"))) == 1
    books.produce(books.event("acct-1", 3, ["first"]))
    for tag, amount in (("first", 3), ("second", 2)):
        found = list(books.indexed.events.by_tag(Bank, tag))
        assert [each.event.amount for each in found] == [amount]


# -- made anew -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 100, 5_000])
def test_a_damaged_file_is_made_anew_with_one_warning(
    books: Books, caplog: pytest.LogCaptureFixture, kept: int
) -> None:
    fill(books, 200)
    expected = large(books)
    path = books.file
    books.indexed.close()
    path.write_bytes(path.read_bytes()[:kept] + os.urandom(50_000))
    books.indexed = books.client()
    assert large(books) == expected
    assert len(warnings(caplog)) == 1
    assert "damaged" in warnings(caplog)[0]
    books.indexed.close()


def test_a_damaged_file_that_others_use_is_left_to_them(books: Books) -> None:
    fill(books, 50)
    assert large(books)
    with books.client() as other:
        assert list(other.events.by_tag(Bank, "large"))
        with pytest.raises(StoreCorrupt, match="other processes use it"):
            books.index._throw_away(StoreCorrupt("it is damaged"))
        assert large(books)


def test_a_damaged_file_that_others_use_is_not_rebuilt_and_the_cure_is_named(
    books: Books,
) -> None:
    fill(books, 50)
    assert large(books)
    with sqlite3.connect(books.file) as db:
        db.execute("DROP TABLE stamp")
    db.close()
    cure = "is damaged .*, and other processes use it: end them, and it is made anew"
    environment = {"KSTATE_LOG": books.url, "KSTATE_PREFIX": books.prefix}
    arguments = ["index", "bank", "--dir", str(books.directory), "--rebuild"]
    out = CliRunner().invoke(command_line, arguments, env=environment, prog_name="kstate")
    assert out.exit_code == StoreCorrupt.exit_code
    assert re.search(cure, out.stderr), out.stderr
    assert out.stderr.count("\n") == 1
    books.indexed.close()
    out = CliRunner().invoke(command_line, arguments, env=environment, prog_name="kstate")
    assert out.exit_code == 0, out.output
    books.indexed = books.client()
    assert large(books) == list(range(0, 50, 10))
    books.indexed.close()


def test_a_file_of_another_format_is_made_anew(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    fill(books, 50)
    expected = large(books)
    with sqlite3.connect(books.file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert large(books) == expected
    assert "another format" in warnings(caplog)[0]


@pytest.mark.parametrize("column", ["identity", "partitions"])
def test_a_file_of_another_journal_is_made_anew(
    books: Books, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    fill(books, 50)
    expected = large(books)
    with sqlite3.connect(books.file) as db:
        db.execute(f"UPDATE stamp SET {column} = 7")
    db.close()
    assert large(books) == expected
    assert large(books) == expected
    assert len(warnings(caplog)) == 1


def test_a_journal_of_another_partition_count_is_indexed_anew(
    books: Books, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(books, 50)
    assert large(books)
    other = Books(f"sqlite:{tmp_path}/other.db", tmp_path, books.prefix, partitions=5)
    try:
        fill(other, 80)
        assert large(other) == list(range(0, 80, 10))
        assert len(warnings(caplog)) == 1
        assert large(books) == list(range(0, 50, 10)), "and back"
    finally:
        other.close()


def test_a_file_so_old_that_tombstones_may_be_missed_is_made_anew(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    fill(books, 50)
    now = [time.time()]
    index = Index(books.directory, books.world.log, books.topics.journal, lambda: now[0])
    try:
        index.catch_up()
        now[0] += 6 * 86_400
        index.catch_up()
        now[0] += 6 * 86_400
        index.catch_up()
        assert not warnings(caplog), "brought up to date, it stays fresh"
        now[0] += 8 * 86_400
        index.catch_up()
        assert "tombstones" in warnings(caplog)[0]
    finally:
        index.close()


def test_a_query_goes_on_when_the_file_is_made_anew_in_between(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.query.index.PAGE", 5)
    fill(books, 300)
    found = books.indexed.events.by_tag(Bank, "large")
    had = [next(found).event.amount]
    with books.client() as other:
        other.journal(Bank)._index.rebuild()  # type: ignore[union-attr]
        had += [each.event.amount for each in found]
    assert sorted(had) == list(range(0, 300, 10))
