"""One log on which the bank of 2024, that of 2025 and that of today worked, one after another."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import bank_2025
import bank_today
import pytest
from generations_tools import BANKS, EVENTS_ONLY, TODAY, expected, poured, recovered
from golden import Noted
from story import story
from world import World

from kstate import Rejected
from kstate.cli.output import jsonable
from kstate.core.topics import parse_event_key
from kstate.errors import SchemaError

COMMANDS = 40


def work(world: World, bank: ModuleType, seed: int) -> None:
    """A worker of a generation does a part of the story and leaves."""
    world.run(bank.Bank)
    for each in story(bank, COMMANDS, seed):
        try:
            world.call(bank.Bank, each.persist_id, each.command)
        except Rejected:  # a no of the bank is as good as a yes
            continue
    world.settled(bank.Bank)
    world.stop()
    world.forget_stores()


def noted(world: World, bank: type[Any]) -> dict[str, Noted]:
    """What a generation's own folds make of the journal."""
    return {
        each: Noted(seq, json.loads(json.dumps(jsonable(state))))
        for each, seq, state in world.client.states(bank).final()
    }


def expected_of(found: dict[str, Noted]) -> dict[str, Any]:
    return {each: expected(one) for each, one in found.items()}


@pytest.fixture
def mixed(world: World) -> World:
    """The log when all three have worked."""
    poured(world, "2024")
    work(world, bank_2025, 1)
    work(world, bank_today, 2)
    return world


def test_each_generation_takes_over_what_the_one_before_left(world: World) -> None:
    of_2024 = poured(world, "2024").states
    world.run(bank_2025.Bank)
    for persist_id, one in of_2024.items():
        state = world.state(bank_2025.Bank, persist_id)
        assert (state.balance, state.withdrawals) == (one.state["cents"], one.state["outs"])
    world.stop()
    work(world, bank_2025, 1)
    of_2025 = noted(world, bank_2025.Bank)
    world.run(TODAY)
    assert recovered(world, TODAY, of_2025) == expected_of(of_2025)


@pytest.mark.parametrize("bank", [TODAY, EVENTS_ONLY], ids=["snapshots", "events only"])
def test_a_journal_of_three_generations_is_recovered_to_what_it_folds_to(
    mixed: World, bank: Any
) -> None:
    folded = expected_of(noted(mixed, TODAY))
    mixed.run(bank)
    assert recovered(mixed, bank, folded) == folded


def test_the_events_of_three_generations_stand_in_one_journal(mixed: World) -> None:
    kinds = {dict(each.headers)["type"].decode() for each in mixed.journal(TODAY)}
    assert kinds >= {"MoneyIn", "MoneyOut", "Viewed", "CardIn", "Deposited", "FeeCharged"}
    seqs: dict[bytes, list[int]] = {}
    for record in mixed.journal(TODAY):
        key, seq = parse_event_key(record.key) or (b"", 0)
        seqs.setdefault(key, []).append(seq)
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())


def test_a_bank_of_its_time_does_not_start_on_events_that_came_after_it(mixed: World) -> None:
    with pytest.raises(SchemaError, match="Withdrawn is no type of today's code"):
        mixed.run(BANKS["2024"])
