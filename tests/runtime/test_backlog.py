"""What was delivered and has not run yet."""

from __future__ import annotations

from itertools import islice

import pytest

from kstate.core.messages import Record
from kstate.runtime.backlog import CHUNK, Backlog


def records(*offsets: int, partition: int = 0) -> list[Record]:
    return [Record(partition, offset, b"k", b"v", [], 0) for offset in offsets]


def offsets(backlog: Backlog, count: int | None = None) -> list[int]:
    return [each.offset for each in islice(backlog.drain(), count)]


@pytest.fixture
def backlog() -> Backlog:
    made = Backlog()
    made.extend(records(*range(CHUNK + 50)))
    made.extend([])
    made.extend(records(*range(CHUNK + 50, 2 * CHUNK)))
    return made


def test_records_come_out_in_the_order_in_which_they_were_delivered(backlog: Backlog) -> None:
    assert offsets(backlog) == list(range(2 * CHUNK))
    assert not backlog


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 60])
def test_what_is_not_asked_for_stays(backlog: Backlog, count: int) -> None:
    assert offsets(backlog, count) == list(range(count))
    assert len(backlog) == 2 * CHUNK - count
    assert offsets(backlog) == list(range(count, 2 * CHUNK))


def test_of_partitions_that_are_forgotten_nothing_is_left(backlog: Backlog) -> None:
    offsets(backlog, 30)
    backlog.extend(records(7, 8, partition=1))
    backlog.forget({0})
    assert len(backlog) == 2
    assert offsets(backlog) == [7, 8]


def test_after_clearing_it_begins_anew(backlog: Backlog) -> None:
    offsets(backlog, CHUNK + 1)
    backlog.clear()
    assert not backlog
    assert len(backlog) == 0
    backlog.extend(records(5))
    assert offsets(backlog) == [5]
