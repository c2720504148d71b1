"""A worker's place on the machine: its own, and the same again after a restart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kstate.errors import ConfigError
from kstate.runtime.slot import Slot

CHILD = """
import sys
from pathlib import Path
from kstate.runtime.slot import Slot
slot = Slot.take(Path(sys.argv[1]), "bank")
print(slot.instance, flush=True)
sys.stdin.read()
"""


def test_two_workers_get_two_slots(tmp_path: Path) -> None:
    first, second = Slot.take(tmp_path, "bank"), Slot.take(tmp_path, "bank")
    assert first.directory != second.directory
    assert first.instance.removesuffix("0") == second.instance.removesuffix("1")
    first.release()
    second.release()


def test_a_released_slot_is_taken_again_with_its_name(tmp_path: Path) -> None:
    first, second = Slot.take(tmp_path, "bank"), Slot.take(tmp_path, "bank")
    first.release()
    first.release()
    again = Slot.take(tmp_path, "bank")
    assert (again.directory, again.instance) == (first.directory, first.instance)
    again.release()
    second.release()


def test_workers_of_two_processors_share_a_data_directory_and_nothing_else(tmp_path: Path) -> None:
    bank, shop = Slot.take(tmp_path, "bank"), Slot.take(tmp_path, "shop")
    assert bank.directory == tmp_path / "bank" / "0"
    assert shop.directory == tmp_path / "shop" / "0"
    bank.release()
    shop.release()


def test_two_data_directories_give_two_names(tmp_path: Path) -> None:
    here, there = Slot.take(tmp_path / "1", "bank"), Slot.take(tmp_path / "2", "bank")
    assert here.instance != there.instance
    here.release()
    there.release()


def test_the_slot_of_a_killed_worker_comes_back_with_its_name(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        beside = Slot.take(tmp_path, "bank")
        assert beside.instance != name
        child.kill()
    again = Slot.take(tmp_path, "bank")
    assert again.instance == name
    again.release()
    beside.release()


def test_a_data_directory_that_cannot_be_made_is_told_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="name another one with --data"):
        Slot.take(tmp_path / "file", "bank")


def test_more_workers_than_slots_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kstate.runtime.slot.MAX_SLOTS", 2)
    held = [Slot.take(tmp_path, "bank"), Slot.take(tmp_path, "bank")]
    with pytest.raises(ConfigError, match="2 workers of bank"):
        Slot.take(tmp_path, "bank")
    for slot in held:
        slot.release()
