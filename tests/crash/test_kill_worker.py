"""The short form of `kill_worker`: nothing lost, nothing twice, whenever the worker is killed."""

from __future__ import annotations

import pytest
from kill_worker import options_of, run


@pytest.mark.timeout(300)
def test_a_worker_killed_again_and_again_loses_nothing_and_does_nothing_twice() -> None:
    options = options_of(["--commands", "3000", "--kills", "4", "--accounts", "50", "--seed", "7"])
    counts, wrong = run(options)
    assert wrong == []
    assert counts["kills"] == 4
