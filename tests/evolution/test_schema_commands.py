"""``kstate schema check``, ``list``, ``diff`` and ``docs`` on versions that were frozen and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from counter import Counter
from evolution_tools import First, Pay, Save
from world import World

from kstate.cli.main import kstate
from kstate.errors import ProcessorAbsent

Shell = Callable[..., Result]

FIRST, TODAY = "evolution_tools:First", "evolution_tools:Today"
UPCAST = "evolution_tools:Upcast"


@pytest.fixture
def shell(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """``kstate schema …`` in a directory of its own, on the world's log."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        environment = {"KSTATE_LOG": world.url, "KSTATE_PREFIX": world.prefix}
        return CliRunner().invoke(kstate, ["schema", *arguments], env=environment)

    return run


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def paid(world: World) -> None:
    """Two commands and their events of the first generation, and a snapshot."""
    world.run(First)
    for amount in (5, 7):
        world.call(First, "a", Pay(amount))
    world.call(First, "a", Save())
    world.stop()


def test_check_finds_what_was_published_and_never_frozen(shell: Shell, world: World) -> None:
    paid(world)
    assert shell("check", TODAY).exit_code == 0
    checked = shell("check", TODAY, "--published")
    assert checked.exit_code == 24
    assert "missing       purse: MoneyIn is no type of today's code" in checked.stdout
    assert "EventAdapter.from_journal" in checked.stdout


def test_check_is_content_with_an_adapter(shell: Shell, world: World) -> None:
    paid(world)
    checked = shell("check", UPCAST, "--published")
    assert checked.exit_code == 0, checked.output
    assert "ok            purse: MoneyIn is read through adapters\n" in checked.stdout


def test_check_reads_frozen_types_through_adapters(shell: Shell) -> None:
    assert shell("freeze", FIRST).exit_code == 0
    assert "missing       purse: MoneyIn" in shell("check", TODAY).stdout
    checked = shell("check", UPCAST)
    assert checked.exit_code == 0
    assert "ok            purse: MoneyIn is read through adapters\n" in checked.stdout


def test_a_check_of_a_log_without_the_processor_says_so(shell: Shell, world: World) -> None:
    world.run(Counter)
    checked = shell("check", TODAY, "--published")
    assert checked.exit_code == ProcessorAbsent.exit_code
    assert "purse.commands does not exist on this log" in checked.stderr


def test_list_tells_version_fingerprint_and_where_it_was_first_seen(
    shell: Shell, world: World
) -> None:
    paid(world)
    shell("freeze", TODAY)
    found = {row["type"]: row for row in rows(shell("list", TODAY, "--published", "--json"))}
    assert found["MoneyIn"]["version"] is None
    assert not found["MoneyIn"]["today"]
    assert found["MoneyIn"]["first_seen"].startswith("published 20")
    assert (found["Deposited"]["version"], found["Deposited"]["today"]) == (1, True)
    assert found["Deposited"]["first_seen"] == "schemas/purse/Deposited.avsc"
    assert all(len(row["fingerprint"]) == 16 and row["records"] is None for row in found.values())


def test_list_tells_the_kind_of_a_frozen_type_that_is_gone_as_it_was_published(
    shell: Shell, world: World
) -> None:
    paid(world)
    shell("freeze", FIRST)
    found = {row["type"]: row for row in rows(shell("list", TODAY, "--published", "--json"))}
    assert found["MoneyIn"]["kind"] == "event"


def test_list_counts_the_records_that_bear_each_version(shell: Shell, world: World) -> None:
    paid(world)
    found = rows(shell("list", FIRST, "--count", "--json"))
    records = {row["type"]: row["records"] for row in found}
    assert records == {"MoneyIn": 2, "Pay": 2, "Save": 1, "Purse": 1, "Pay.reply": 2}


def test_list_marks_the_version_of_today(shell: Shell) -> None:
    shell("freeze", TODAY)
    lines = shell("list", TODAY).stdout.splitlines()
    assert lines[0].split() == ["processor", "type", "kind", "version", "fingerprint", "first",
                                "seen"]  # fmt: skip
    assert all(" 1* " in line for line in lines[1:])


def test_diff_tells_what_a_freeze_would_change(shell: Shell) -> None:
    shell("freeze", FIRST)
    assert shell("diff", FIRST).stdout == ""
    assert shell("diff", TODAY).stdout.splitlines() == [
        "purse: Charged (new)", "  + amount: long",
        "purse: Deposited (new)", "  + amount: long",
        "purse: MoneyIn (since version 1)", "  - it is no type of today's code",
    ]  # fmt: skip


def test_docs_writes_a_page_beside_the_schemas(shell: Shell) -> None:
    assert shell("docs", TODAY).stdout == "written    schemas/purse/README.md\n"
    assert shell("docs", TODAY).stdout == "unchanged  schemas/purse/README.md\n"
    assert "### Deposited" in Path("schemas/purse/README.md").read_text("utf-8")
    shell("freeze", TODAY)
    assert shell("check", TODAY).exit_code == 0  # the page is in the way of nothing
