"""docs/producing-commands.md is true: its programs are the tested ones, and print what it says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import java_programs
import pytest
from confluent_kafka import Producer
from java_programs import Java
from pages import Block, Shell, blocks, follow
from world import PATIENCE_S, World, header

from processors.bank import Bank, Deposit, Deposited

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "producing-commands.md"
TEXT = PAGE.read_text("utf-8")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty directory but for the schemas."""
    there = tmp_path / "here"
    there.mkdir()
    shutil.copytree(ROOT / "schemas", there / "schemas")
    return there


@pytest.fixture
def shell(directory: Path) -> Iterator[Shell]:
    made = Shell(directory)
    yield made
    made.close()


def section(title: str, directory: Path) -> list[Block]:
    """The blocks of a section."""
    page = directory / "section.md"
    page.write_text(TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0], "utf-8")
    return blocks(page)


def here(found: list[Block], world: World) -> list[Block]:
    """The blocks with their commands for this test's broker and topics."""

    def translated(text: str) -> str:
        text = text.replace("localhost:9092", world.url.removeprefix("kafka://"))
        return re.sub(r"(?<![\w/])bank(?=[ .])", f"{world.prefix}bank", text)

    return [
        Block(language, translated(text) if language == "console" else text)
        for language, text in found
    ]


def test_the_python_program_does_what_the_page_says(
    bank: World, shell: Shell, directory: Path
) -> None:
    assert follow(here(section("Python", directory), bank), directory, shell) == 2
    assert bank.events(Bank, "acct-1") == [(1, Deposited(5))]
    assert bank.counts(Bank).forwarded == 0


def test_the_python_program_needs_no_kstate(directory: Path) -> None:
    (program,) = (text for language, text in section("Python", directory) if language == "python")
    imported = set(re.findall(r"^(?:import|from) (\w+)", program, re.M))
    assert imported == {"confluent_kafka", "fastavro", "io", "json", "sys", "uuid"}


@pytest.mark.usefixtures("kcat")
def test_kcat_does_what_the_page_says(bank: World, shell: Shell, directory: Path) -> None:
    assert follow(here(section("kcat", directory), bank), directory, shell) == 4
    assert bank.events(Bank, "acct-2") == [(1, Deposited(7))]
    assert bank.counts(Bank).forwarded == 0


def java_blocks(directory: Path) -> dict[str, str]:
    """The Java programs of the page, by the names of their files."""
    found = {}
    for language, text in section("Java", directory):
        if language == "java":
            named = re.search(r"^(?:public )?final class (\w+)", text, re.M)
            assert named, text[:80]
            found[f"{named[1]}.java"] = text
    return found


def test_the_java_programs_do_what_the_page_says(
    java: Java, bank: World, shell: Shell, directory: Path
) -> None:
    (directory / "jars").symlink_to(java.jars)
    for name, text in java_blocks(directory).items():
        (directory / name).write_text(text)
    assert follow(here(section("Java", directory), bank), directory, shell) == 4
    assert bank.events(Bank, "acct-3") == [(1, Deposited(9))]
    assert bank.counts(Bank).forwarded == 0


def test_the_java_programs_of_the_page_are_the_tested_ones(directory: Path) -> None:
    tested = {path.name: path.read_text() for path in java_programs.SOURCES.glob("*.java")}
    assert java_blocks(directory) == tested


# -- what does not fit -----------------------------------------------------------------------------

JSON = [("content-type", b"application/json"), ("type", b"Deposit")]
Sample = tuple[bytes | None, Callable[[bytes], bytes | None], Iterable[tuple[str, bytes]]]
"""A key, a value made of a good command's bytes, and headers."""

SAMPLES: dict[str, Sample] = {
    "bad-persist-id": (b"a\nb", lambda good: good, ()),
    "bad-header": (b"a", lambda good: good, [("expected-seq", b"one")]),
    "no-value": (b"a", lambda good: None, ()),
    "not-avro": (b"a", lambda good: b"hello", ()),
    "unknown-schema": (b"a", lambda good: good[:2] + b"\x07" * 8 + good[10:], ()),
    "unknown-type": (b"a", lambda good: b"{}", [*JSON, ("type", b"Shout")]),
    "truncated": (b"a", lambda good: good[:10], ()),
    "trailing": (b"a", lambda good: good + b"\0", ()),
    "malformed": (b"a", lambda good: good[:10] + b"\xff" * 20, ()),
    "bad-json": (b"a", lambda good: b'{"amuont": 7}', JSON),
}
ELSEWHERE = {
    *("too-deep", "too-large", "schema-limit", "ambiguous"),
    *("unresolved", "invalid-value", "failed", "deadly", "registry-away"),
}
"""Codes that no command of this bank can get."""


def test_every_code_of_the_page_is_sent_to_what_it_says(bank: World) -> None:
    told = set(re.findall(r"\| `([\w-]+)` \|$", TEXT.partition("## What does not fit")[2], re.M))
    assert told - {"code"} == SAMPLES.keys() | ELSEWHERE
    good = bank.encoded(Bank, Deposit(5))
    plain = Producer({"bootstrap.servers": bank.url.removeprefix("kafka://")})
    topics = bank.topics(Bank)
    for code, (key, make, headers) in SAMPLES.items():
        asking = [("command-id", code.encode()), ("reply-to", topics.replies.encode())]
        plain.produce(topics.commands, make(good), key, headers=[*asking, *headers])
    assert plain.flush(PATIENCE_S) == 0
    for code in SAMPLES:
        reply = bank.reply_to(Bank, code.encode())
        assert (header(reply, "status"), header(reply, "code")) == ("error", code)
        assert not reply.value
    letters = {header(letter, "command-id") for letter in bank.dead_letters(Bank)}
    assert letters == SAMPLES.keys()
    assert bank.journal(Bank) == []
