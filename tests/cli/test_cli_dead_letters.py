"""``kstate dead-letters``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shells import Shell, shell_on
from shop import Refuse, Shop
from world import World


def letters(shell: Shell, *options: str) -> list[dict[str, Any]]:
    result = shell("dead-letters", "shop", "--json", *options)
    assert result.exit_code == 0, result.stderr
    return [json.loads(each) for each in result.stdout.splitlines()]


def fail(shell: Shell, *persist_ids: str) -> None:
    for persist_id in persist_ids:
        assert shell("call", "shop", persist_id, "Fail").exit_code == 13


def test_a_processor_without_failures_has_none(shell: Shell) -> None:
    result = shell("dead-letters", "shop")
    assert (result.exit_code, result.stdout) == (0, "")


def test_each_is_told_with_its_place_its_time_and_why(shell: Shell, world: World) -> None:
    options = ("--command-id", "c-1")
    shell("call", "shop", "o-1", "Fail", *options)
    (record,) = world.dead_letters(Shop)
    (letter,) = letters(shell)
    (source,) = [r for r in world.read(world.topics(Shop).commands) if r.key == b"o-1"]
    position = f"{record.partition}:{record.offset}"
    assert letter == {
        "position": position,
        "persist_id": "o-1",
        "at": letter["at"],
        "error_type": "ValueError",
        "error": "no luck",
        "source": f"{source.partition}:{source.offset}",
        "command_id": "c-1",
    }
    assert shell("dead-letters", "shop:Shop").stdout == (
        f"{position}  {letter['at']}  o-1  ValueError: no luck  (command at {letter['source']})\n"
    )


def test_the_oldest_comes_first_and_a_limit_gives_the_newest(shell: Shell, world: World) -> None:
    for number in range(6):
        fail(shell, f"o-{number}")
        world.clock.advance(1)
    assert [each["persist_id"] for each in letters(shell)] == [f"o-{n}" for n in range(6)]
    assert [each["persist_id"] for each in letters(shell, "--limit", "2")] == ["o-4", "o-5"]


def test_a_key_that_a_terminal_might_obey_is_quoted(shell: Shell, world: World) -> None:
    world.produce(Shop, b"x", key=b"\x1b[2J")
    world.settled(Shop)
    assert "\x1b" not in shell("dead-letters", "shop").stdout


# -- sent again ----------------------------------------------------------------------------------


def retry(shell: Shell, position: str) -> str:
    result = shell("dead-letters", "shop", "--retry", position)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def mended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler that failed does something now."""

    def put(self: Shop, ctx: Any, cmd: Any) -> None:
        from shop import Added, Item

        ctx.persist(Added(Item("late", 7)))

    monkeypatch.setattr(Shop, "fail", put)
    world.restart()


def test_a_command_is_sent_again_under_a_new_id(
    shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("call", "shop", "o-1", "Fail", "--command-id", "c-1", "--header", "x=y")
    (letter,) = letters(shell)
    mended(world, monkeypatch)
    command_id = retry(shell, letter["position"])
    world.settled(Shop)
    (stored,) = world.client.events.by_id(Shop, "o-1")
    assert stored.command_id == command_id != "c-1"
    again = world.read(world.topics(Shop).commands)[-1]
    first = next(r for r in world.read(world.topics(Shop).commands) if r.key == b"o-1")
    assert (again.key, again.value) == (first.key, first.value)
    assert dict(again.headers) == {"command-id": command_id.encode(), "x": b"y"}


def test_a_second_retry_of_one_dead_letter_does_not_run_again(
    shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(shell, "o-1")
    (letter,) = letters(shell)
    mended(world, monkeypatch)
    assert retry(shell, letter["position"]) == retry(shell, letter["position"])
    world.settled(Shop)
    assert len(world.events(Shop, "o-1")) == 1


def test_a_command_that_fails_anew_is_another_dead_letter(shell: Shell, world: World) -> None:
    fail(shell, "o-1")
    (letter,) = letters(shell)
    command_id = retry(shell, letter["position"])
    world.settled(Shop)
    assert [each["command_id"] for each in letters(shell)] == [letter["command_id"], command_id]


@pytest.mark.parametrize(
    ("position", "words"),
    [
        ("0:999", "there is no dead letter at 0:999"),
        ("9:0", "there is no dead letter at 9:0"),
        ("here", "is no position"),
        ("0:1,1:1", "is no position of a dead letter"),
    ],
)
def test_a_position_without_a_dead_letter_is_refused(
    shell: Shell, world: World, position: str, words: str
) -> None:
    before = world.read(world.topics(Shop).commands)
    result = shell("dead-letters", "shop", "--retry", position)
    assert result.exit_code == 3
    assert words in result.stderr
    assert world.read(world.topics(Shop).commands) == before


def test_a_command_without_a_persist_id_cannot_be_sent_again(shell: Shell, world: World) -> None:
    world.produce(Shop, world.encoded(Shop, Refuse()), key=None)
    world.settled(Shop)
    (letter,) = letters(shell)
    assert letter["persist_id"] is None
    assert shell("dead-letters", "shop", "--retry", letter["position"]).exit_code == 21


@pytest.mark.parametrize(
    "options",
    [
        ("--retry", "0:0", "--limit", "1"),
        ("--drop", "0:0", "--limit", "1"),
        ("--drop", "0:0", "--retry", "0:0"),
    ],
)
def test_one_position_is_retried_or_dropped_and_no_list(
    shell: Shell, options: tuple[str, ...]
) -> None:
    assert shell("dead-letters", "shop", *options).exit_code == 2


# -- removed -------------------------------------------------------------------------------------


def counted(shell: Shell) -> int:
    """How many there are, as the status has it."""
    rows = shell("status", "shop", "--json").stdout.splitlines()
    return sum(json.loads(row)["dead_letters"] for row in rows)


def test_one_that_is_dropped_is_neither_listed_nor_counted_nor_sent_again(
    shell: Shell, world: World
) -> None:
    fail(shell, "o-1", "o-1", "o-2")
    (first, *others) = letters(shell)
    result = shell("dead-letters", "shop", "--drop", first["position"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"the dead letter at {first['position']} is removed, ")
    assert letters(shell) == others
    assert letters(shell, "--limit", "5") == others
    assert counted(shell) == 2
    for option in ("--retry", "--drop"):
        again = shell("dead-letters", "shop", option, first["position"])
        assert again.exit_code == 3
        assert f"there is no dead letter at {first['position']}" in again.stderr
    world.clean(world.topics(Shop).dead_letters)
    assert letters(shell) == others
    assert "o-1" in {letter["persist_id"] for letter in others}


def test_one_without_a_persist_id_can_be_dropped(shell: Shell, world: World) -> None:
    world.produce(Shop, b"x", key=None)
    world.settled(Shop)
    (letter,) = letters(shell)
    assert shell("dead-letters", "shop", "--drop", letter["position"]).exit_code == 0
    assert letters(shell) == []


def test_those_of_an_erased_entity_are_gone(shell: Shell, world: World) -> None:
    fail(shell, "o-1", "o-2")
    assert shell("erase", "shop", "o-1").exit_code == 0
    assert [each["persist_id"] for each in letters(shell)] == ["o-2"]
    assert counted(shell) == 1


def test_neither_a_log_nor_a_processor_is_made_of_a_mistyped_name(
    shell: Shell, directory: Path
) -> None:
    assert shell("dead-letters", "shoes").exit_code == 32
    nowhere = shell_on({"KSTATE_LOG": "sqlite:nowhere.db"})
    assert nowhere("dead-letters", "shop").exit_code == 3
    assert list(directory.iterdir()) == []
