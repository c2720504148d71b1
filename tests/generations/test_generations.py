"""Today's code reads what the banks of 2024, of 2025 and of today left on their logs."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import Any

import pytest
from bank_today import (
    Account,
    Channel,
    Deposit,
    Deposited,
    FeeCharged,
    InterestPaid,
    Kind,
    Opened,
    Withdrawn,
)
from click.testing import CliRunner
from generations_tools import (
    BANKS,
    EVENTS_ONLY,
    OLD,
    TODAY,
    all_expected,
    poured,
    recovered,
)
from golden import GENERATIONS, Golden, read
from story import CLOSED
from world import World, header

from kstate.cli.main import kstate
from kstate.cli.output import jsonable
from kstate.codec.avro import AvroCodec
from kstate.core.messages import Record
from kstate.core.topics import CHECKPOINT_KEY, parse_event_key
from kstate.processor import definition_of

every_generation = pytest.mark.parametrize("generation", GENERATIONS)
old_generations = pytest.mark.parametrize("generation", OLD)


# -- states ----------------------------------------------------------------------------------------


@every_generation
def test_a_worker_recovers_every_account_to_the_state_noted_then(
    world: World, generation: str
) -> None:
    kept = poured(world, generation)
    world.run(TODAY)
    assert recovered(world, TODAY, kept.states) == all_expected(kept)


@every_generation
def test_an_account_that_was_closed_is_as_new(world: World, generation: str) -> None:
    kept = poured(world, generation)
    assert CLOSED not in kept.states
    world.run(TODAY)
    assert world.state(TODAY, CLOSED) == TODAY().init(CLOSED)
    assert world.client.ids(TODAY) == sorted(kept.states)


@every_generation
def test_the_journal_alone_folds_to_the_states_noted_then(world: World, generation: str) -> None:
    kept = poured(world, generation)
    states = world.client.states(TODAY)
    folded = {each: state for each, _, state in states.final()}
    assert folded == all_expected(kept)
    assert {each: seq for each, seq, _ in states.final()} == {
        each: noted.seq for each, noted in kept.states.items()
    }


@every_generation
def test_an_account_goes_on_where_it_was(world: World, generation: str) -> None:
    kept = poured(world, generation)
    world.run(TODAY)
    before = all_expected(kept)["acct-0"]
    assert world.call(TODAY, "acct-0", Deposit(11)) == before.balance + 11
    world.restart(without_store=True)
    assert world.state(TODAY, "acct-0").balance == before.balance + 11
    assert world.events(TODAY, "acct-0")[-1] == (kept.states["acct-0"].seq + 1, Deposited(11))


# -- events ----------------------------------------------------------------------------------------


def test_each_event_of_2024_is_what_it_means_today(world: World) -> None:
    kept = poured(world, "2024")
    bank = AvroCodec(definition_of(BANKS["2024"]))
    read_today: dict[str, list[Any]] = {}
    for each in world.client.events.all(TODAY):
        read_today.setdefault(f"{each.persist_id}@{each.seq}", []).append(each.event)
    found: Counter[str] = Counter()
    for record in kept.records["journal"]:
        kind, was = header(record, "type"), bank.decode_event(record.value)
        if not kind.startswith("kstate."):
            key = (record.key or b"").decode()
            assert read_today.get(key, []) == _todays(kind, was), key
            found[kind] += 1
    assert found.keys() == {"Opened", "MoneyIn", "CardIn", "MoneyOut", "InterestPaid", "Viewed"}


def _todays(kind: str, was: Any) -> list[Any]:
    """What an event of 2024 is today."""
    match kind:
        case "Opened":
            student = was.kind.name == "STUDENT"
            return [Opened(was.owner, Kind.PRIVATE if student else Kind[was.kind.name], "DE")]
        case "MoneyIn":
            return [Deposited(was.cents, Channel.CASH)]
        case "CardIn":
            return [Deposited(was.cents, Channel.CARD)]
        case "MoneyOut":
            fee = [FeeCharged(was.fee)] if was.fee else []
            return [Withdrawn(was.cents), *fee]
        case "InterestPaid":
            return [InterestPaid(was.cents, float(was.percent))]
        case "Viewed":
            return []
    raise AssertionError(kind)


def test_the_golden_journal_of_2024_has_every_case_of_its_types() -> None:
    kept = _events("2024", "MoneyOut"), _events("2024", "Opened")
    assert {bool(event.fee) for event in kept[0]} == {True, False}
    assert {event.kind.name for event in kept[1]} == {"PRIVATE", "STUDENT", "BUSINESS"}
    assert "JOINT" in {event.kind.name for event in _events("2025", "Opened")}
    percents = {event.percent for event in _events("today", "InterestPaid")}
    assert any(percent % 1 for percent in percents)


def _events(generation: str, kind: str) -> list[Any]:
    codec = AvroCodec(definition_of(BANKS[generation]))
    journal = read(generation).records["journal"]
    return [codec.decode_event(r.value) for r in journal if header(r, "type") == kind]


@every_generation
def test_a_query_and_a_replay_tell_the_same(
    world: World, generation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = poured(world, generation)
    monkeypatch.setenv("KSTATE_LOG", world.url)
    monkeypatch.setenv("KSTATE_PREFIX", world.prefix)

    def replay(*arguments: str) -> list[dict[str, Any]]:
        result = CliRunner().invoke(kstate, ["replay", "bank_today:Bank", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    told = [(e["persist_id"], e["seq"], e["event"]) for e in replay(*kept.states)]
    queried = [
        (each.persist_id, each.seq, jsonable(each.event))
        for persist_id in kept.states
        for each in world.client.events.by_id(TODAY, persist_id)
    ]
    assert told == queried
    assert {e["persist_id"]: e["state"] for e in replay("--state")} == {
        persist_id: jsonable(state) for persist_id, state in all_expected(kept).items()
    }


@every_generation
def test_events_are_found_by_the_tags_that_they_had(world: World, generation: str) -> None:
    kept = poured(world, generation)
    tagged = [r.key for r in kept.records["journal"] if ("tag", b"large") in r.headers]
    found = list(world.client.events.by_tag(TODAY, "large"))
    assert sorted(f"{e.persist_id}@{e.seq}".encode() for e in found) == sorted(map(bytes, tagged))
    assert all(e.event.amount >= 50_000 for e in found)
    assert bool(tagged) == (generation != "2024")


# -- snapshots -------------------------------------------------------------------------------------


def snapshot_seqs(kept: Golden, generation: str) -> dict[bytes, int]:
    """The seq of each account's newest snapshot."""
    codec = AvroCodec(definition_of(BANKS[generation]))
    return {
        record.key: codec.decode_snapshot(record.value).seq
        for record in kept.records["snapshots"]
        if record.key and record.value and record.key != CHECKPOINT_KEY
    }


def retained(generation: str) -> list[Record]:
    """The journal when retention took what snapshots cover."""
    kept = read(generation)
    covered = snapshot_seqs(kept, generation)
    left = []
    for record in kept.records["journal"]:
        key, seq = parse_event_key(record.key) or (b"", 0)
        gone = seq <= covered.get(key, 0)
        left.append(record._replace(value=None) if gone else record)
    return left


@every_generation
def test_snapshots_load_where_no_event_is_left_that_they_cover(
    world: World, generation: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "kstate.recovery")
    kept = poured(world, generation, retained(generation))
    world.run(TODAY)
    assert recovered(world, TODAY, kept.states) == all_expected(kept)
    assert not [each for each in caplog.records if each.name == "kstate.recovery"]


@old_generations
def test_without_the_snapshot_adapter_accounts_are_rebuilt_from_their_events(
    world: World, generation: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "kstate.recovery")
    kept = poured(world, generation)
    world.run(EVENTS_ONLY)
    assert recovered(world, EVENTS_ONLY, kept.states) == all_expected(kept)
    told = [each for each in caplog.messages if "unreadable" in each]
    assert len(told) == 1, "one warning, however many partitions have some"
    assert all("Account.holder: it is not in the stored data" in each for each in told)


@old_generations
def test_an_account_that_was_rebuilt_has_a_snapshot_of_today_in_the_end(
    world: World, generation: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = poured(world, generation)
    world.run(EVENTS_ONLY)
    for _ in range(TODAY.snapshot_every):
        world.call(EVENTS_ONLY, "acct-0", Deposit(1))
    found = world.snapshot(EVENTS_ONLY, "acct-0")
    assert isinstance(found.state, Account)
    assert found.seq > kept.states["acct-0"].seq
