"""What the tests of generations share: a golden log in a world, and what it must come to today."""

from __future__ import annotations

from typing import Any

import bank_2024
import bank_2025
import bank_today
import golden
from bank_today import Account, Holder, Kind
from golden import Golden, Noted
from world import World

from kstate import EventAdapter, Processor
from kstate.core.messages import Record
from kstate.wiring import open_log

AnyBank = type[Processor[Any]]

BANKS: dict[str, AnyBank] = {
    "2024": bank_2024.Bank,
    "2025": bank_2025.Bank,
    "today": bank_today.Bank,
}
TODAY = bank_today.Bank
OLD = ("2024", "2025")

EVENTS_ONLY: AnyBank = type(
    "Bank",
    (bank_today.Bank,),
    {
        "name": "bank",
        "adapters": [a for a in bank_today.Bank.adapters if isinstance(a, EventAdapter)],
    },
)
"""Today's code without its adapters of snapshots."""


def poured(world: World, generation: str, journal: list[Record] | None = None) -> Golden:
    """Writes a golden log into the world, with another journal if one is given."""
    kept = golden.read(generation)
    records = kept.records if journal is None else {**kept.records, "journal": journal}
    log = open_log(world.url)
    try:
        golden.pour(log, world.topics(TODAY), records)
    finally:
        log.close()
    return kept


def expected(noted: Noted) -> Account:
    """What today's state is of one that a generation noted, without a look at any adapter."""
    state = noted.state
    if "holder" in state:
        holder = Holder(**{**state["holder"], "kind": Kind[state["holder"]["kind"]]})
        return Account(**{**state, "holder": holder})
    was = state["kind"]
    kind = Kind.PRIVATE if was == "STUDENT" else Kind[was]
    return Account(
        holder=Holder(state["owner"], state.get("country", "DE"), kind),
        balance=state["cents"] if "cents" in state else state["balance"],
        percent=float(state["percent"]),
        withdrawals=state["outs"] if "outs" in state else state["withdrawals"],
        fees=state["fees"],
    )


def all_expected(kept: Golden) -> dict[str, Account]:
    """`expected` of each account."""
    return {persist_id: expected(noted) for persist_id, noted in kept.states.items()}


def recovered(world: World, processor: AnyBank, persist_ids: Any) -> dict[str, Any]:
    """The states as the running worker has them."""
    return {each: world.state(processor, each) for each in persist_ids}
