"""``kstate export`` and ``kstate import`` as one types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from transfer_tools import ACCOUNTS, Copies, served, states, story, typed
from world import World

from kstate.cli.main import kstate
from kstate.core.messages import Record
from kstate.transfer import exporting
from processors.bank import Bank, Deposit


@pytest.fixture
def bank(copies: Copies) -> World:
    """A bank with a past, that has stopped."""
    copies.source.run(Bank)
    story(copies.source, Bank)
    copies.source.stop()
    return copies.source


@pytest.mark.parametrize("target", ["bank", "processors.bank:Bank"])
def test_what_is_exported_and_imported_is_told_in_a_sentence(
    copies: Copies, bank: World, target: str
) -> None:
    out = typed(bank, "export", target, copies.directory)
    assert out.exit_code == 0, out.output
    events = len(bank.journal(Bank))
    assert out.stdout.startswith(f"{events} events and ")
    copy = copies.target()
    taken = typed(copy, "import", copies.directory, "--partitions", 3)
    assert taken.exit_code == 0, taken.output
    assert taken.stdout.startswith(f"{events} events and ")
    assert taken.stdout.endswith("of bank are taken in, 3 partitions\n")
    assert states(copy, Bank) == states(bank, Bank)
    copy.run(Bank, partitions=3)
    bank.run(Bank)
    assert served(copy, Bank) == served(bank, Bank)


def test_what_an_import_warns_of_bears_the_prefix_of_warnings(copies: Copies, bank: World) -> None:
    assert typed(bank, "export", "bank", copies.directory).exit_code == 0
    copy = copies.target(other=not bank.url.startswith("kafka"))  # one broker: weak topics
    command = [sys.executable, "-m", "kstate.cli.main", "import", str(copies.directory)]
    environment = {**os.environ, "KSTATE_LOG": copy.url, "KSTATE_PREFIX": copy.prefix}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines
    assert all(each.startswith("kstate: warning: ") for each in lines), lines


def test_an_imported_journal_is_sound(copies: Copies, bank: World) -> None:
    assert typed(bank, "export", "bank", copies.directory).exit_code == 0
    copy = copies.target()
    assert typed(copy, "import", copies.directory).exit_code == 0
    out = typed(copy, "verify", "processors.bank:Bank")
    assert (out.exit_code, "bank: sound" in out.output) == (0, True), out.output


def test_machines_get_the_same_as_json(copies: Copies, bank: World) -> None:
    found = json.loads(typed(bank, "export", "bank", copies.directory, "--json").stdout)
    assert found["processor"] == "bank"
    assert found["events"] == len(bank.journal(Bank))
    assert found["waiting"] == 0
    files = [path for path in copies.directory.iterdir() if path.suffix == ".avro"]
    assert found["files"] == len(files)
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    copy = copies.target()
    taken = json.loads(typed(copy, "import", copies.directory, "--json").stdout)
    assert (taken["events"], taken["partitions"]) == (found["events"], 2)
    again = json.loads(typed(copy, "import", copies.directory, "--json").stdout)
    assert again["there_before"]


def test_commands_that_stay_behind_are_told(copies: Copies, bank: World) -> None:
    bank.cast(Bank, "acct-1", Deposit(1))
    out = typed(bank, "export", "bank", copies.directory)
    assert out.exit_code == 0
    assert "about 1 commands of bank wait to be processed" in out.stderr


def test_an_export_ended_by_ctrl_c_goes_on(
    copies: Copies, bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exporting.chunks

    def ended(log: Any, topic: str, *rest: Any) -> Iterator[Sequence[Record]]:
        if topic.endswith(".journal"):
            raise KeyboardInterrupt
        return whole(log, topic, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "chunks", ended)
        assert typed(bank, "export", "bank", copies.directory).exit_code == 130
    out = typed(bank, "export", "bank", copies.directory)
    assert out.exit_code == 0, out.output
    assert out.stdout.startswith(f"{len(bank.journal(Bank))} events and ")


def test_a_small_file_size_makes_many_files(
    copies: Copies, bank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.transfer.reading.CHUNK", 5)
    out = typed(bank, "export", "bank", copies.directory, "--file-mb", "0.000001", "--json")
    assert json.loads(out.stdout)["files"] > 2 * len(ACCOUNTS) / 5


def test_errors_are_a_sentence_and_an_exit_code(
    copies: Copies, bank: World, tmp_path: Path
) -> None:
    def refused(world: World, code: int, text: str, *arguments: object) -> None:
        out = typed(world, *arguments)
        assert out.exit_code == code, out.output
        assert out.stderr.splitlines()[-1].startswith("kstate: ")
        assert text in out.stderr.splitlines()[-1]
        assert "Traceback" not in out.stderr

    refused(bank, 32, "shop.journal does not exist on", "export", "shop", tmp_path / "new")
    assert typed(bank, "export", "bank", copies.directory).exit_code == 0
    refused(bank, 45, "holds a complete archive", "export", "bank", copies.directory)
    refused(bank, 32, "is not empty: an archive is not mixed", "import", copies.directory)
    copy = copies.target()
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(copy, 45, "holds no archive", "import", empty)
    next(copies.directory.glob("journal-*.avro")).unlink()
    refused(copy, 45, "is missing", "import", copies.directory)


def test_a_log_that_is_not_there_is_not_made_by_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["export", "bank", "there", "--log", "sqlite:none.db"]
    out = CliRunner().invoke(kstate, arguments, prog_name="kstate")
    assert out.exit_code == 3
    assert not (tmp_path / "none.db").exists()
    assert not (tmp_path / "there").exists()
