"""The simulation is able to fail: it finds every bug that is planted, by the checks it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from planted import PLANTS, catch, row
from planting import Plant, PlantUnfit, anywhere, broken, change
from sim_checks import CHECKS

from kstate.core.shard import Shard
from kstate.runtime.recovery import Recovery

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("CRITICAL", "kstate"):
        yield


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    assert catch(name) is not None


@pytest.mark.parametrize("name", PLANTS)
def test_the_checks_that_must_find_it_are_there(name: str) -> None:
    found_by = {each.partition(":")[0] for each in PLANTS[name].found_by}
    assert found_by
    assert found_by <= {each.__name__ for each in CHECKS}


def test_the_page_has_a_row_of_each_and_of_no_other() -> None:
    lines = PAGE.read_text().splitlines()
    begin = lines.index("| planted | found by | after so many seeds |") + 2
    rows = lines[begin : lines.index("", begin)]
    assert [each.rpartition("| ")[0].rpartition("| ")[0] for each in rows] == [
        row(name, "").rpartition("| ")[0].rpartition("| ")[0] for name in PLANTS
    ]


def test_a_bug_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PlantUnfit, match="missing a required argument: 'checkpoint'"):
        broken(Recovery, "_settle", lambda self, parsed, end, checkpoint: None)
    with pytest.raises(PlantUnfit, match="end would be its checkpoint"):
        broken(Recovery, "_settle", lambda self, parsed, checkpoint: None)
    with pytest.raises(PlantUnfit, match="there is no"):
        broken(Recovery, "_settled", lambda self: None)
    with pytest.raises(PlantUnfit, match="has no newest"):
        change(Recovery, newest=1)


def test_a_bug_that_fails_by_itself_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Shard) -> int:
        raise TypeError("no argument")

    plant = Plant(lambda: broken(Shard, "low_water", failing), ("workers_never_failed",), anywhere)
    monkeypatch.setitem(PLANTS, "one of its own", plant)
    with pytest.raises(PlantUnfit, match="no argument"):
        catch("one of its own")
