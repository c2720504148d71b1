"""``kstate query --id``: parts of what one persist id did."""

from __future__ import annotations

import json

import pytest
from shells import Shell
from shop import Put, Shop
from world import World


@pytest.fixture
def filled(shell: Shell, world: World) -> Shell:
    """A shop with an order of five events, and another one."""
    for count in range(1, 6):
        world.call(Shop, "o-1", Put(count))
        world.call(Shop, "o-2", Put(count))
    return shell


def seqs(shell: Shell, *arguments: str) -> list[int]:
    """Of the events of ``o-1`` that are printed."""
    result = shell("query", "shop", "--id", "o-1", "--json", *arguments)
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {each["persist_id"] for each in found} <= {"o-1"}
    return [each["seq"] for each in found]


def test_seqs_bound_what_is_printed_on_both_ends(filled: Shell) -> None:
    assert seqs(filled, "--from-seq", "2", "--to-seq", "4") == [2, 3, 4]
    assert seqs(filled, "--from-seq", "4") == [4, 5]
    assert seqs(filled, "--to-seq", "2") == [1, 2]
    assert seqs(filled, "--from-seq", "6") == []
    assert seqs(filled, "--from-seq", "3", "--limit", "1") == [3]


def test_a_position_goes_on_behind_its_event(filled: Shell) -> None:
    printed = filled("query", "shop", "--id", "o-1", "--json").stdout
    for index, text in enumerate(printed.splitlines(), 1):
        position = json.loads(text)["position"]
        assert seqs(filled, "--after", position) == [*range(index + 1, 6)]


def test_a_position_of_all_events_is_good_for_one_id(filled: Shell) -> None:
    printed = filled("query", "shop", "--json", "--by-time").stdout.splitlines()
    found = [json.loads(text) for text in printed]
    seen = [each["seq"] for each in found[:5] if each["persist_id"] == "o-1"]
    assert seqs(filled, "--after", found[4]["position"]) == [*range(len(seen) + 1, 6)]


def test_a_position_that_is_none_is_refused(filled: Shell) -> None:
    result = filled("query", "shop", "--id", "o-1", "--after", "here")
    assert result.exit_code == 3
    assert "it looks like 0:17,1:4" in result.stderr


def test_the_ids_can_be_followed(filled: Shell) -> None:
    result = filled("query", "shop", "--ids", "--follow", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert result.stdout == "o-1\no-2\n"
