"""``kstate verify``, as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from counter import Counter
from damaging import Scene

from kstate.cli.main import kstate

TESTS = Path(__file__).resolve().parents[1]


def verify(scene: Scene, *arguments: str) -> Result:
    """``kstate verify`` with these arguments."""
    environment = {"KSTATE_LOG": scene.world.url, "KSTATE_PREFIX": scene.world.prefix}
    return CliRunner().invoke(kstate, ["verify", *arguments], env=environment)


def values(result: Result) -> list[dict[str, Any]]:
    return [json.loads(each) for each in result.stdout.splitlines()]


def test_a_sound_journal_ends_with_0(scene: Scene) -> None:
    scene.written(a=2, b=1)
    scene.saved("a")
    result = verify(scene, "counter")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "counter: sound; 2 partitions, 3 events of 2 persist ids, 1 snapshot\n"
    )
    assert result.stderr == ""


def test_the_code_is_used_where_it_is_given(scene: Scene) -> None:
    scene.written(a=2)
    scene.snapshot("a", 2, 77)
    assert verify(scene, "counter").exit_code == 0
    result = verify(scene, "counter:Counter")
    assert result.exit_code == 34
    assert "a@2  snapshot: the snapshot at seq 2 is not what the events" in result.stdout
    assert "1 snapshot (1 held against folds)" in result.stdout


def test_damage_is_told_in_a_line_and_ends_with_34(scene: Scene) -> None:
    scene.written(a=2)
    offset = scene.event("a", 4)
    result = verify(scene, "counter")
    where = f"{scene.topics.journal} {scene.partition('a')}:{offset}"
    first, summary = result.stdout.splitlines()
    assert first.startswith(f"{where}  a@4  gap: the event 3 is missing; workers refuse")
    assert summary.startswith("counter: 1 damage; 2 partitions")
    assert result.exit_code == 34
    assert result.stderr == (
        "kstate: one damage found in counter; docs/verify.md says what to do of each\n"
    )


def test_of_many_damages_the_first_are_shown_and_all_are_counted(scene: Scene) -> None:
    scene.written(a=1)
    for seq in (3, 5, 7, 9):
        scene.event("a", seq)
    result = verify(scene, "counter", "--limit", "2")
    *shown, summary = result.stdout.splitlines()
    assert len(shown) == 2
    assert summary.startswith("counter: 4 damages, 2 of them shown; ")
    assert "4 damages found in counter" in result.stderr


def test_json_has_a_value_for_each_finding_and_the_summary_last(scene: Scene) -> None:
    scene.written(a=1)
    offset = scene.record(scene.topics.journal, 0, b"\x1b[31m", b"?")
    result = verify(scene, "counter", "--json")
    finding, summary = values(result)
    assert finding.pop("sentence").startswith("the record's key b'\\x1b[31m' is no persist id")
    assert finding == {
        "kind": "foreign",
        "topic": scene.topics.journal,
        "partition": 0,
        "offset": offset,
        "persist_id": None,
        "seq": None,
        "severity": "damage",
    }
    assert (summary["kind"], summary["sound"], summary["damages"]) == ("summary", False, 1)
    assert (summary["events"], summary["persist_ids"]) == (1, 1)


def test_a_note_is_shown_and_is_no_damage(scene: Scene) -> None:
    scene.written(a=1)
    scene.record(scene.topics.dead_letters, 0, b"b", b"?")
    result = verify(scene, "counter", "--limit", "0")
    assert result.exit_code == 0
    assert "b  dead-letters: 1 failed command lies here" in result.stdout


def test_nothing_that_a_terminal_obeys_is_printed(scene: Scene) -> None:
    scene.written(a=1)
    scene.record(scene.topics.snapshots, 0, b"\x1b[31m", b"?")
    result = verify(scene, "counter")
    assert result.exit_code == 34
    assert "\x1b" not in result.stdout
    assert "\\x1b[31m" in result.stdout


def test_a_processor_that_is_not_there(scene: Scene) -> None:
    scene.written(a=1)
    result = verify(scene, "nobody")
    assert result.exit_code == 32
    assert "does not exist on this log" in result.stderr


@pytest.mark.parametrize("output", ["text", "json"])
def test_it_runs_in_a_process_of_its_own(scene: Scene, output: str) -> None:
    scene.written(a=2)
    scene.event("a", 2)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kstate.cli.main", "verify", "counter:Counter"),
            *(("--json",) if output == "json" else ()),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
            "KSTATE_LOG": scene.world.url,
            "KSTATE_PREFIX": scene.world.prefix,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 34, done.stderr
    assert "duplicate" in done.stdout
    assert Counter.name in done.stdout
    assert "Traceback" not in done.stderr
