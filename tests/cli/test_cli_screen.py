"""What the command line says when something is wrong, and when its reader has gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shells import Processes, Shell, ended, shell_on

from kstate.cli.main import COMMANDS


def test_a_reader_that_has_gone_is_no_error(processes: Processes) -> None:
    processes.worker()
    for number in range(20):
        processes.out("cast", "shop", f"o-{number}", "Put", "count=1")
    processes.out("call", "shop", "o-1", "When")
    for arguments in (
        ("replay", "shop"),
        ("query", "shop", "--follow"),
        ("query", "shop", "--ids"),
    ):
        reading = processes.start(*arguments)
        assert reading.stdout is not None
        reading.stdout.close()
        assert reading.stderr is not None
        assert (reading.wait(), reading.stderr.read()) == (0, ""), arguments


FULL = Path("/dev/full")
"""A disk without space, as Linux has it."""


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_the_output_is_one_sentence_and_74(processes: Processes) -> None:
    processes.worker()
    processes.out("call", "shop", "o-1", "Put", "count=1")
    environment = {**os.environ, "KSTATE_LOG": processes.log}
    for arguments in (
        ("query", "shop"),
        ("query", "shop", "--ids"),
        ("query", "shop", "--follow"),
        ("state", "shop", "o-1"),
        ("replay", "shop"),
        ("status",),
        ("call", "shop", "o-1", "When"),
        ("cast", "shop", "o-1", "When"),
        ("topics", "shop"),
        ("query", "--help"),
        ("--version",),
    ):
        with FULL.open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "kstate.cli.main", *arguments],
                cwd=processes.directory,
                env=environment,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.returncode == 74, (arguments, done.stderr)
        last = done.stderr.splitlines()[-1]
        assert last == "kstate: the output cannot be written: No space left on device"
        assert "Traceback" not in done.stderr


def test_ctrl_c_ends_a_followed_query_with_130_and_without_a_word(processes: Processes) -> None:
    processes.worker()
    processes.out("call", "shop", "o-1", "Put", "count=1")
    reading = processes.start("query", "shop", "--follow")
    assert reading.stdout is not None
    assert reading.stdout.readline().startswith("o-1@1")
    reading.send_signal(signal.SIGINT)
    assert ended(reading) == (130, "", "")


def _broken(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError("by zero")


@pytest.fixture
def broken(directory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in kstate itself."""
    (directory / "log.db").touch()
    monkeypatch.setattr("kstate.wiring.open_log", _broken)


def test_an_unexpected_error_is_one_line_and_70(broken: None) -> None:
    result = shell_on({"KSTATE_LOG": "sqlite:log.db"})("status")
    assert result.exit_code == 70
    assert result.stderr == (
        "kstate: unexpected ZeroDivisionError: by zero (kstate --debug … shows where)\n"
    )


@pytest.mark.parametrize("flag", [True, False])
def test_a_traceback_is_shown_on_request(
    broken: None, flag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSTATE_DEBUG", "" if flag else "1")
    arguments = ("--debug", "status") if flag else ("status",)
    result = shell_on({"KSTATE_LOG": "sqlite:log.db"})(*arguments)
    assert result.exit_code == 70
    assert 'in _broken\n    raise ZeroDivisionError("by zero")' in result.stderr
    assert result.stderr.endswith("kstate: unexpected ZeroDivisionError: by zero\n")


def test_a_mistake_in_the_settings_says_where_it_stands(directory: Any) -> None:
    (directory / "kstate.toml").write_text("lgo = 1\n")
    result = shell_on({})("status")
    assert result.exit_code == 3
    assert result.stderr == "kstate: kstate.toml sets 'lgo', which is no setting\n"


def test_a_command_that_does_not_exist_is_a_usage_error(shell: Shell) -> None:
    result = shell("start")
    assert result.exit_code == 2
    assert "No such command 'start'" in result.stderr


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"kstate, version \d+\.\d+\.\d+\n", shell_on({})("--version").stdout)


def test_help_lists_every_command_without_loading_one() -> None:
    script = (
        "import sys\n"
        "from kstate.cli.main import kstate\n"
        "kstate(['-h'], standalone_mode=False)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    *screen, modules = done.stdout.splitlines()
    for name, (_, summary) in COMMANDS.items():
        assert any(re.fullmatch(rf"  {name} +{re.escape(summary)}", line) for line in screen)
    loaded = set(modules.split())
    commands = {where.partition(":")[0] for where, _ in COMMANDS.values()}
    assert loaded.isdisjoint(commands)
    adapters = {"kstate.log.embedded", "kstate.log.kafka", "kstate.store.sqlitedict"}
    assert loaded.isdisjoint(adapters | {"sqlite3", "confluent_kafka", "rich"})
