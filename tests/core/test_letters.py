"""Dead letters: their key, whose they are, and which of them an erasure takes away."""

from __future__ import annotations

import pytest
from core_program import Do, Step
from core_shard import Bench

from kstate.core.letters import concerns, failed_key, living
from kstate.core.messages import Erase, Record
from kstate.core.partition import partition_for
from kstate.core.policy import Policy
from kstate.errors import LogUnavailable

FAIL = Do((Step("fail"),))
PERSIST = Do((Step("persist", 1),))


def letters(bench: Bench) -> list[Record]:
    """All records of the dead-letters topic."""
    return bench.log.records[bench.topics.dead_letters]


def left(bench: Bench) -> list[bytes | None]:
    """The keys of the failed commands whose letters have no tombstone."""
    return [failed_key(each.key, each.headers) for each in living(letters(bench))]


def test_a_letters_key_is_the_place_of_its_command() -> None:
    bench = Bench()
    bench.run(bench.put(FAIL), bench.put(FAIL))
    assert [each.key for each in letters(bench)] == [b"0:0", b"0:1"]
    assert left(bench) == [b"a", b"a"]


@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_a_key_that_is_no_persist_id_is_told_as_it_came(key: bytes | None) -> None:
    bench = Bench()
    bench.run(bench.put(PERSIST, key=key))
    assert [each.key for each in letters(bench)] == [b"0:0"]
    assert left(bench) == [key]


def test_a_command_without_a_value_is_no_tombstone() -> None:
    bench = Bench()
    record = bench.put(FAIL)._replace(value=None)
    bench.run(record)
    assert [each.value for each in letters(bench)] == [b""]


@pytest.mark.parametrize("events", [0, 3])
def test_an_erasure_takes_the_letters_of_earlier_batches(events: int) -> None:
    bench = Bench()
    bench.run(*[bench.put(PERSIST) for _ in range(events)], bench.put(FAIL), bench.put(FAIL))
    bench.run(bench.put(FAIL, key=b"b"))
    bench.run(bench.put(Erase()))
    assert left(bench) == [b"b"]
    assert all(not each.headers for each in letters(bench) if each.value is None)


def test_of_its_own_batch_it_takes_those_before_it_alone() -> None:
    bench = Bench()
    first = [bench.put(FAIL), bench.put(FAIL, key=b"b"), bench.put(Erase())]
    bench.run(*first, bench.put(FAIL))
    assert [each.key for each in letters(bench)] == [b"0:1", b"0:3"]


def test_letters_wait_for_the_end_of_the_batch_lest_they_be_written_ahead() -> None:
    bench = Bench()
    bench.shard.step(bench.put(FAIL), 0)
    written = {each[0] for each in bench.shard.batch.take_writes()}
    assert bench.topics.dead_letters not in written
    bench.shard.close(0)
    assert [each[0] for each in bench.shard.batch.writes] == [bench.topics.dead_letters]


def test_what_fails_while_a_long_erasure_goes_on_stays() -> None:
    bench = Bench(Policy(max_tombstones=1))
    bench.run(*[bench.put(PERSIST) for _ in range(3)], bench.put(FAIL))
    bench.run(bench.put(Erase()))
    goes_on, failing = bench.commands[-1], bench.put(FAIL)
    bench.run(failing, goes_on)
    bench.run(bench.commands[-1])
    assert bench.entity(bench.shard, b"a").seq == 3
    assert len([each for each in bench.log.records[bench.topics.journal] if not each.value]) == 3
    assert [each.key for each in living(letters(bench))] == [b"0:%d" % failing.offset]


def test_a_repeated_id_erases_no_letter_that_came_since() -> None:
    bench = Bench()
    bench.run(bench.put(PERSIST), bench.put(FAIL))
    bench.run(bench.put(Erase(), command_id="once"))
    bench.run(bench.put(FAIL))
    bench.run(bench.put(Erase(), command_id="once"))
    assert left(bench) == [b"a"]


def test_letters_that_cannot_be_read_leave_nothing_of_the_erasure_staged() -> None:
    bench = Bench()
    bench.run(bench.put(PERSIST), bench.put(FAIL))

    def away(persist_id: bytes) -> list[bytes]:
        raise LogUnavailable("the log is away")

    known, bench.log.letters = bench.log.letters, away  # type: ignore[method-assign]
    record = bench.put(Erase())
    with pytest.raises(LogUnavailable):
        bench.shard.step(record, 0)
    assert bench.shard.batch.writes == []
    assert bench.shard.batch.counts.commands == 0
    bench.log.letters = known  # type: ignore[method-assign]
    bench.run(record)
    assert left(bench) == []


def test_a_letter_lies_on_the_partition_of_its_persist_id() -> None:
    """It is refused before it could be forwarded: whoever erases it looks there alone."""
    bench, keys = Bench(partitions=2), [b"%d" % number for number in range(9)]
    for key in keys:
        bench.shard.step(bench.put(FAIL, key=key, command_id="x" * 300), 0)
    homes = [partition_for(key, 2) for key in keys]
    assert [each.partition for each in bench.shard.batch.letters] == homes
    assert set(homes) == {0, 1}


def test_a_command_that_fills_the_limit_keeps_its_key_and_headers() -> None:
    bench = Bench(Policy(max_record_bytes=20_000))
    record = bench.put(FAIL)._replace(value=b"x" * 19_500)
    for room in (400, 40, 0):
        header = ("padding", b"x" * (20_000 - 19_500 - 1 - 23 - room))
        bench.run(record._replace(headers=[("source", b"mine"), header]))
    assert [each.key for each in letters(bench)] == [b"0:0", b"a", b"a"]
    assert [len(each.headers) for each in letters(bench)] == [5, 1, 1]
    assert left(bench) == [b"a"] * 3
    bench.run(bench.put(Erase()))
    assert left(bench) == []


def test_only_what_may_be_of_the_entity_is_read() -> None:
    chosen = concerns(b"a")
    assert chosen([("source", b"0:1"), ("persist-id", b"a")])
    assert not chosen([("source", b"0:1"), ("persist-id", b"b")])
    assert not chosen([("source", b"0:1")])  # of a command without a key
    assert chosen([])
