"""An export and an import go on where they were: once each record, whatever ended them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import Faults, FaultyLog, Killed
from transfer_tools import (
    Copies,
    SmallBank,
    export,
    forget_progress,
    import_,
    seqs,
    states,
    story,
)
from world import World

from kstate.core.messages import Record
from kstate.errors import ArchiveError, LogError, TopicError
from kstate.transfer.files import read_file
from kstate.transfer.importing import checked
from kstate.transfer.manifest import KINDS
from kstate.wiring import open_log
from processors.bank import Deposit

SCRIPT = Path(__file__).with_name("killed.py")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and transactions of a few records."""
    monkeypatch.setattr("kstate.transfer.reading.CHUNK", 5)
    monkeypatch.setattr("kstate.transfer.importing.BATCH_RECORDS", 7)


@pytest.fixture
def bank(copies: Copies, small: None) -> World:
    """A bank with a past, that has stopped."""
    copies.source.run(SmallBank)
    story(copies.source, SmallBank)
    copies.source.stop()
    return copies.source


def contents(directory: Path) -> list[Record]:
    """Every record of an archive, in the order of an import."""
    found = checked(directory)
    files = [
        file
        for partition in range(found.partitions)
        for kind in KINDS
        for file in found.of(kind, partition)
    ]
    return [record for file in files for record in read_file(directory, file)]


def run(*arguments: Any) -> int:
    """Runs `killed.py`; its exit code."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


# -- export ----------------------------------------------------------------------------------------


def test_an_export_that_is_interrupted_goes_on_behind_its_last_complete_file(
    copies: Copies, bank: World
) -> None:
    whole = copies.directory.parent / "whole"
    copies.exported(whole)
    interruptions = 0

    def interrupt(count: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    for number in range(1, 100):
        left = number
        try:
            copies.exported(file_bytes=1, watch=interrupt)
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions > 3
    assert contents(copies.directory) == contents(whole)
    assert not list(copies.directory.glob("*.part"))


def test_an_export_whose_process_is_killed_goes_on(copies: Copies, bank: World) -> None:
    whole = copies.directory.parent / "whole"
    copies.exported(whole)
    deaths = 0
    while run("export", bank.url, bank.prefix, copies.directory, "", 4):
        deaths += 1
    assert deaths > 1
    assert contents(copies.directory) == contents(whole)


def test_an_export_goes_on_with_what_was_written_meanwhile(copies: Copies, bank: World) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copies.exported(file_bytes=1, watch=interrupt)
    bank.run(SmallBank)
    for number in range(20):
        bank.call(SmallBank, f"acct-{number % 4}", Deposit(1))
    bank.settled(SmallBank)
    bank.stop()
    copies.exported(file_bytes=1)
    target = copies.target()
    copies.imported(target, 3)
    assert states(target, SmallBank) == states(bank, SmallBank)


def test_the_directory_of_another_export_is_refused(copies: Copies, bank: World) -> None:
    log = open_log(bank.url)
    try:
        export(log, bank, copies.directory).close()
        bank.prefix, before = copies.target(other=False).prefix, bank.prefix
        bank.run(SmallBank)
        bank.stop()
        with pytest.raises(ArchiveError, match="holds the beginning of an export of"):
            export(log, bank, copies.directory)
        bank.prefix = before
        copies.exported()
        with pytest.raises(ArchiveError, match="holds a complete archive of bank"):
            copies.exported()
        assert not (copies.directory / "lock").exists()
    finally:
        log.close()


def test_two_exports_at_the_same_time_do_not_share_a_directory(copies: Copies, bank: World) -> None:
    log = open_log(bank.url)
    try:
        with export(log, bank, copies.directory) as first:
            for _ in range(2):
                with pytest.raises(ArchiveError, match=r"another export is at work in .*archive: "):
                    copies.exported()
            found = first.run()
    finally:
        log.close()
    assert len(contents(copies.directory)) == found.events + found.snapshots
    names = {file.name for file in checked(copies.directory).files} | {"manifest.json"}
    assert {each.name for each in copies.directory.iterdir()} == names


# -- import ----------------------------------------------------------------------------------------


def same(copy: World, bank: World) -> None:
    """Each record is there once, and workers go on."""
    assert states(copy, SmallBank) == states(bank, SmallBank)
    for found in seqs(copy, SmallBank).values():
        assert found == list(range(found[0], found[-1] + 1))
    keys = [record.key for record in copy.journal(SmallBank)]
    assert len(keys) == len(set(keys))
    kept = [record.key for record in copy.snapshots(SmallBank)]
    assert len(kept) == len(set(kept))
    copy.run(SmallBank, partitions=3)
    before = states(bank, SmallBank)["acct-7"]
    copy.call(SmallBank, "acct-7", Deposit(1))
    copy.stop()
    assert states(copy, SmallBank)["acct-7"][0] == before[0] + 1


def begun(copies: Copies, target: World) -> None:
    """An import that goes on, and ends after its next transaction; the first one has nothing but
    the mark that keeps workers away."""
    log: Any = FaultyLog(open_log(target.url), target.faults)
    target.faults.kill_after_commit()
    try:
        with pytest.raises(Killed):
            import_(log, target, copies.directory, 3).run()
    finally:
        log.close()


def interrupted(copies: Copies, target: World) -> None:
    """An import that has written something and not come to its end."""
    begun(copies, target)
    begun(copies, target)
    assert target.snapshots(SmallBank) or target.journal(SmallBank)


@pytest.mark.parametrize("when", ["before", "within", "after"])
def test_an_import_whose_process_is_killed_goes_on_and_writes_each_record_once(
    copies: Copies, bank: World, when: str
) -> None:
    copies.exported()
    target = copies.target()
    deaths = 0
    while run("import", target.url, target.prefix, copies.directory, when, 3):
        deaths += 1
    assert deaths > 1
    same(target, bank)


FAULTS = ["kill_before_commit", "kill_after_commit", "lose_answer", "lose_commit"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_import_goes_on_after_every_kind_of_end(copies: Copies, bank: World, fault: str) -> None:
    copies.exported()
    target = copies.target()
    begun(copies, target)
    ends = 0
    for number in range(1, 60):
        log: Any = FaultyLog(open_log(target.url), target.faults)
        try:
            if number <= 4:
                getattr(target.faults, fault)()
            done = import_(log, target, copies.directory, 3).run()
            break
        except (Killed, LogError):
            ends += 1
        finally:
            log.close()
    assert ends == 4
    assert done.resumed
    same(target, bank)


def test_an_import_that_ended_right_after_its_last_transaction_is_done(
    copies: Copies, bank: World
) -> None:
    copies.exported()
    target = copies.target()
    done = None
    while done is None:
        faults = Faults()
        log: Any = FaultyLog(open_log(target.url), faults)
        faults.kill_after_commit()
        try:
            done = import_(log, target, copies.directory, 3).run()
        except Killed:
            continue
        finally:
            log.close()
    assert done.there_before
    same(target, bank)


def test_a_transaction_that_is_aborted_is_tried_again(copies: Copies, bank: World) -> None:
    copies.exported()
    target = copies.target()
    log: Any = FaultyLog(open_log(target.url), target.faults)
    target.faults.abort(3)
    try:
        import_(log, target, copies.directory, 3).run()
    finally:
        log.close()
    assert target.faults.fired == ["abort"] * 3
    same(target, bank)


HALF = (
    "an import into .*bank has not come to its end .*: run kstate import again with that archive, "
    "it goes on where it was"
)


@pytest.mark.parametrize("expired", [False, True], ids=["at once", "after a week"])
def test_a_worker_does_not_run_on_a_half_of_an_import_and_says_how_to_finish_it(
    copies: Copies, bank: World, expired: bool
) -> None:
    copies.exported()
    target = copies.target()
    interrupted(copies, target)
    if expired:
        forget_progress(target)
    for _ in range(2):  # the store of the first one does not make the second one forget
        target.run(SmallBank, partitions=3)
        failure = target.failure()
        assert isinstance(failure, LogError)
        assert re.fullmatch(HALF, str(failure))
        assert checked(copies.directory).archive in str(failure)
    assert copies.imported(target).resumed
    same(target, bank)


def test_a_worker_goes_on_with_an_import_whose_progress_has_expired(
    copies: Copies, bank: World
) -> None:
    copies.exported()
    target = copies.target()
    copies.imported(target, 3)
    for _ in range(2):  # from the note of the import, then from the store
        forget_progress(target)
        target.run(SmallBank, partitions=3)
        assert target.worker(SmallBank).ready.wait(20)
        target.stop()
    same(target, bank)


def test_another_archive_is_refused_while_an_import_is_not_at_its_end(
    copies: Copies, bank: World
) -> None:
    copies.exported()
    target = copies.target()
    interrupted(copies, target)
    copies.directory = copies.directory.parent / "other"
    copies.exported()
    with pytest.raises(ArchiveError, match=r"the import of another archive into .* is under way"):
        copies.imported(target)


def test_an_archive_that_was_imported_is_not_imported_again(copies: Copies, bank: World) -> None:
    copies.exported()
    target = copies.target()
    assert not copies.imported(target, 3).there_before
    before = target.journal(SmallBank)
    assert copies.imported(target).there_before
    assert target.journal(SmallBank) == before
    target.run(SmallBank, partitions=3)
    target.call(SmallBank, "acct-7", Deposit(1))
    target.settled(SmallBank)
    target.stop()
    with pytest.raises(TopicError, match="is not empty"):
        copies.imported(target)


def test_an_import_is_refused_while_a_worker_is_at_work(copies: Copies, bank: World) -> None:
    copies.exported()
    target = copies.target()
    target.run(SmallBank, partitions=3)
    target.call(SmallBank, "a", Deposit(1))
    with pytest.raises(TopicError, match="is at work on"):
        copies.imported(target)
