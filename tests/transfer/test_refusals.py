"""What cannot be exported or imported is refused before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transfer_tools import Copies, export, import_, states
from world import World

from kstate.core.messages import Snapshot
from kstate.errors import ArchiveError, JournalError, ProcessorAbsent, TopicError
from kstate.transfer.manifest import NAME, load
from kstate.wiring import open_log
from processors.bank import Account, Bank, Deposit


@pytest.fixture
def bank(copies: Copies) -> World:
    """A bank with two accounts, that has stopped."""
    copies.source.run(Bank)
    for account in ("a", "b"):
        copies.source.call(Bank, account, Deposit(5))
    copies.source.settled(Bank)
    copies.source.stop()
    return copies.source


@pytest.fixture
def archive(copies: Copies, bank: World) -> Path:
    """A complete archive of the bank."""
    copies.exported()
    return copies.directory


def refused(copies: Copies, message: str, error: type[Exception] = ArchiveError) -> None:
    """The archive is refused, and the log is as it was."""
    target = copies.target(other=False)
    log = open_log(target.url)
    try:
        with pytest.raises(error, match=message):
            import_(log, target, copies.directory)
        assert not [name for name in log.topics() if name.startswith(target.prefix)]
    finally:
        log.close()


def event_file(archive: Path) -> Path:
    return next(iter(sorted(archive.glob("journal-*.avro"))))


# -- archives --------------------------------------------------------------------------------------


def test_a_changed_file_is_refused(copies: Copies, archive: Path) -> None:
    path = event_file(archive)
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(bytes(content))
    refused(copies, f"{path.name} is damaged: its checksum is wrong")


def test_a_file_that_is_cut_off_is_refused(copies: Copies, archive: Path) -> None:
    path = event_file(archive)
    path.write_bytes(path.read_bytes()[:-1])
    refused(copies, f"{path.name} is damaged: its checksum is wrong")


def test_a_missing_file_is_refused(copies: Copies, archive: Path) -> None:
    path = event_file(archive)
    path.unlink()
    refused(copies, f"{path.name} is missing: take another copy of the archive")


def test_an_archive_of_a_newer_format_is_refused(copies: Copies, archive: Path) -> None:
    path = archive / NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    refused(copies, r"written by a newer kstate \(format 2, this one knows 1\): update kstate")


def test_a_changed_manifest_is_refused(copies: Copies, archive: Path) -> None:
    path = archive / NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "processor": "shop"}))
    refused(copies, "manifest.json is damaged: its checksum is wrong")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"', "\0"])
def test_a_manifest_that_is_none_is_refused(copies: Copies, archive: Path, text: str) -> None:
    (archive / NAME).write_text(text)
    refused(copies, "manifest.json is damaged")


def test_a_directory_without_a_manifest_is_refused(copies: Copies) -> None:
    copies.directory.mkdir()
    refused(copies, "holds no archive: there is no manifest.json")


def test_an_export_that_has_not_come_to_its_end_is_refused(copies: Copies, bank: World) -> None:
    log = open_log(bank.url)
    export(log, bank, copies.directory).close()
    log.close()
    refused(copies, "has not come to its end: start it again")


# -- targets ---------------------------------------------------------------------------------------


def test_a_journal_with_records_is_not_mixed_with_an_archive(copies: Copies, archive: Path) -> None:
    target = copies.target()
    target.run(Bank)
    target.call(Bank, "c", Deposit(1))
    target.settled(Bank)
    target.stop()
    before = target.journal(Bank)
    with pytest.raises(TopicError, match=r"is not empty: an archive is not mixed"):
        copies.imported(target)
    assert target.journal(Bank) == before
    target.run(Bank)
    assert target.call(Bank, "c", Deposit(1)) == 2


def test_a_journal_of_another_partition_count_is_refused(copies: Copies, archive: Path) -> None:
    target = copies.target()
    target.run(Bank, partitions=4)
    target.stop()
    with pytest.raises(TopicError, match="has 4 partitions, not 3"):
        copies.imported(target, 3)
    assert copies.imported(target).partitions == 4


def test_a_processor_that_is_there_without_a_past_takes_an_archive(
    copies: Copies, archive: Path
) -> None:
    target = copies.target()
    target.run(Bank, partitions=3)
    target.stop()
    copies.imported(target)
    assert states(target, Bank) == {"a": (1, Account(5)), "b": (1, Account(5))}
    target.run(Bank, partitions=3)
    assert target.call(Bank, "a", Deposit(1)) == 6


# -- sources ---------------------------------------------------------------------------------------


def test_a_processor_that_is_not_there_is_refused(copies: Copies) -> None:
    with pytest.raises(ProcessorAbsent, match=r"bank.journal does not exist on"):
        copies.exported()
    assert not copies.directory.exists()


def test_a_directory_with_something_else_is_refused(copies: Copies, bank: World) -> None:
    copies.directory.mkdir()
    (copies.directory / "letter.txt").write_text("dear")
    with pytest.raises(ArchiveError, match="is not empty: give a new directory"):
        copies.exported()
    assert [each.name for each in copies.directory.iterdir()] == ["letter.txt"]


def test_events_that_need_a_schema_registry_are_refused(copies: Copies, bank: World) -> None:
    journal = bank.topics(Bank).journal
    bank.produce(Bank, b"\0\0\0\0\7x", key=b"c@1", topic=journal, partition=0)
    with pytest.raises(ArchiveError, match=r"the event at 0:\d+ bears the id of a schema registry"):
        copies.exported()


@pytest.mark.parametrize("where", ["state", "reply"])
def test_snapshots_that_need_a_schema_registry_are_refused(
    copies: Copies, bank: World, where: str
) -> None:
    from kstate.codec.snapshots import encode_envelope

    recent = {b"1" * 16: (1, 0, b"\0\0\0\0\7x")} if where == "reply" else {}
    envelope = Snapshot(1, None, 1, 0, 0, where == "reply", recent)
    value = encode_envelope(envelope, b"\0\0\0\0\7x" if where == "state" else None)
    topic = bank.topics(Bank).snapshots
    bank.produce(Bank, value, key=b"c", topic=topic, partition=0)
    with pytest.raises(ArchiveError, match="the snapshot of 'c' bears the id of a schema registry"):
        copies.exported()


def test_a_journal_with_a_hole_is_refused(copies: Copies, bank: World) -> None:
    journal = bank.topics(Bank).journal
    value = bank.journal(Bank)[0].value
    bank.produce(Bank, value, key=b"c@2", topic=journal, partition=0)
    with pytest.raises(JournalError, match="the journal of 'c' is broken: seq 2 follows 0"):
        copies.exported()


def test_a_foreign_record_in_the_journal_is_refused(copies: Copies, bank: World) -> None:
    bank.produce(Bank, b"x", key=b"foreign", topic=bank.topics(Bank).journal, partition=0)
    with pytest.raises(JournalError, match="has a foreign record at 0:"):
        copies.exported()


def test_a_full_disk_is_told_and_the_export_goes_on_once_there_is_room(
    copies: Copies, bank: World
) -> None:
    log = open_log(bank.url)
    try:
        made = export(log, bank, copies.directory)
        found = load(copies.directory)
        assert found is not None
        partition = bank.journal(Bank)[0].partition
        full = copies.directory / f"journal-{partition:05}-00001.avro.part"
        full.symlink_to("/dev/full")
        with pytest.raises(ArchiveError, match=r"cannot be written \(No space left on device\)"):
            made.run()
        full.unlink()
        made.close()
        with export(log, bank, copies.directory) as made:
            done = made.run()
        assert done.events == 2
    finally:
        log.close()
