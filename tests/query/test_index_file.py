"""The file of an index: made anew where it must be, shared, and free of what was erased."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from books import PATIENCE_S, Books
from click.testing import CliRunner

import kstate
from kstate.cli.main import kstate as command_line
from kstate.errors import ConfigError, StoreCorrupt
from kstate.log.embedded import EmbeddedLog
from kstate.query.index import Index
from kstate.wiring import open_log
from processors.bank import Bank

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(f"sqlite:{tmp_path}/log.db?sync=normal", tmp_path, f"t{uuid.uuid4().hex[:8]}-")
    try:
        yield made
    finally:
        made.close()


def large(books: Books) -> list[int]:
    """The amounts of the tagged events, by the index."""
    found = books.indexed.events.by_tag(Bank, "large")
    return sorted(each.event.amount for each in found)


def fill(books: Books, count: int) -> None:
    ids = [f"acct-{number}" for number in range(20)]
    books.produce(
        *[books.event(ids[n % 20], n, ["large"] if n % 10 == 0 else []) for n in range(count)]
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


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


# -- several processes ---------------------------------------------------------------------------


def _catch_up(url: str, directory: Path, topic: str, done: Any = None) -> None:
    log = open_log(url)
    index = Index(directory, log, topic)
    for _ in range(3):
        index.catch_up()
    index.close()
    log.close()


def test_processes_that_build_at_the_same_time_make_one_right_index(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(books, 6_000)
    arguments = (books.url, books.directory, books.topics.journal)
    others = [SPAWN.Process(target=_catch_up, args=arguments) for _ in range(2)]
    for each in others:
        each.start()
    assert large(books) == list(range(0, 6_000, 10))
    for each in others:
        each.join()
        assert each.exitcode == 0
    held = books.index.held()
    assert sum(each.events for each in held.values()) == 6_000


def test_a_file_that_another_process_took_further_than_the_ends_seen_here_is_kept(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    fill(books, 20)
    info, ends = books.index._journal()
    fill(books, 20)
    with books.client() as other:
        other.journal(Bank)._index.catch_up()  # type: ignore[union-attr]
    books.index._ready(info, ends, int(time.time() * 1000))
    assert not warnings(caplog)


@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_process_killed_while_it_builds_leaves_a_file_that_others_complete(
    books: Books, after: int
) -> None:
    fill(books, 3_000)
    program = f"""
import os, signal
from pathlib import Path
from kstate.query import index, index_file
from kstate.wiring import open_log
index.BATCH = index.CHUNK = 100
add, count = index_file.IndexFile._count, 0
def dying(self, *rest):
    global count
    add(self, *rest)
    count += 1
    if count == {after}:
        os.kill(os.getpid(), signal.SIGKILL)  # in the middle of a transaction
index_file.IndexFile._count = dying
log = open_log({books.url!r})
index.Index(Path({str(books.directory)!r}), log, {books.topics.journal!r}).catch_up()
"""
    killed = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_S, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sum(each.events for each in books.index.held().values()) == (after - 1) * 100
    assert large(books) == list(range(0, 3_000, 10))


# -- what cannot be written ----------------------------------------------------------------------


def test_a_full_disk_is_one_sentence_and_leaves_the_journal_alone(books: Books) -> None:
    fill(books, 3_000)
    before = books.world.read(books.topics.journal)
    program = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from kstate.errors import StoreError
from kstate.query.index import Index
from kstate.wiring import open_log
log = open_log({books.url!r})
index = Index(Path({str(books.directory)!r}), log, {books.topics.journal!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    index.catch_up()
except StoreError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], timeout=PATIENCE_S, check=True, capture_output=True
    )
    said = done.stdout.decode()
    assert said.startswith("StoreError the index"), done.stderr
    assert said.count("\n") == 1
    assert books.world.read(books.topics.journal) == before
    assert large(books) == list(range(0, 3_000, 10)), "with room again, it is completed"


def test_a_directory_that_cannot_be_made_is_refused(books: Books, tmp_path: Path) -> None:
    fill(books, 10)
    (tmp_path / "taken").write_text("a file")
    with (
        kstate.connect(books.url, prefix=books.prefix, index=tmp_path / "taken") as client,
        pytest.raises(ConfigError, match="cannot hold an index"),
    ):
        list(client.events.by_tag(Bank, "large"))


# -- the command ---------------------------------------------------------------------------------


def shell(books: Books, *arguments: str) -> Any:
    given = ("index", "bank", "--log", books.url, "--prefix", books.prefix, *arguments)
    return CliRunner().invoke(command_line, given, prog_name="kstate")


def test_the_command_says_what_the_index_has(books: Books) -> None:
    fill(books, 60)
    done = shell(books, "--dir", str(books.directory), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["file"] == str(books.file)
    assert sum(each["events"] for each in told["partitions"]) == 60
    lines = shell(books, "--dir", str(books.directory), "--rebuild").stdout.splitlines()
    assert len(lines) == 4
    assert "60 events" in lines[-1]


def test_the_command_makes_a_damaged_file_anew(books: Books) -> None:
    fill(books, 60)
    books.directory.mkdir()
    books.file.write_bytes(random.Random(1).randbytes(10_000))
    done = shell(books, "--dir", str(books.directory))
    assert done.exit_code == 0, done.output
    assert "60 events" in done.stdout


def test_the_command_wants_a_directory(books: Books) -> None:
    done = shell(books)
    assert done.exit_code == ConfigError.exit_code
    assert "--dir" in done.output


def test_following_tells_of_what_comes(books: Books) -> None:
    fill(books, 10)
    arguments = ["index", "bank", "--log", books.url, "--prefix", books.prefix]
    arguments += ["--dir", str(books.directory), "--follow", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "kstate.cli.main", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        for count in (10, 15):
            told = json.loads(process.stdout.readline())
            assert sum(each["events"] for each in told["partitions"]) == count
            books.produce(*[books.event("acct-1", n) for n in range(5)])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
    finally:
        process.kill()
        process.communicate()
