"""``kstate erase``."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from shells import Shell
from shop import Shop
from world import World

from kstate.errors import StillReadable


def put(shell: Shell, persist_id: str = "o-1", times: int = 1) -> None:
    for _ in range(times):
        assert shell("call", "shop", persist_id, "Put", "count=1").exit_code == 0


def told(shell: Shell, *options: str, persist_id: str = "o-1") -> dict[str, Any]:
    result = shell("erase", "shop", persist_id, "--json", *options)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def remains(found: dict[str, Any]) -> dict[str, int]:
    """By the last part of the topic's name, how many records there are."""
    return {each["topic"].rpartition(".")[2]: each["records"] for each in found["remains"]}


def test_an_entity_begins_anew_and_it_is_told_what_remains(shell: Shell) -> None:
    put(shell, times=3)
    found = told(shell)
    assert (found["erased_to"], found["removed_to"], found["events"]) == (3, 3, 0)
    assert remains(found) == {"journal": 3, "snapshots": 1, "commands": 4, "replies": 4}
    assert not found["cleaned"]
    assert shell("state", "shop", "o-1").stdout.startswith("total=0")
    assert shell("query", "shop", "--id", "o-2").stdout == ""


def test_people_get_sentences(shell: Shell, world: World) -> None:
    put(shell)
    lines = shell("erase", "shop", "o-1").stdout.splitlines()
    topics = world.topics(Shop)
    assert lines[:3] == [
        "o-1 is erased up to seq 1",
        "still to be read:",
        f"  {topics.journal}: 1 event with a tombstone, until the cleaner has passed",
    ]
    assert lines[3].startswith(f"  {topics.commands}: 2 commands to it, until 20")
    told_of_kafka = any("max.compaction.lag.ms" in each for each in lines)
    assert told_of_kafka == world.url.startswith("kafka:")


def test_what_never_was_is_told(shell: Shell) -> None:
    assert shell("erase", "shop", "nobody").stdout.startswith("nobody had no events\n")


def test_wait_ends_when_the_cleaner_has_passed(shell: Shell, world: World) -> None:
    put(shell, times=3)
    topics = world.topics(Shop)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(told, shell, "--wait")
        world.until(lambda: any(r.value is None for r in world.journal(Shop)), "it was erased")
        world.clean(topics.journal, topics.snapshots)
        found = waiting.result()
    assert found["cleaned"]
    assert remains(found) == {"commands": 4, "replies": 4}
    assert [r.key for r in world.journal(Shop) if r.value is not None] == []


def test_a_cleaner_that_does_not_come_in_time_is_told(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.cli.erase.clean", lambda log, topics: False)
    put(shell)
    result = shell("erase", "shop", "o-1", "--wait", "--timeout", "3")
    assert result.exit_code == StillReadable.exit_code
    assert result.stdout.startswith("o-1 is erased up to seq 1\n")
    assert "kstate erase --status" in result.stderr


def test_status_erases_nothing(shell: Shell, world: World) -> None:
    put(shell, times=2)
    found = told(shell, "--status")
    assert (found["erased_to"], found["removed_to"], found["events"]) == (None, 0, 2)
    assert world.call(Shop, "o-1", _put()) == 3
    text = shell("erase", "shop", "o-1", "--status").stdout
    assert text.startswith("o-1 has 3 events; tombstones reach to seq 0\n")


def _put() -> Any:
    from shop import Put

    return Put(1)


def test_status_needs_no_worker(shell: Shell, world: World) -> None:
    put(shell)
    told(shell)
    world.stop()
    assert told(shell, "--status")["removed_to"] == 1


def letters(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What is told of dead letters."""
    return [each for each in found["remains"] if "dead-letters" in each["topic"]]


def test_dead_letters_are_told_with_the_time_they_go(shell: Shell, world: World) -> None:
    shell("call", "shop", "o-1", "Fail")
    (letter,) = letters(told(shell, "--status"))
    (record,) = world.dead_letters(Shop)
    assert letter["records"] == 1
    assert letter["until_ms"] == record.timestamp + 30 * 86_400_000


def test_dead_letters_that_were_erased_are_told_until_the_cleaner_has_passed(
    shell: Shell, world: World
) -> None:
    for persist_id in ("o-1", "o-1", "o-2"):
        shell("call", "shop", persist_id, "Fail")
    (letter,) = letters(told(shell))
    assert (letter["records"], letter["until_ms"]) == (2, None)
    text = shell("erase", "shop", "o-1", "--status").stdout
    topic = world.topics(Shop).dead_letters
    assert f"  {topic}: 2 letters with a tombstone, until the cleaner has passed" in text
    world.clean(topic)
    found = told(shell, "--status")
    assert (letters(found), found["cleaned"]) == ([], True)
    assert letters(told(shell, "--status", persist_id="o-2"))[0]["records"] == 1


def test_other_entities_are_not_counted(shell: Shell) -> None:
    for number in range(8):
        put(shell, f"o-{number}")
    assert remains(told(shell, "--status")) == {"commands": 1, "replies": 1}


def test_an_id_that_is_given_erases_once(shell: Shell) -> None:
    put(shell)
    told(shell, "--command-id", "once")
    put(shell)
    assert told(shell, "--command-id", "once")["erased_to"] == 1
    assert told(shell, "--status")["events"] == 1


def test_without_a_worker_it_says_so(shell: Shell, world: World) -> None:
    put(shell)
    world.stop()
    result = shell("erase", "shop", "o-1", "--timeout", "0.5")
    assert result.exit_code == 12
    assert "no reply within" in result.stderr


def test_status_goes_with_nothing_that_erases(shell: Shell) -> None:
    assert shell("erase", "shop", "o-1", "--status", "--wait").exit_code == 2
