"""The books of which seqs are there and which are missing, without a log."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kstate.verify.seqs import Holes, Missing, Tombstones, merged

SEQS = st.lists(st.integers(1, 30), min_size=1, max_size=40)


def seqs_of(spans: list[Missing]) -> set[int]:
    return {seq for span in spans for seq in range(span.first, span.last + 1)}


@given(SEQS)
def test_tombstones_know_every_seq_in_whatever_order_they_came(seqs: list[int]) -> None:
    tombstones = Tombstones()
    for offset, seq in enumerate(seqs):
        tombstones.add(seq, offset)
    assert seqs_of(list(tombstones.spans())) == set(seqs)
    assert tombstones.last() == max(seqs)
    assert all((seq in tombstones) == (seq in seqs) for seq in range(32))


def test_tombstones_in_rising_order_take_one_span() -> None:
    tombstones = Tombstones()
    for seq in range(1, 1_000):
        tombstones.add(seq, seq)
    assert tombstones.spans() == [Missing(1, 999, 1, True)]


@given(SEQS)
def test_a_hole_is_what_was_passed_by_and_did_not_come(seqs: list[int]) -> None:
    holes, last = Holes(), 0
    there: set[int] = set()
    for offset, seq in enumerate(seqs):
        if seq > last:
            if seq > last + 1:
                holes.open(last + 1, seq - 1, offset)
            last = seq
        else:
            assert holes.fill(seq) == (seq not in there)
        there.add(seq)
    assert seqs_of(list(holes.spans())) == set(range(1, last)) - there


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5), st.booleans())))
def test_merged_spans_are_the_same_seqs_apart_from_each_other(
    spans: list[tuple[int, int, bool]],
) -> None:
    given_spans = [Missing(first, first + more, 0, gone) for first, more, gone in spans]
    found = merged(given_spans)
    assert seqs_of(found) == seqs_of(given_spans)
    assert all(one.last + 1 < next_one.first for one, next_one in pairwise(found))
    removed = seqs_of([each for each in given_spans if each.removed])
    assert all(each.removed == bool(removed & seqs_of([each])) for each in found)


def test_a_span_with_a_tombstone_is_told_at_the_tombstone() -> None:
    assert merged([Missing(2, 4, 9, False), Missing(3, 3, 20, True)]) == [Missing(2, 4, 20, True)]
