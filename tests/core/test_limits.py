"""Every limit of the core, at its edge."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest
from core_program import NESTED_FROM, Do, Program, Put, Step, Tally
from core_shard import Bench

from kstate import Command, Context, Processor, command, event
from kstate.core.batch import Batch
from kstate.core.messages import Record
from kstate.core.outgoing import MAX_ERROR_BYTES
from kstate.core.partition import partition_for
from kstate.core.policy import Policy
from kstate.errors import ProcessorStopped


class Unsaved(Program):
    """Snapshots only when it must."""

    snapshot_every = 0


def persist(count: int, n: int = 1) -> Do:
    return Do((Step("persist", n),) * count)


def status(bench: Bench) -> str:
    return bench.replies()[-1].status


# -- events of one command -----------------------------------------------------------------------


def test_a_command_may_persist_max_events_and_not_one_more() -> None:
    bench = Bench(Policy(max_events=3))
    bench.run(bench.put(persist(3)))
    assert status(bench) == "ok"
    bench.run(bench.put(persist(4)))
    assert status(bench) == "error"
    assert len(bench.journal()) == 3


def test_events_of_reactions_count_as_well() -> None:
    bench = Bench(Policy(max_events=3))
    bench.run(bench.put(persist(1, NESTED_FROM + 10)))  # 30, 20, 10
    assert status(bench) == "ok"
    bench.run(bench.put(persist(1, NESTED_FROM + 20)))
    assert status(bench) == "error"
    assert len(bench.journal()) == 3


def test_a_command_may_send_max_events_commands_and_not_one_more() -> None:
    bench = Bench(Policy(max_events=2))
    bench.run(bench.put(Do((Step("send", 1, "b"),) * 2)))
    assert status(bench) == "ok"
    bench.run(bench.put(Do((Step("send", 1, "b"),) * 3)))
    assert status(bench) == "error"
    assert bench.shard.counts.sent == 2


# -- sizes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    text: str = ""


@dataclass(frozen=True)
class Write(Command[str]):
    """Persists a text of so many bytes; the reply is another one."""

    event_bytes: int
    reply_bytes: int


@dataclass(frozen=True)
class Written:
    text: str


class Pages(Processor[Text]):
    name = "pages"
    snapshot_every = 1

    def init(self, persist_id: str) -> Text:
        return Text()

    @command
    def write(self, ctx: Context[Text], cmd: Write) -> str:
        if cmd.event_bytes:
            ctx.persist(Written("x" * cmd.event_bytes))
        return "y" * cmd.reply_bytes

    @event
    def written(self, state: Text, event: Written) -> Text:
        return Text(event.text)


LEAST = 16_384
ROOM = LEAST - 4096 - 10 - 3  # without the head of the encoding and the length of the text


def pages() -> Bench:
    return Bench(Policy(max_record_bytes=LEAST), processor=Pages)


def test_an_event_may_fill_a_record_and_not_more() -> None:
    bench = pages()
    bench.run(bench.put(Write(ROOM, 0)))
    bench.run(bench.put(Write(ROOM + 1, 0)))
    assert [r.status for r in bench.replies()] == ["ok", "error"]


def test_a_reply_may_fill_a_record_and_not_more() -> None:
    bench = pages()
    bench.run(bench.put(Write(1, ROOM)))
    bench.run(bench.put(Write(1, ROOM + 1)))
    assert [r.status for r in bench.replies()] == ["ok", "error"]
    assert len(bench.log.records[bench.topics.journal]) == 1


def test_an_automatic_snapshot_that_is_too_large_is_told_and_its_events_stay() -> None:
    bench = pages()
    batch = bench.run(bench.put(Write(ROOM, 0)))  # the state fits as the event, the envelope not
    assert batch.counts.snapshots_failed == 1
    assert [fault.what for fault in batch.faults] == ["snapshot"]
    assert len(bench.log.records[bench.topics.journal]) == 1
    assert bench.log.progress.low_water == 0
    assert bench.entity(bench.rebuilt(), b"a").state == Text("x" * ROOM)


def test_an_entity_that_cannot_be_snapshotted_stays_in_memory() -> None:
    bench = Bench(Policy(max_record_bytes=LEAST, max_entities=1), processor=Pages)
    bench.run(bench.put(Write(ROOM, 0), key=b"large"))
    for key in (b"b", b"c"):
        bench.run(bench.put(Write(1, 0), key=key))
    assert b"large" in bench.shard.entities


def test_a_reply_is_kept_up_to_kept_reply_bytes() -> None:
    bench = Bench(Policy(kept_reply_bytes=20))
    for command_id, padding in (("fits", 8), ("does-not", 9)):  # head 10, length 1, "1", padding
        for _ in range(2):
            bench.run(
                bench.put(Do((Step("persist", 1),), padding), command_id.encode(), command_id)
            )
    assert [r.status for r in bench.replies()] == ["ok", "ok", "ok", "duplicate"]


def test_the_text_of_an_error_is_cut_at_1024_bytes() -> None:
    class Talks(Program):
        @command
        def do(self, ctx: Context[Tally], cmd: Do) -> str:
            raise ValueError("ä" * cmd.padding)

    bench = Bench(processor=Talks)
    bench.run(bench.put(Do((), MAX_ERROR_BYTES)))
    (reply,) = bench.log.records[bench.topics.replies]
    (dead,) = bench.log.records[bench.topics.dead_letters]
    assert len(dict(reply.headers)["error"]) == MAX_ERROR_BYTES
    assert len(dict(dead.headers)["error"]) == MAX_ERROR_BYTES


# -- memory --------------------------------------------------------------------------------------


def keys(bench: Bench) -> list[bytes]:
    return list(bench.shard.entities)


def test_max_entities_stay_in_memory_and_the_least_recently_used_leaves_first() -> None:
    bench = Bench(Policy(max_entities=2))
    for key in (b"a", b"b", b"a"):
        bench.run(bench.put(persist(1), key=key))
    assert keys(bench) == [b"b", b"a"]
    batch = bench.run(bench.put(persist(1), key=b"c"))
    assert batch.evicting == [b"b"]
    assert keys(bench) == [b"a", b"c"]


def test_an_entity_that_leaves_is_snapshotted_first_unless_its_snapshot_is_new() -> None:
    bench = Bench(Policy(max_entities=1))
    bench.run(bench.put(Do((Step("persist", 1), Step("save"))), key=b"a"))
    assert bench.run(bench.put(persist(1), key=b"b")).counts.snapshots == 0
    assert bench.run(bench.put(persist(1), key=b"c")).counts.snapshots == 1


def test_an_entity_without_events_leaves_without_a_snapshot() -> None:
    bench = Bench(Policy(max_entities=1))
    bench.run(bench.put(Do(()), key=b"a"))
    assert bench.run(bench.put(Do(()), key=b"b")).counts.snapshots == 0
    assert keys(bench) == [b"b"]


def test_entities_of_the_running_batch_stay_whatever_the_limit() -> None:
    bench = Bench(Policy(max_entities=1))
    bench.run(*(bench.put(persist(1), key=key) for key in (b"a", b"b", b"c")))
    assert keys(bench) == [b"a", b"b", b"c"]
    bench.run(bench.put(persist(1), key=b"b"))
    assert keys(bench) == [b"b"]


def test_an_entity_leaves_when_the_bytes_of_all_exceed_the_limit() -> None:
    one = Bench()
    one.run(one.put(persist(1)))
    size = one.shard.entities[b"a"].size
    exact, tight = (
        Bench(Policy(max_entity_bytes=2 * size)),
        Bench(Policy(max_entity_bytes=2 * size - 1)),
    )
    for bench in (exact, tight):
        for key in (b"a", b"b"):
            bench.run(bench.put(persist(1), key=key))
        bench.commit(0)  # what a batch adds is weighed by the next one
    assert keys(exact) == [b"a", b"b"]
    assert keys(tight) == [b"b"]


# -- the tail of the journal ---------------------------------------------------------------------


def tail_after(max_tail: int, others: int) -> Bench:
    """Entity a with the oldest event, then so many batches of one event each of other entities;
    each batch takes two offsets: its event and the hole of the commit."""
    bench = Bench(Policy(max_tail=max_tail))
    bench.run(bench.put(persist(1), key=b"a"))
    for number in range(others):
        bench.run(bench.put(persist(1), key=b"k%d" % number))
    return bench


def test_the_oldest_uncovered_entity_is_snapshotted_when_the_tail_is_longer_than_max_tail() -> None:
    assert tail_after(max_tail=4, others=2).log.snapshot(b"a") is None
    late = tail_after(max_tail=4, others=3)  # the third sees a tail of 5
    assert late.log.snapshot(b"a") is not None
    assert late.log.progress.low_water > 0


def test_a_tail_of_exactly_max_tail_is_left_alone() -> None:
    assert tail_after(max_tail=5, others=3).log.snapshot(b"a") is None


def test_a_snapshot_that_shortens_the_tail_makes_an_entity_weigh_what_the_snapshot_weighs() -> None:
    bench = Bench(Policy(max_tail=1), processor=Unsaved)
    bench.run(bench.put(persist(50), key=b"a"))
    bench.run(bench.put(persist(1), key=b"b"))
    bench.run(bench.put(persist(1), key=b"b"))
    value = bench.log.snapshot(b"a")
    assert value is not None
    assert bench.shard.entities[b"a"].size == len(value)
    assert bench.shard._bytes == sum(entity.size for entity in bench.shard.entities.values())


# -- snapshots -----------------------------------------------------------------------------------


def test_a_snapshot_comes_with_the_batch_that_reaches_snapshot_every() -> None:
    bench = Bench()  # snapshot_every = 4
    assert bench.run(bench.put(persist(3))).counts.snapshots == 0
    assert bench.run(bench.put(persist(1))).counts.snapshots == 1
    assert bench.run(bench.put(persist(3))).counts.snapshots == 0
    assert bench.run(bench.put(persist(2))).counts.snapshots == 1


def test_one_batch_takes_one_automatic_snapshot_however_many_events_it_has() -> None:
    bench = Bench()
    assert bench.run(*(bench.put(persist(4)) for _ in range(5))).counts.snapshots == 1


# -- the window of command ids -------------------------------------------------------------------


def repeat(bench: Bench, command_id: str, now: int) -> Batch:
    batch: Batch = bench.run(bench.put(persist(1), command_id=command_id), now=now)
    return batch


def test_a_command_id_is_remembered_for_window_ms_and_not_longer() -> None:
    for later, duplicates in ((10, 1), (11, 0)):
        bench = Bench(Policy(window_ms=10))
        repeat(bench, "x", 1000)
        assert repeat(bench, "x", 1000 + later).counts.duplicates == duplicates


def test_the_last_window_ids_command_ids_are_remembered_and_not_one_more() -> None:
    for others, duplicates in ((2, 1), (3, 0)):
        bench = Bench(Policy(window_ids=3))
        repeat(bench, "x", 0)
        for number in range(others):
            repeat(bench, f"other-{number}", 0)
        assert repeat(bench, "x", 0).counts.duplicates == duplicates


def test_an_id_that_left_the_window_and_came_again_counts_by_its_new_place() -> None:
    def after(bench: Bench, in_one_batch: bool) -> None:
        repeat(bench, "x", 0)
        repeat(bench, "y", 0)
        ids = ("x", "z")
        if in_one_batch:
            bench.run(*(bench.put(persist(1), command_id=each) for each in ids), now=20)
        else:
            for each in ids:
                repeat(bench, each, 20)

    for in_one_batch in (True, False):
        bench = Bench(Policy(window_ids=2, window_ms=10), processor=Unsaved)
        after(bench, in_one_batch)
        bench.shard = bench.rebuilt()
        assert repeat(bench, "x", 20).counts.duplicates == 1


def test_a_window_that_ends_within_a_batch_lets_its_ids_in_anew_at_their_new_place() -> None:
    bench = Bench(Policy(window_ids=2, window_ms=10))
    for command_id, now in (("x", 0), ("y", 0), ("x", 20), ("z", 20), ("x", 20)):
        bench.shard.step(bench.put(persist(1), command_id=command_id), now)
    assert bench.commit(20).counts.duplicates == 1


def test_a_snapshot_that_a_repeated_command_asks_for_has_its_id_at_its_new_place() -> None:
    bench = Bench(Policy(window_ids=1))
    last = Do((Step("delete"),))
    commands = ((persist(1), "x"), (persist(1), "y"), (last, "x"))
    bench.run(*(bench.put(command, command_id=command_id) for command, command_id in commands))
    bench.shard = bench.rebuilt()
    assert repeat(bench, "x", 0).counts.duplicates == 1


# -- partitions ----------------------------------------------------------------------------------


def key_of(partition: int, partitions: int) -> bytes:
    return next(k for n in range(99) if partition_for(k := b"k%d" % n, partitions) == partition)


def test_a_command_on_the_wrong_partition_is_forwarded_and_not_run() -> None:
    bench = Bench(partitions=3)
    record = bench.put(persist(1), key=key_of(2, 3), command_id="x")
    bench.shard.step(record, 7)
    (forwarded,) = bench.shard.batch.writes
    assert forwarded == (bench.topics.commands, 2, record.key, record.value, record.headers, 7)
    assert bench.shard.batch.counts.forwarded == 1
    assert not bench.shard.entities


def test_a_forwarded_command_without_an_id_gets_one_that_stays() -> None:
    bench = Bench(partitions=3)
    bench.shard.step(bench.put(persist(1), key=key_of(1, 3), asks=""), 0)
    (forwarded,) = bench.shard.batch.writes
    assert forwarded.headers == [("command-id", b"0:0")]


# -- handlers that want too much -----------------------------------------------------------------


def test_a_handler_that_calls_sys_exit_fails_and_does_not_end_the_worker() -> None:
    class Exits(Program):
        @command
        def do(self, ctx: Context[Tally], cmd: Do) -> str:
            ctx.persist(Put(1))
            sys.exit(3)

    bench = Bench(processor=Exits)
    bench.run(bench.put(Do(())))
    assert status(bench) == "error"
    assert bench.journal() == []
    (dead,) = bench.log.records[bench.topics.dead_letters]
    assert dict(dead.headers)["error"] == b"sys.exit was called"


# -- on_error = "stop" ---------------------------------------------------------------------------


def test_under_stop_a_failing_command_raises_and_leaves_those_before_it_to_be_committed() -> None:
    class Stops(Program):
        on_error = "stop"

    bench = Bench(processor=Stops)
    bench.shard.step(bench.put(persist(1)), 0)
    with pytest.raises(ProcessorStopped, match="nothing after it ran"):
        bench.shard.step(bench.put(Do((Step("persist", 2), Step("fail")))), 0)
    bench.commit(0)
    assert bench.log.progress.offset == 1
    assert [each.what for each in bench.journal()] == [1]


def test_the_journal_holds_what_was_put() -> None:
    bench = Bench()
    batch = bench.run(bench.put(persist(1, 5)))
    assert bench.codec.decode_event(_first(bench).value) == Put(5)
    assert batch.counts.events == 1


def _first(bench: Bench) -> Record:
    return bench.log.records[bench.topics.journal][0]
