"""The simulation is able to fail: it finds every bug that is planted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from planted import PLANTS, catch


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("CRITICAL", "kstate"):
        yield


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    assert catch(name) is not None
