"""``kstate status``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shells import Shell, shell_on
from shop import Fail, Put, Shop
from world import World

from kstate import wiring
from kstate.errors import CommandFailed
from kstate.log.port import Ends, TopicSpec
from kstate.wiring import open_log


def rows(shell: Shell, *arguments: str) -> list[Any]:
    result = shell("status", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_partition_tells_its_owner_and_its_figures(shell: Shell, world: World) -> None:
    for _ in range(3):
        world.call(Shop, "o-1", Put(1))
    found = {row["partition"]: row for row in rows(shell, "shop")}
    assert len(found) == 2
    row = max(found.values(), key=lambda each: each["entities"])
    assert row["owner"].startswith(f"{world.prefix}shop-")
    assert (row["processor"], row["entities"], row["lag"]) == ("shop", 1, 0)
    assert row["committed"] == 3
    assert row["journal_start"] == 0
    assert row["journal_end"] >= 3  # the end of a transaction may take an offset, too
    assert 0 < row["low_water"] <= row["journal_end"]  # the third event brought a snapshot
    assert row["last_snapshot"].endswith("Z")
    assert not row["hanging"]


def test_commands_that_wait_are_the_lag(shell: Shell, world: World) -> None:
    world.call(Shop, "o-1", Put(1))
    world.stop()
    for _ in range(4):
        world.cast(Shop, "o-1", Put(1))
    assert sum(row["lag"] for row in rows(shell, "shop")) == 4


def test_without_a_worker_nobody_owns_the_partitions(shell: Shell, world: World) -> None:
    world.stop()
    result = shell("status")
    assert result.exit_code == 0
    assert "shop: nobody owns 2 of its partitions" in result.stderr


def test_dead_letters_are_counted(shell: Shell, world: World) -> None:
    with pytest.raises(CommandFailed):
        world.call(Shop, "o-1", Fail())
    assert sum(row["dead_letters"] for row in rows(shell, "shop")) == 1


def test_without_names_every_processor_under_the_prefix_is_shown(
    shell: Shell, world: World
) -> None:
    world.call(Shop, "o-1", Put(1))  # it owns its partitions now
    assert rows(shell) == rows(shell, "shop") != []


def test_a_topic_that_only_looks_like_a_processors_is_passed_over(
    shell: Shell, world: World
) -> None:
    log = open_log(world.url)
    try:
        names = (f"{world.prefix}other.schemas", f"{world.prefix}an.other.schemas")
        log.create_topics([TopicSpec(name, 1, "compact") for name in names])
    finally:
        log.close()
    assert {row["processor"] for row in rows(shell)} == {"shop"}


def test_text_is_aligned_and_nothing_is_cut(shell: Shell, world: World) -> None:
    world.call(Shop, "o-1", Put(1))
    heading, *shown = shell("status", "shop").stdout.splitlines()
    assert heading.split() == [
        "processor", "partition", "owner", "committed", "lag", "entities", "low-water", "journal",
        "last-snapshot", "dead-letters",
    ]  # fmt: skip
    assert len({len(line) for line in (heading, *shown)}) == 1
    owner = rows(shell, "shop")[0]["owner"]
    assert all(owner in line for line in shown)


def test_a_processor_that_is_not_there_says_what_to_do(shell: Shell) -> None:
    result = shell("status", "shoes")
    assert result.exit_code == 32
    assert "start a worker" in result.stderr


def test_a_log_without_processors_says_so(shell: Shell, world: World, directory: Path) -> None:
    other = shell_on({"KSTATE_LOG": world.url, "KSTATE_PREFIX": "nobody-"})
    result = other("status")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no processor has topics on" in result.stderr


class Hanging:
    """A log in which a transaction is open on one topic; it ends after some looks."""

    def __init__(self, log: Any, topic: str, looks: float) -> None:
        self._log = log
        self._topic = topic
        self._looks = looks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def ends(self, topic: str) -> Mapping[int, Ends]:
        found: Mapping[int, Ends] = self._log.ends(topic)
        if topic != self._topic:
            return found
        self._looks -= 1
        stable = 0 if self._looks >= 0 else 3
        return {number: Ends(0, stable, 3) if number == 1 else e for number, e in found.items()}


KINDS = ["commands", "journal", "snapshots"]


def hang(world: World, monkeypatch: Any, kind: str, looks: float = math.inf) -> None:
    opened, topic = wiring.open_log, getattr(world.topics(Shop), kind)
    monkeypatch.setattr(
        wiring, "open_log", lambda *url, **how: Hanging(opened(*url, **how), topic, looks)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_that_stays_open_is_told(
    shell: Shell, world: World, monkeypatch: Any, kind: str
) -> None:
    hang(world, monkeypatch, kind)
    assert [row["hanging"] for row in rows(shell, "shop")] == [{}, {kind: 0}]
    told = f"shop: a transaction is open on partition 1 of the {kind}: readers wait at offset 0"
    assert told in shell("status", "shop").stderr


def test_commands_behind_an_open_transaction_are_counted(
    shell: Shell, world: World, monkeypatch: Any
) -> None:
    hang(world, monkeypatch, "commands")
    assert rows(shell, "shop")[1]["lag"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_of_a_worker_at_work_is_not_told(
    shell: Shell, world: World, monkeypatch: Any, kind: str
) -> None:
    hang(world, monkeypatch, kind, looks=1)
    assert [row["hanging"] for row in rows(shell, "shop")] == [{}, {}]
