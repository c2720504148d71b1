"""A journal that does not keep its rules is never folded into a state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from core_program import FOLD_FAILS, Do, Put, Step, Tally
from core_shard import Bench

from kstate.core.messages import Headers, Record
from kstate.core.replay import Replay
from kstate.errors import DecodeError, JournalError, KStateError


@pytest.fixture
def bench() -> Bench:
    """Three events of a, one of b."""
    made = Bench()
    made.run(made.put(Do((Step("persist", 1),) * 3)), made.put(Do((Step("persist", 5),)), key=b"b"))
    return made


def replay(bench: Bench, change: Callable[[list[Record]], object]) -> Bench:
    records = list(bench.log.records[bench.topics.journal])
    change(records)
    bench.shard = bench.new_shard()
    replay = Replay(bench.shard)
    for record in records:
        replay.event(record)
    return bench


def test_a_missing_event_is_a_hole(bench: Bench) -> None:
    with pytest.raises(JournalError, match="'a' is broken: seq 3 follows 1, expected 2"):
        replay(bench, lambda records: records.pop(1))


def test_a_missing_first_event_is_a_hole_too(bench: Bench) -> None:
    with pytest.raises(JournalError, match="seq 2 follows 0"):
        replay(bench, lambda records: records.pop(0))


def test_a_repeated_seq_is_refused(bench: Bench) -> None:
    with pytest.raises(JournalError, match="seq 3 is repeated, expected 4"):
        replay(bench, lambda records: records.insert(3, records[2]))


def test_events_of_others_in_between_do_not_matter(bench: Bench) -> None:
    replay(bench, lambda records: records.insert(1, records.pop()))
    assert bench.entity(bench.shard, b"a").state == Tally(3, 3)
    assert bench.entity(bench.shard, b"b").state == Tally(5, 1)


@pytest.mark.parametrize("key", [None, b"", b"a", b"a@0", b"@1"])
def test_a_record_that_is_no_event_is_foreign(bench: Bench, key: bytes | None) -> None:
    with pytest.raises(JournalError, match=r"a foreign record at 0:2"):
        replay(bench, lambda records: records.insert(2, records[2]._replace(key=key)))


def test_an_event_of_an_impossible_persist_id_is_foreign(bench: Bench) -> None:
    with pytest.raises(JournalError, match=r"foreign record at 0:2: .* control characters"):
        replay(bench, lambda records: records.insert(2, records[2]._replace(key=b"\x00@1")))


def test_a_tombstone_of_an_event_behind_a_snapshot_is_passed_over(bench: Bench) -> None:
    bench.run(bench.put(Do((Step("save"),))))
    bench.run(bench.put(Do((Step("persist", 7),))))

    def erase(records: list[Record]) -> None:
        records[1] = records[1]._replace(value=None)

    replay(bench, erase)
    assert bench.entity(bench.shard, b"a").state == Tally(10, 4)


def test_a_tombstone_of_an_event_that_no_snapshot_covers_leaves_a_hole(bench: Bench) -> None:
    def erase(records: list[Record]) -> None:
        records[1] = records[1]._replace(value=None)

    with pytest.raises(JournalError, match="seq 3 follows 1"):
        replay(bench, erase)


def test_an_event_that_cannot_be_read_stops_the_recovery(bench: Bench) -> None:
    with pytest.raises(DecodeError):
        replay(bench, lambda records: records.insert(0, records.pop(0)._replace(value=b"\0")))


def test_a_fold_that_raises_stops_the_recovery_and_names_the_event(bench: Bench) -> None:
    value = bench.codec.encode_event(Put(FOLD_FAILS))
    with pytest.raises(KStateError, match=r"fold of Put raised for 'a' at seq 1: ValueError"):
        replay(bench, lambda records: records.insert(0, records.pop(0)._replace(value=value)))


def test_the_newest_source_is_told_even_by_events_that_a_snapshot_covers(bench: Bench) -> None:
    bench.run(bench.put(Do((Step("save"),))))
    replay = Replay(bench.new_shard())
    for record in bench.log.records[bench.topics.journal]:
        replay.event(record)
    assert replay.newest_source == 1


def test_a_source_that_is_no_number_is_ignored(bench: Bench) -> None:
    odd: Headers = [("source", b"0:x"), ("command-id", b"x")]
    shard = bench.new_shard()
    replay = Replay(shard)
    replay.event(bench.log.records[bench.topics.journal][0]._replace(headers=odd))
    assert replay.newest_source == -1
    assert shard.entities[b"a"].seq == 1


def test_the_first_event_read_is_where_the_uncovered_tail_of_its_entity_begins(
    bench: Bench,
) -> None:
    replay(bench, lambda records: None)
    assert bench.shard.uncovered == {b"a": 0, b"b": 3}
