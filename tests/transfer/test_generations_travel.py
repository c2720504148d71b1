"""A journal of three generations of code is copied as it is, and today's code reads the copy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from transfer_tools import Copies, states

sys.path.append(str(Path(__file__).parents[1] / "generations"))

from generations_tools import TODAY, all_expected, poured, recovered
from golden import GENERATIONS


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_worker_of_today_recovers_every_account_from_the_copy(
    copies: Copies, generation: str
) -> None:
    kept = poured(copies.source, generation)
    copies.exported()
    target = copies.target()
    copies.imported(target, 3)
    target.run(TODAY, partitions=3)
    assert recovered(target, TODAY, kept.states) == all_expected(kept)


def test_a_copy_is_read_without_any_code(copies: Copies) -> None:
    poured(copies.source, "2024")
    copies.exported()
    target = copies.target()
    copies.imported(target, 3)
    found = {(e.persist_id, e.seq): e.event for e in target.client.events.all("bank")}
    before = {(e.persist_id, e.seq): e.event for e in copies.source.client.events.all("bank")}
    assert found == before != {}
    assert states(target, TODAY) == states(copies.source, TODAY)
