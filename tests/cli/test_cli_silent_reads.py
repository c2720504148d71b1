"""Whoever reads a whole journal says how far it is when that takes long, and nothing else."""

from __future__ import annotations

import re

import pytest
from shells import Shell
from shop import Put, Shop
from world import World

READS = [
    ("query", "shop", "--tag", "none"),
    ("query", "shop", "--type", "None", "--by-time"),
    ("query", "shop", "--ids"),
    ("query", "shop", "--id", "o-1"),
    ("state", "shop:Shop", "o-1", "--at-seq", "2"),
    ("state", "shop:Shop", "o-1", "--at", "seq:2"),
    ("state", "shop:Shop", "o-1", "--from", "seq:1"),
    ("replay", "shop:Shop", "--state"),
    ("replay", "shop:Shop", "o-1", "--state"),
    ("dead-letters", "shop"),
]


@pytest.fixture(scope="module")
def shop(shared_world: World) -> World:
    """A shop with two events and a dead letter."""
    world = shared_world
    world.run(Shop)
    world.call(Shop, "o-1", Put(1))
    world.call(Shop, "o-1", Put(2))
    world.produce(Shop, b"no command", key=b"o-1", partition=0)
    world.produce(Shop, b"no command", key=b"o-1", partition=1)
    world.settled(Shop)
    return world


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
def test_what_takes_long_is_told(
    reading: Shell, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.cli.progress.PERIOD_S", 0.0)
    result = reading(*arguments)
    assert result.exit_code == 0, result.output
    what = "dead letters" if "dead-letters" in arguments else "journal records"
    assert re.search(rf"^{what}: \d+ of about \d+ \(", result.stderr, re.MULTILINE)
    assert "of about" not in result.stdout


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
def test_what_is_short_is_not(reading: Shell, arguments: tuple[str, ...]) -> None:
    result = reading(*arguments)
    assert result.exit_code == 0, result.output
    assert "of about" not in result.stderr


def test_who_follows_has_no_end(reading: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kstate.cli.progress.PERIOD_S", 0.0)
    result = reading("query", "shop", "--follow", "--limit", "2")
    assert len(result.stdout.splitlines()) == 2
    assert "of about" not in result.stderr


def test_what_lies_before_the_beginning_does_not_count(world: World, shell: Shell) -> None:
    for number in range(6):
        world.call(Shop, "o-1", Put(number))
    journal = world.client.journal(Shop)
    whole = journal.size("o-1")
    events = list(journal.by_id("o-1"))
    assert journal.size("o-1", after=events[3].position) <= whole - 4
    assert journal.size(after=events[3].position) <= journal.size() - 4
    assert journal.size("o-1", since=events[-1].at) <= whole
