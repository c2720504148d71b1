"""Whatever commands come, however they are cut into batches and dropped, with events removed and
entities erased in between: what is recovered is what was live, and what it would be with all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core_program import Do, Program, Step, Tally
from core_shard import Bench
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from kstate import Processor, after_snapshot
from kstate.core.messages import Erase
from kstate.core.policy import Policy
from kstate.core.replay import Replay
from kstate.core.shard import Shard
from kstate.core.topics import parse_event_key

KEYS = (b"a", b"b", b"c")


class KeepsOne(Program):
    name = "program"
    keep = after_snapshot(1)


class KeepsThree(Program):
    name = "program"
    keep = after_snapshot(3)


@dataclass(frozen=True)
class Attempt:
    """A batch of at most so many commands, and how it ends."""

    size: int
    ends: str  # committed, dropped, or: committed, and the worker is a new one afterwards
    cleaned: bool  # whether the log's cleaner has passed by then


OPS = ("persist", "persist", "both", "save", "delete", "fail", "reject")
STEPS = st.builds(Step, st.sampled_from(OPS), st.sampled_from((1, 2, 3)))
COMMANDS = st.one_of(
    *[st.builds(Do, st.lists(STEPS, min_size=1, max_size=4).map(tuple))] * 5, st.just(Erase())
)
ORDERS = st.tuples(st.sampled_from(KEYS), COMMANDS)
ATTEMPTS = st.builds(
    Attempt,
    st.integers(1, 5),
    st.sampled_from(["committed", "committed", "dropped", "and restarted"]),
    st.booleans(),
)
POLICIES = st.builds(
    Policy,
    max_entities=st.integers(1, 3),
    max_tail=st.sampled_from([1, 3, 1_000]),
    max_tombstones=st.sampled_from([1, 2, 1_000]),
)


def recovered(bench: Bench, cleaned: bool) -> Shard:
    """Another shard, from what the log has, or from what its cleaner leaves of that."""
    shard = bench.new_shard()
    replay = Replay(shard)
    journal = bench.log.records[bench.topics.journal]
    newest = {record.key: record.offset for record in journal}
    for record in journal:
        superseded = cleaned and newest[record.key] != record.offset
        if record.offset >= bench.log.progress.low_water and not superseded:
            replay.event(record)
    progress = bench.log.progress
    shard.entity_count = progress.entities
    shard.restored(progress.offset, progress.source, bench.log.ends[bench.topics.journal])
    return shard


def step(bench: Bench, attempt: Attempt) -> None:
    shard = bench.shard
    records = [r for r in bench.commands if r.offset >= shard.processed][: attempt.size]
    for record in records:
        shard.step(record, 0)
    if attempt.ends == "dropped":
        shard.close(0)
        shard.drop()
        return
    bench.commit(0)
    for cleaned in (False, True):
        same(bench, shard, recovered(bench, cleaned))
    what_is_gone_is_told(bench)
    if attempt.ends == "and restarted":
        bench.shard = recovered(bench, attempt.cleaned)


def told(bench: Bench, shard: Shard, key: bytes) -> tuple[Any, ...]:
    entity = bench.entity(shard, key)
    return entity.seq, entity.state, entity.deleted


def same(bench: Bench, live: Shard, other: Shard) -> None:
    for key in KEYS:
        assert told(bench, live, key) == told(bench, other, key)


def what_is_gone_is_told(bench: Bench) -> None:
    """Tombstones reach to the seq that the newest snapshot tells, without a hole."""
    gone: dict[bytes, list[int]] = {key: [] for key in KEYS}
    for record in bench.log.records[bench.topics.journal]:
        parsed = parse_event_key(record.key)
        assert parsed is not None
        if record.value is None:
            gone[parsed[0]].append(parsed[1])
    for key, seqs in gone.items():
        value = bench.log.snapshot(key)
        removed = 0 if value is None else bench.codec.decode_snapshot(value).removed
        assert seqs == list(range(1, removed + 1))


def in_peace(orders: list[tuple[bytes, Any]]) -> Bench:
    """The same commands one by one, without retention, limits or faults."""
    bench = Bench(Policy())
    for number, (key, command) in enumerate(orders):
        bench.run(bench.put(command, key, command_id=f"c{number}"))
    return bench


@given(
    processor=st.sampled_from([KeepsOne, KeepsThree]),
    policy=POLICIES,
    orders=st.lists(ORDERS, min_size=1, max_size=25),
    attempts=st.lists(ATTEMPTS, min_size=1, max_size=12),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_recovered_is_what_was_live(
    processor: type[Processor[Tally]],
    policy: Policy,
    orders: list[tuple[bytes, Any]],
    attempts: list[Attempt],
) -> None:
    bench = Bench(policy, processor)
    for number, (key, command) in enumerate(orders):
        bench.put(command, key, command_id=f"c{number}")
    for attempt in attempts:
        step(bench, attempt)
    while any(record.offset >= bench.shard.processed for record in bench.commands):
        step(bench, Attempt(3, "committed", False))
    if bench.shard.counts.erased and bench.shard.counts.removed:
        event("something was erased")
    peace = in_peace(orders)
    for key in KEYS:
        assert told(bench, bench.shard, key) == told(peace, peace.shard, key)
