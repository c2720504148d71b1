"""``kstate replay --rebuild``: how long it waits, and what it tells meanwhile."""

from __future__ import annotations

import re
from typing import Any

import pytest
from shells import Shell
from shop import Put, Shop
from world import World


@pytest.mark.parametrize("running", [True, False])
def test_the_partitions_that_are_done_are_told(shell: Shell, world: World, running: bool) -> None:
    world.call(Shop, "o-1", Put(1))
    if not running:
        world.stop()
    result = shell("replay", "shop:Shop", "--rebuild")
    assert result.exit_code == 0, result.output
    assert re.search(r"^2 of 2 partitions after \d+ s$", result.stderr, re.MULTILINE)
    assert re.fullmatch(r"\d snapshots? written\n", result.stdout)


def test_waiting_is_told_while_nothing_is_done(
    shell: Shell, world: World, monkeypatch: Any
) -> None:
    monkeypatch.setattr("kstate.client_upkeep.TELL_S", 0.05)
    monkeypatch.setattr("kstate.cli.replay_rebuild.PERIOD_S", 0.0)
    monkeypatch.setattr("kstate.log.embedded.EmbeddedLog.owners", lambda *_: {0: "x"}, raising=True)
    monkeypatch.setattr("kstate.log.kafka.KafkaLog.owners", lambda *_: {0: "x"}, raising=True)
    world.call(Shop, "o-1", Put(1))
    world.stop()
    result = shell("replay", "shop:Shop", "--rebuild", "--timeout", "1")
    assert result.exit_code == 12
    assert "0 of 2 partitions after 0 s" in result.stderr
    assert "the owners of the partitions 0, 1 of" in result.stderr


def test_the_help_says_how_long_and_for_whom(shell: Shell) -> None:
    told = " ".join(shell("replay", "--help").stdout.split())
    assert "[default: 600" in told
    assert "--rebuild has the owners write new ones, of all entities: it takes no ids" in told
