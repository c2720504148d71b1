"""How often a worker may fail in a row."""

from __future__ import annotations

import pytest

from kstate.errors import GivenUp
from kstate.runtime.patience import MAX_REBUILDS, RETRY_S, Patience


def test_each_failure_in_a_row_is_waited_out_twice_as_long() -> None:
    patience = Patience("bank")
    pauses = [patience.failed(ValueError("gone")) for _ in range(MAX_REBUILDS)]
    assert pauses == [RETRY_S * times for times in (1, 2, 4, 8, 16)]


def test_one_failure_too_many_ends_the_worker_with_its_reason_and_an_exit_code_of_its_own() -> None:
    patience = Patience("bank")
    for _ in range(MAX_REBUILDS):
        patience.failed(ValueError("gone"))
    with pytest.raises(GivenUp, match=r"bank: gives up after 6 failures in a row .* because gone"):
        patience.failed(ValueError("gone"))
    assert GivenUp.exit_code == 37


def test_a_commit_makes_the_patience_new() -> None:
    patience = Patience("bank")
    for _ in range(3):
        assert patience.failed(ValueError("gone")) == RETRY_S
        patience.committed()
