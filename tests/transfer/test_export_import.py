"""A bank is exported, and imported on the other kind of log with another partition count."""

from __future__ import annotations

from typing import Any

import pytest
from transfer_tools import (
    ACCOUNTS,
    Copies,
    SmallBank,
    seqs,
    served,
    states,
    story,
)
from world import World, header

from kstate.core.messages import Progress, Record
from kstate.core.partition import partition_for
from kstate.core.topics import parse_event_key
from kstate.transfer.files import read_file
from kstate.transfer.importing import checked
from processors.bank import LARGE, Account, Bank, Deposit, Withdraw

BANKS = [Bank, SmallBank]
every_bank = pytest.mark.parametrize(
    "bank", BANKS, ids=["all events", "events behind snapshots go"]
)


def copied(copies: Copies, bank: Any, partitions: int | None = 3) -> World:
    """The copy of a bank that has stopped."""
    copies.source.run(bank)
    story(copies.source, bank)
    copies.source.stop()
    copies.exported()
    target = copies.target()
    copies.imported(target, partitions)
    return target


def per_id(records: list[Record]) -> dict[bytes, list[Any]]:
    """By persist id, everything that an event's record holds but its place."""
    found: dict[bytes, list[Any]] = {}
    for record in records:
        key, seq = parse_event_key(record.key) or (b"", 0)
        if record.value is not None:
            headers = [(n.replace("origin", "source"), v) for n, v in record.headers]
            found.setdefault(key, []).append((seq, record.value, headers, record.timestamp))
    return found


@every_bank
def test_the_states_of_both_sides_are_equal(copies: Copies, bank: Any) -> None:
    target = copied(copies, bank)
    assert states(target, bank) == states(copies.source, bank) != {}


@every_bank
def test_the_owner_of_the_copy_serves_the_states_of_the_original(copies: Copies, bank: Any) -> None:
    target = copied(copies, bank)
    copies.source.run(bank)
    target.run(bank, partitions=3)
    assert served(target, bank) == served(copies.source, bank)


@every_bank
def test_every_record_of_an_event_comes_out_as_it_was(copies: Copies, bank: Any) -> None:
    target = copied(copies, bank)
    there = per_id(target.journal(bank))
    before = per_id(copies.source.journal(bank))
    assert there.keys() == before.keys()
    for key, events in there.items():
        # what was removed, and can still be read on the old log, does not travel
        assert events == before[key][-len(events) :]


def test_all_events_travel_where_none_are_removed(copies: Copies) -> None:
    target = copied(copies, Bank)
    assert seqs(target, Bank) == seqs(copies.source, Bank)


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_each_record_lies_in_the_partition_of_its_persist_id(
    copies: Copies, partitions: int
) -> None:
    target = copied(copies, SmallBank, partitions)
    journal, snapshots = target.journal(SmallBank), target.snapshots(SmallBank)
    assert journal
    assert snapshots
    for record in journal:
        key, _ = parse_event_key(record.key) or (b"", 0)
        assert record.partition == partition_for(key, partitions)
    for record in snapshots:
        assert record.partition == partition_for(record.key or b"", partitions)


def test_the_partition_count_stays_unless_another_is_asked_for(copies: Copies) -> None:
    target = copied(copies, Bank, None)
    assert target.client.journal("bank").partitions() == 2


def test_the_newest_snapshot_of_each_id_travels_and_is_bound_to_no_offset(copies: Copies) -> None:
    target = copied(copies, SmallBank)
    for account in ACCOUNTS:
        before = copies.source.snapshot(SmallBank, account)
        after = target.snapshot(SmallBank, account)
        if before is None:
            assert after is None
            continue
        assert after.journal_offset == 0
        assert (after.seq, after.state, after.removed, after.recent, after.at) == (
            before.seq, before.state, before.removed, before.recent, before.at
        )  # fmt: skip
    assert len(target.snapshots(SmallBank)) == len({r.key for r in target.snapshots(SmallBank)})


def test_what_was_removed_behind_a_snapshot_does_not_come_back(copies: Copies) -> None:
    target = copied(copies, SmallBank)
    account = ACCOUNTS[0]
    removed = target.snapshot(SmallBank, account).removed
    assert removed > 0
    assert seqs(target, SmallBank)[account.encode()][0] == removed + 1


def test_a_query_by_tag_finds_in_the_copy_what_it_found_before(copies: Copies) -> None:
    target = copied(copies, Bank)

    def found(world: World) -> list[Any]:
        return [(e.persist_id, e.seq, e.event) for e in world.client.events.by_tag(Bank, "large")]

    assert found(target) == found(copies.source)
    assert [event.amount for _, _, event in found(target)] == [LARGE]


def test_the_source_of_an_event_is_its_origin_and_travels_a_second_time(copies: Copies) -> None:
    target = copied(copies, Bank)
    source = {r.key: header(r, "source") for r in copies.source.journal(Bank)}
    origin = {r.key: header(r, "origin") for r in target.journal(Bank)}
    assert origin == source
    assert all(name != "source" for r in target.journal(Bank) for name, _ in r.headers)
    again = Copies(target, copies._request, copies.directory.parent / "second")
    again.exported()
    third = copies.target(other=False)
    again.imported(third)
    assert {r.key: header(r, "origin") for r in third.journal(Bank)} == source


# -- the life after ------------------------------------------------------------------------------


@every_bank
def test_new_commands_run_on_with_the_next_seqs(copies: Copies, bank: Any) -> None:
    target = copied(copies, bank)
    before = states(target, bank)
    target.run(bank, partitions=3)
    for account in ACCOUNTS:
        target.call(bank, account, Deposit(7))
    target.stop()
    after = states(target, bank)
    for account, (seq, state) in before.items():
        expected = Account(state.balance + 7, state.withdrawals)
        assert after[account] == (seq + 1, expected)
    for found in seqs(target, bank).values():
        assert found == list(range(found[0], found[-1] + 1))


def test_the_first_new_command_of_a_partition_runs_though_its_offset_is_an_old_one(
    copies: Copies,
) -> None:
    target = copied(copies, Bank, 1)
    assert len(copies.source.read(copies.source.topics(Bank).commands)) > 5
    command_id = target.cast(Bank, "acct-6", Deposit(1))  # before there is any worker
    target.run(Bank, partitions=1)
    target.settled(Bank)
    newest = target.journal(Bank)[-1]
    assert header(newest, "command-id") == command_id
    assert header(newest, "source") == "0:0"


@every_bank
def test_a_command_that_was_answered_before_is_answered_again_and_not_run(
    copies: Copies, bank: Any
) -> None:
    source = copies.source
    source.run(bank)
    story(source, bank)
    accounts = ACCOUNTS[5:8]
    answers = {}
    for account in accounts:
        for number in range(4):  # on the way over a snapshot
            command_id = f"{account}-{number}"
            answers[account, command_id] = source.call(
                bank, account, Deposit(number + 1), command_id=command_id
            )
    source.settled(bank)
    source.stop()
    copies.exported()
    target = copies.target()
    copies.imported(target, 3)
    before = states(target, bank)
    target.run(bank, partitions=3)
    for (account, command_id), answer in answers.items():
        assert target.call(bank, account, Deposit(1_000), command_id=command_id) == answer
    assert target.call(bank, accounts[0], Deposit(1), command_id="new") > 0
    target.stop()
    after = states(target, bank)
    assert {each: after[each] for each in accounts[1:]} == {
        each: before[each] for each in accounts[1:]
    }
    assert after[accounts[0]][0] == before[accounts[0]][0] + 1


def test_a_copy_whose_worker_has_lost_its_store_is_recovered_again(copies: Copies) -> None:
    target = copied(copies, SmallBank)
    target.run(SmallBank, partitions=3)
    for account in ACCOUNTS:
        target.call(SmallBank, account, Deposit(3))
    found = served(target, SmallBank)
    target.restart(without_store=True)
    assert served(target, SmallBank) == found


def test_an_account_that_was_deleted_is_as_new_and_its_seqs_go_on(copies: Copies) -> None:
    target = copied(copies, Bank)
    seq = seqs(target, Bank)[b"acct-3"][-1]
    target.run(Bank, partitions=3)
    assert target.call(Bank, "acct-3", Deposit(5)) == 5
    assert seqs(target, Bank)[b"acct-3"][-1] == seq + 1


def test_a_takeover_reads_the_copy_from_the_oldest_event_without_a_snapshot_on(
    copies: Copies,
) -> None:
    source = copies.source
    source.run(SmallBank, partitions=1)
    for _ in range(11):  # two snapshots, one event behind them
        source.call(SmallBank, "a", Deposit(1))
    source.call(SmallBank, "b", Deposit(1))
    source.settled(SmallBank)
    source.stop()
    copies.exported()
    target = copies.target()
    copies.imported(target)
    progress = target._logs.log.progress(*_group(target))
    parsed = Progress.parse(progress[0].offset, progress[0].metadata)
    assert parsed is not None
    assert parsed[0].entities == 2
    assert parsed[0].offset == 0
    mark = target.checkpoints(SmallBank)[-1]  # those before it kept workers away
    assert Progress.parse_note(mark.value or b"") == parsed[0]


def _group(world: World) -> tuple[str, str]:
    topics = world.topics(Bank)
    return topics.group, topics.commands


def test_commands_that_nobody_has_processed_are_counted_and_do_not_travel(copies: Copies) -> None:
    source = copies.source
    source.run(Bank)
    source.call(Bank, "a", Deposit(1))
    source.settled(Bank)
    source.stop()
    source.cast(Bank, "a", Deposit(2))
    assert copies.exported().waiting == 1
    target = copies.target()
    copies.imported(target)
    assert states(target, Bank)["a"] == (1, Account(1))
    assert target.read(target.topics(Bank).commands) == []


# -- while workers are at work ---------------------------------------------------------------------


@every_bank
def test_what_is_exported_while_commands_run_is_a_past_that_was(copies: Copies, bank: Any) -> None:
    source = copies.source
    source.run(bank)
    story(source, bank)
    turns: list[int] = []

    def busy(count: int) -> None:
        """Commands come between any two passes of the export."""
        turns.append(count)
        for account in ACCOUNTS:
            for _ in range(3):
                source.call(bank, account, Deposit(1))

    copies.exported(watch=busy)
    assert len(turns) >= 6  # three passes of each of two partitions
    source.settled(bank)
    target = copies.target()
    copies.imported(target, 3)
    target.run(bank, partitions=3)
    for account in ACCOUNTS:
        target.call(bank, account, Withdraw(1))
    there, before = per_id(target.journal(bank)), per_id(source.journal(bank))
    for key, found in there.items():
        copy = [event for event in found if dict(event[2])["command-id"] in _ids(before[key])]
        assert copy[0] in before[key]
        first = before[key].index(copy[0])
        assert copy == before[key][first : first + len(copy)]
        assert [event[0] for event in found] == list(range(found[0][0], found[0][0] + len(found)))


def _ids(events: list[Any]) -> set[bytes]:
    return {dict(headers)["command-id"] for _, _, headers, _ in events}


def test_what_is_removed_while_the_export_runs_does_not_come_back(copies: Copies) -> None:
    source = copies.source
    source.run(SmallBank, partitions=1)
    for _ in range(4):
        source.call(SmallBank, "a", Deposit(1))
    source.settled(SmallBank)

    def later(count: int) -> None:
        """The first four events are copied; then a snapshot comes, and they are removed."""
        for _ in range(6):
            source.call(SmallBank, "a", Deposit(1))

    copies.exported(watch=later)
    target = copies.target()
    copies.imported(target, 3)
    removed = target.snapshot(SmallBank, "a").removed
    assert removed >= 3
    assert seqs(target, SmallBank)[b"a"][0] == removed + 1
    assert all(record.value is not None for record in target.journal(SmallBank))


def test_an_archive_has_no_event_that_was_removed_before(copies: Copies) -> None:
    source = copies.source
    source.run(SmallBank, partitions=1)
    for _ in range(10):
        source.call(SmallBank, "a", Deposit(1))
    source.settled(SmallBank)
    source.stop()
    removed = source.snapshot(SmallBank, "a").removed
    assert removed > 0
    copies.exported()
    found = checked(copies.directory)
    kept = [each for file in found.of("journal") for each in read_file(copies.directory, file)]
    first = parse_event_key(kept[0].key)
    assert first == (b"a", removed + 1)


def test_an_event_stays_whose_removal_is_told_by_a_snapshot_that_was_not_copied(
    copies: Copies,
) -> None:
    source = copies.source
    source.run(SmallBank, partitions=1)
    for _ in range(4):
        source.call(SmallBank, "a", Deposit(1))
    source.settled(SmallBank)
    passes = 0

    def later(count: int) -> None:
        """When the snapshots are copied, too, another snapshot comes, and events are removed."""
        nonlocal passes
        passes += 1
        for _ in range(2 if passes == 1 else 6):
            source.call(SmallBank, "a", Deposit(1))

    copies.exported(watch=later)
    target = copies.target()
    copies.imported(target, 3)
    snapshot = target.snapshot(SmallBank, "a")
    newest = source.snapshot(SmallBank, "a")
    assert newest.removed > snapshot.seq, "the newer snapshot has removed what this one needs"
    there = [parse_event_key(record.key) for record in target.journal(SmallBank)]
    assert there == [(b"a", snapshot.removed + 1 + n) for n in range(len(there))]
    assert all(record.value is not None for record in target.journal(SmallBank))
    target.run(SmallBank, partitions=3)
    assert target.state(SmallBank, "a").balance == len(there) + snapshot.removed
