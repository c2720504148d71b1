"""The file of an index: shared by processes, on a disk that is full, and by the command."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from books import PATIENCE_S, Books, fill, large, warnings
from click.testing import CliRunner

import kstate
from kstate.cli.main import kstate as command_line
from kstate.errors import ConfigError
from kstate.query.index import Index
from kstate.wiring import open_log
from processors.bank import Bank

SPAWN = multiprocessing.get_context("spawn")


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
