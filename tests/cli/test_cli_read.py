"""``kstate query``, ``kstate replay`` and ``kstate state``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from shells import Shell, shell_on
from shop import Cancel, Put, Shop
from world import World


def lines(text: str) -> list[Any]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def places(events: list[Any]) -> list[tuple[str, int]]:
    """Which events these are.  Partitions are read side by side: only within one is there order."""
    return [(each["persist_id"], each["seq"]) for each in events]


@pytest.fixture(scope="module")
def shop(shared_world: World) -> World:
    """A shop with some orders, one of them cancelled."""
    world = shared_world
    world.run(Shop)
    for persist_id, count in (("o-1", 1), ("o-2", 200), ("o-1", 2), ("gone", 3), ("o-1", 300)):
        world.call(Shop, persist_id, Put(count))
    world.call(Shop, "gone", Cancel())
    return world


# -- query ---------------------------------------------------------------------------------------


def test_events_of_an_id_come_in_the_order_of_their_seq(reading: Shell) -> None:
    printed = reading("query", "shop", "--id", "o-1").stdout
    assert re.sub(r"  \S+Z  ", " ", printed).splitlines() == [
        'o-1@1 Added item={"name": "thing", "count": 1, "size": "SMALL"}',
        'o-1@2 Added item={"name": "thing", "count": 2, "size": "SMALL"}',
        'o-1@3 Added item={"name": "thing", "count": 300, "size": "SMALL"}  [many]',
    ]


def test_a_class_prints_the_same_as_a_name(reading: Shell) -> None:
    by_class, by_name = (reading("query", each).stdout for each in ("shop:Shop", "shop"))
    assert by_name
    # partitions are read side by side: their order is not promised
    assert sorted(by_class.splitlines()) == sorted(by_name.splitlines())


def test_events_are_found_by_tag(reading: Shell) -> None:
    found = lines(reading("query", "shop", "--tag", "many", "--json").stdout)
    assert set(places(found)) == {("o-2", 1), ("o-1", 3)}


def test_without_a_question_every_event_is_printed(reading: Shell) -> None:
    assert len(reading("query", "shop").stdout.splitlines()) == 6


def test_json_has_all_that_is_known_of_an_event(reading: Shell) -> None:
    (event,) = lines(reading("query", "shop", "--id", "o-2", "--json").stdout)
    assert event["event"] == {"item": {"name": "thing", "count": 200, "size": "SMALL"}}
    assert event.keys() == {
        "persist_id", "seq", "type", "event", "tags", "at", "command_id", "partition", "offset",
        "position",
    }  # fmt: skip


def test_the_ids_are_those_that_exist(reading: Shell) -> None:
    assert reading("query", "shop", "--ids").stdout == "o-1\no-2\n"
    assert lines(reading("query", "shop", "--ids", "--json").stdout) == ["o-1", "o-2"]


def test_a_limit_ends_a_query(reading: Shell) -> None:
    assert len(reading("query", "shop", "--limit", "2").stdout.splitlines()) == 2
    assert reading("query", "shop", "--ids", "--limit", "1").stdout == "o-1\n"


def test_a_position_goes_on_behind_its_event(reading: Shell) -> None:
    everything = lines(reading("query", "shop", "--json").stdout)
    position = everything[2]["position"]
    rest = lines(reading("query", "shop", "--json", "--after", position).stdout)
    assert sorted(places(rest)) == sorted(places(everything[3:]))


def test_a_position_that_is_none_is_refused(reading: Shell) -> None:
    result = reading("query", "shop", "--after", "here")
    assert result.exit_code == 3
    assert "it looks like 0:17,1:4" in result.stderr


def test_a_followed_query_prints_what_comes(reading: Shell) -> None:
    result = reading("query", "shop", "--id", "o-1", "--follow", "--limit", "3")
    assert len(result.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("--id", "a", "--tag", "b"),
        ("--ids", "--since", "2026-03-01"),
        ("--from-seq", "1"),
        ("--ids", "--to-seq", "1"),
        ("--id", "a", "--from-seq", "0"),
        ("--limit", "0"),
    ],
)
def test_questions_that_do_not_go_together_are_usage_errors(
    reading: Shell, arguments: tuple[str, ...]
) -> None:
    assert reading("query", "shop", *arguments).exit_code == 2


# -- replay --------------------------------------------------------------------------------------


def test_a_replay_prints_the_events_of_the_given_ids(reading: Shell) -> None:
    found = lines(reading("replay", "shop", "o-2", "o-1", "--json").stdout)
    assert places(found) == [("o-2", 1), ("o-1", 1), ("o-1", 2), ("o-1", 3)]


def test_a_replay_without_ids_prints_every_event(reading: Shell) -> None:
    # partitions are read in any order
    replayed, queried = (reading(name, "shop").stdout.splitlines() for name in ("replay", "query"))
    assert sorted(replayed) == sorted(queried)


def test_seqs_bound_a_replay_on_both_ends(reading: Shell) -> None:
    found = lines(reading("replay", "shop", "--json", "--from-seq", "2", "--to-seq", "2").stdout)
    assert set(places(found)) == {("o-1", 2), ("gone", 2)}


def test_offsets_bound_a_replay_on_both_ends(reading: Shell) -> None:
    everything = lines(reading("replay", "shop", "--json").stdout)
    offset = everything[1]["offset"]
    bounds = ("--from-offset", str(offset), "--to-offset", str(offset))
    found = lines(reading("replay", "shop", "--json", *bounds).stdout)
    assert found
    assert sorted(places(found)) == sorted(places([e for e in everything if e["offset"] == offset]))


def test_times_bound_a_replay_on_both_ends(reading: Shell) -> None:
    everything = lines(reading("replay", "shop", "--json").stdout)
    at = everything[2]["at"]
    found = lines(reading("replay", "shop", "--json", "--since", at, "--until", at).stdout)
    assert sorted(places(found)) == sorted(places([e for e in everything if e["at"] == at]))


def test_a_time_without_an_offset_is_utc(reading: Shell) -> None:
    everything = lines(reading("replay", "shop", "--json").stdout)
    last = max(e["at"] for e in everything)
    found = reading("replay", "shop", "--json", "--until", last.removesuffix("Z"))
    assert sorted(places(lines(found.stdout))) == sorted(places(everything))
    assert reading("replay", "shop", "--since", "2999-01-01").stdout == ""


def test_a_time_that_is_none_is_a_usage_error(reading: Shell) -> None:
    result = reading("replay", "shop", "--since", "tomorrow")
    assert result.exit_code == 2
    assert "write it like 2026-03-01T12:00:00Z" in result.stderr


def test_given_ids_are_shown_with_the_state_after_each_event(reading: Shell) -> None:
    found = lines(reading("replay", "shop:Shop", "o-1", "--state", "--json").stdout)
    assert [(e["seq"], e["state"]["total"]) for e in found] == [(1, 1), (2, 3), (3, 303)]
    text = reading("replay", "shop:Shop", "o-2", "--state").stdout
    assert "\n    = total=200 items=[" in text


def test_a_shown_state_counts_the_events_before_the_beginning(reading: Shell) -> None:
    found = lines(
        reading("replay", "shop:Shop", "o-1", "--state", "--json", "--from-seq", "3").stdout
    )
    assert [(e["seq"], e["state"]["total"]) for e in found] == [(3, 303)]


def test_without_ids_the_final_states_of_all_that_exist_are_printed(reading: Shell) -> None:
    found = lines(reading("replay", "shop:Shop", "--state", "--json").stdout)
    totals = {e["persist_id"]: (e["seq"], e["state"]["total"]) for e in found}
    assert totals == {"o-1": (3, 303), "o-2": (1, 200)}


def test_final_states_as_of_a_seq_have_what_was_deleted_later(reading: Shell) -> None:
    found = lines(reading("replay", "shop:Shop", "--state", "--json", "--to-seq", "1").stdout)
    totals = {e["persist_id"]: (e["seq"], e["state"]["total"]) for e in found}
    assert totals == {"o-1": (1, 1), "o-2": (1, 200), "gone": (1, 3)}


def test_final_states_as_of_a_time_end_there(reading: Shell) -> None:
    everything = lines(reading("replay", "shop", "o-1", "--json").stdout)
    until = ("--until", everything[1]["at"])
    found = lines(reading("replay", "shop:Shop", "--state", "--json", *until).stdout)
    totals = {e["persist_id"]: (e["seq"], e["state"]["total"]) for e in found}
    assert totals["o-1"] == (2, 3)


def test_a_final_state_ends_before_the_first_event_that_is_too_late(
    shell: Shell, world: World
) -> None:
    world.call(Shop, "early", Put(1))
    world.clock.advance(3600)
    world.call(Shop, "late", Put(1))
    world.clock.advance(-3600)  # the next worker's clock is behind
    world.restart(Shop)
    world.call(Shop, "late", Put(2))
    first, second = (each.at for each in world.client.events.by_id(Shop, "late"))
    assert second < first
    until = ("--until", second.isoformat())
    found = lines(shell("replay", "shop:Shop", "--state", "--json", *until).stdout)
    assert {e["persist_id"] for e in found} == {"early"}


@pytest.mark.parametrize(
    "bound", [("--from-seq", "2"), ("--from-offset", "1"), ("--since", "2026-01-01")]
)
def test_final_states_cannot_begin_later(reading: Shell, bound: tuple[str, str]) -> None:
    result = reading("replay", "shop:Shop", "--state", *bound)
    assert result.exit_code == 2
    assert "folded from the first event on" in result.stderr


def test_folding_needs_the_code(reading: Shell) -> None:
    result = reading("replay", "shop", "--state")
    assert result.exit_code == 3
    assert "write module:Class" in result.stderr


def test_a_name_in_the_settings_has_code(reading: Shell, directory: Path) -> None:
    (directory / "kstate.toml").write_text('processors = ["shop:Shop"]\n')
    assert reading("replay", "shop", "--state").exit_code == 0
    assert reading("state", "shop", "o-1", "--at-seq", "1").exit_code == 0


def test_progress_never_stands_between_the_data(reading: Shell, monkeypatch: Any) -> None:
    monkeypatch.setattr("kstate.cli.progress.PERIOD_S", 0.0)
    result = reading("replay", "shop", "--json")
    assert len(lines(result.stdout)) == 6
    assert re.search(r"journal records: \d+ of about \d+ \([\d,]+/s(, .*)?\)", result.stderr)


# -- state ---------------------------------------------------------------------------------------


def test_the_owner_tells_the_state(reading: Shell) -> None:
    result = reading("state", "shop", "o-2", "--json")
    assert json.loads(result.stdout)["total"] == 200


def test_an_id_without_events_has_its_initial_state(reading: Shell) -> None:
    assert reading("state", "shop", "new").stdout == "total=0 items=[] notes=null\n"


def test_a_state_of_the_past_is_folded(reading: Shell) -> None:
    result = reading("state", "shop:Shop", "o-1", "--at-seq", "2", "--json")
    assert json.loads(result.stdout)["total"] == 3


def test_a_state_that_is_not_reached_yet_says_where_the_entity_is(reading: Shell) -> None:
    result = reading("state", "shop:Shop", "o-1", "--at-seq", "9")
    assert result.exit_code == 3
    assert result.stderr == "kstate: 'o-1' is at seq 3, it has no seq 9 yet\n"


def test_without_a_worker_the_state_now_times_out(shell: Shell, world: World) -> None:
    world.call(Shop, "o-1", Put(1))
    world.stop()
    result = shell("state", "shop", "o-1", "--timeout", "3")
    assert result.exit_code == 12
    assert "see whether a worker is at work (kstate status shop), or wait longer" in result.stderr
    assert "command id" not in result.stderr


def test_the_flag_comes_before_the_environment_and_the_file(
    reading: Shell, shop: World, directory: Path
) -> None:
    (directory / "kstate.toml").write_text('log = "sqlite:file.db"\n')
    elsewhere = shell_on({"KSTATE_LOG": "sqlite:environment.db", "KSTATE_PREFIX": shop.prefix})
    assert "environment.db" in elsewhere("query", "shop").stderr
    assert "file.db" in shell_on({})("query", "shop").stderr
    assert elsewhere("query", "shop", "--log", shop.url).exit_code == 0


def test_a_settings_file_can_be_named(reading: Shell, directory: Path) -> None:
    (directory / "other.toml").write_text('processors = ["shop:Shop"]\n')
    shown = reading("replay", "shop", "--state", "--config", "other.toml")
    assert shown.exit_code == 0
    assert reading("query", "shop", "--config", "none.toml").exit_code == 3
