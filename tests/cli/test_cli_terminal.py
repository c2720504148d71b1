"""What appears on a terminal, and that a bar never stands in the data."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shells import Processes

COUNT = 30


@pytest.fixture
def filled(processes: Processes) -> Processes:
    """A log with some orders, and no worker."""
    worker = processes.worker()
    script = (
        "import kstate, shop\n"
        "with kstate.connect('sqlite:log.db') as k:\n"
        f"    for n in range({COUNT}): k.call('shop', f'o-{{n:02}}', shop.Put(n))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", script], cwd=processes.directory, env=environment,
                   check=True)  # fmt: skip
    worker.terminate()
    worker.communicate()
    return processes


def on_terminal(processes: Processes, *arguments: str, stdout: bool, columns: int = 80) -> str:
    """What appears on a terminal; ``stdout``: standard output goes there, too, else to a file."""
    screen, terminal = pty.openpty()
    environment = {
        **os.environ, "KSTATE_LOG": processes.log, "PYTHONPATH": str(Path(__file__).parent),
        "TERM": "xterm", "COLUMNS": str(columns),
    }  # fmt: skip
    environment.pop("NO_COLOR", None)
    with (processes.directory / "out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "kstate.cli.main", *arguments],
            cwd=processes.directory,
            env=environment,
            stdout=terminal if stdout else out,
            stderr=terminal,
        )
    os.close(terminal)
    shown = b""
    while True:
        try:
            read = os.read(screen, 65_536)
        except OSError:  # Linux says so when the last process has closed the terminal
            break
        if not read:
            break
        shown += read
    os.close(screen)
    assert process.wait() == 0, shown
    return shown.decode()


def without_bars(screen: str) -> list[str]:
    """The lines that stay, control sequences and what they clear taken out."""
    lines = [line.rpartition("\x1b[2K")[2] for line in screen.split("\r\n")]
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in lines]


def test_the_data_of_a_replay_goes_to_its_file_and_the_bar_to_the_terminal(
    filled: Processes,
) -> None:
    screen = on_terminal(filled, "replay", "shop", "--json", stdout=False)
    data = (filled.directory / "out").read_text().splitlines()
    assert len([json.loads(line) for line in data]) == COUNT
    assert "journal records" in screen
    assert "persist_id" not in screen


def test_final_states_on_a_terminal_are_whole_lines(filled: Processes) -> None:
    screen = on_terminal(filled, "replay", "shop:Shop", "--state", stdout=True)
    states = [line for line in without_bars(screen) if line.startswith("o-")]
    assert len(states) == COUNT
    assert all(re.fullmatch(r"o-\d\d@\d  total=\d+ items=\[.*\] notes=null", s) for s in states)
    assert "journal records" in screen


def test_events_on_a_terminal_come_without_a_bar(filled: Processes) -> None:
    screen = on_terminal(filled, "replay", "shop", stdout=True)
    assert screen.count("\r\n") == COUNT
    assert "\x1b" not in screen


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_of_the_status_is_whole_at_any_width(filled: Processes, columns: int) -> None:
    screen = on_terminal(filled, "status", stdout=True, columns=columns)
    title, heading, *rows = without_bars(screen)
    assert title.strip() == "shop"
    assert heading.split() == [
        "partition", "owner", "committed", "lag", "entities", "low-water", "journal",
        "last-snapshot", "dead-letters",
    ]  # fmt: skip
    assert [row.split()[0] for row in rows[:2]] == ["0", "1"]
    assert "…" not in screen
