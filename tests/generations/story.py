"""What happens at a bank in a year: the same for each generation, in its own commands."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple, get_type_hints

from kstate import Command

ACCOUNTS = 12
CLOSED, REOPENED = "closed", "reopened"
PAGES = ("balance", "history")
TERMINALS = ("T-1", "T-2", "T-3")


class Happening(NamedTuple):
    """A command, and how long after the one before it comes."""

    persist_id: str
    command: Command[object]
    after_s: float


def story(bank: ModuleType, count: int, seed: int) -> Iterator[Happening]:
    """About ``count`` commands on `ACCOUNTS` accounts, and what becomes of two others."""
    chance = random.Random(seed)

    def happens(persist_id: str, command: Command[object]) -> Happening:
        return Happening(persist_id, command, chance.uniform(60, 60 * 60 * 24))

    kinds = list(bank.Kind)
    for number in range(ACCOUNTS):
        yield happens(f"acct-{number}", bank.Open(f"Owner {number}", kinds[number % len(kinds)]))
    for persist_id in (CLOSED, REOPENED):
        yield happens(persist_id, bank.Open("Nobody", kinds[0]))
        yield happens(persist_id, bank.Deposit(700))
        yield happens(persist_id, bank.Withdraw(700))
        yield happens(persist_id, bank.Close())
    yield happens(REOPENED, bank.Open("Somebody", kinds[1]))
    yield happens(REOPENED, bank.PayByCard(900, TERMINALS[0]))
    for _ in range(count):
        # the first accounts have the most to do; some of the last ones never see a snapshot
        persist_id = f"acct-{int(ACCOUNTS * chance.random() ** 2)}"
        yield happens(persist_id, _command(bank, persist_id, chance))


def _command(bank: ModuleType, persist_id: str, chance: random.Random) -> Command[object]:
    amount = chance.choice((100, 250, 999, 5_000, 60_000))
    other = f"acct-{chance.randrange(ACCOUNTS)}"
    kind = chance.choices(
        ("deposit", "card", "withdraw", "transfer", "interest", "view", "save"),
        (8, 6, 8, 3, 2, 4, 1),
    )[0]
    made: Command[object]
    match kind:
        case "deposit":
            made = bank.Deposit(amount)
        case "card":
            made = bank.PayByCard(amount, chance.choice(TERMINALS))
        case "withdraw":
            made = bank.Withdraw(amount)
        case "transfer" if other != persist_id:
            made = bank.Transfer(other, amount)
        case "interest":
            made = bank.PayInterest(_percent(bank, chance.choice((1, 2, 3))))
        case "view":
            made = bank.View(chance.choice(PAGES))
        case _:
            made = bank.Save()
    return made


def _percent(bank: ModuleType, percent: int) -> float:
    """Interest has fractions where the generation knows them."""
    fractions = get_type_hints(bank.PayInterest)["percent"] is float
    return percent + 0.25 if fractions else percent
