"""Whatever commands come, however they are cut into batches, dropped, run again and recovered:
the shard does what the plain model does, and the log holds all it takes to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core_model import Model, fold
from core_program import FOLD_FAILS, NESTED_FROM, REACTION_FAILS, Do, Step, Tally
from core_shard import Bench
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from kstate.core.batch import Batch
from kstate.core.policy import Policy
from kstate.core.shard import Shard

KEYS = ("a", "b", "c", "d", "a@1")
IDS = (None, None, "i0", "i1", "i2", "i3", "i4")
NUMBERS = (1, 2, 3, REACTION_FAILS, FOLD_FAILS - 1, FOLD_FAILS, NESTED_FROM, NESTED_FROM + 11)


@dataclass(frozen=True)
class Attempt:
    """A batch of at most so many commands, and how it ends."""

    size: int
    pause_ms: int
    ends: str  # committed, dropped, or: committed, and the worker is a new one afterwards


def steps() -> st.SearchStrategy[Step]:
    numbers = st.sampled_from(NUMBERS)
    persisting = st.builds(Step, st.sampled_from(["persist"] * 4 + ["both", "try-both"]), numbers)
    ending = st.builds(Step, st.sampled_from(["reject", "fail", "delete", "save"]))
    sending = st.builds(Step, st.just("send"), numbers, st.sampled_from(KEYS))
    return st.one_of(persisting, persisting, persisting, ending, sending)


COMMANDS = st.builds(
    Do, st.lists(steps(), max_size=3).map(tuple), padding=st.sampled_from([0, 0, 5, 6, 7, 30])
)
ORDERS = st.fixed_dictionaries(
    {
        "command": st.one_of(COMMANDS, COMMANDS, COMMANDS, COMMANDS, COMMANDS, st.none()),
        "key": st.sampled_from([key.encode() for key in KEYS]),
        "command_id": st.sampled_from(IDS),
        "asks": st.sampled_from(["good", "good", "good", "", "bad"]),
        "expected": st.sampled_from([None] * 6 + [0, 1, 2, 5]),
    }
)
ATTEMPTS = st.builds(
    Attempt,
    st.integers(1, 6),
    st.sampled_from([0, 0, 1, 9, 10, 11]),
    st.sampled_from(["committed", "committed", "dropped", "and restarted"]),
)
POLICIES = st.builds(
    Policy,
    max_entities=st.integers(1, 5),
    max_entity_bytes=st.sampled_from([1, 60, 300, 10_000]),
    max_tail=st.sampled_from([1, 2, 5, 1_000]),
    window_ids=st.integers(1, 4),
    window_ms=st.sampled_from([1, 10, 600_000]),
    kept_reply_bytes=st.sampled_from([1, 18, 512]),
    max_events=st.just(1_000),
)


class Life:
    """A shard and the model beside it."""

    def __init__(self, policy: Policy) -> None:
        self.bench = Bench(policy)
        self.model = Model(policy.window_ids, policy.window_ms, policy.kept_reply_bytes)
        self.now = 1_000_000
        self.ids: set[tuple[bytes, str]] = set()

    def attempt(self, attempt: Attempt) -> None:
        """Runs the next commands as one batch."""
        shard = self.bench.shard
        waiting = [r for r in self.bench.commands if r.offset >= shard.processed]
        records = waiting[: attempt.size]
        self.now += attempt.pause_ms
        for record in records:
            shard.step(record, self.now)
        if attempt.ends == "dropped":
            shard.close(self.now)
            shard.drop()
            event("a batch was dropped")
            return
        for record in records:
            order = self.bench.order(record)
            self.ids.add((order.key, order.command_id))
            self.model.do(order, self.now)
        self.now += attempt.pause_ms // 2
        before = shard.low_water()
        batch = self.bench.commit(self.now)
        self.check(batch, before)
        if attempt.ends == "and restarted":
            self.bench.shard = self.bench.rebuilt()

    def check(self, batch: Batch, low_water_before: int) -> None:
        same_records(self.bench, self.model)
        states_are_folds(self.bench, self.bench.shard, self.model)
        covered(self.bench, self.model)
        within_limits(self.bench, batch)
        assert self.bench.shard.low_water() >= low_water_before
        saved_as_asked(self.bench, self.model)
        rebuilt = self.bench.rebuilt()
        states_are_folds(self.bench, rebuilt, self.model)
        self.same_answers_to_duplicates(self.bench.shard)
        self.same_answers_to_duplicates(rebuilt)
        same_position(rebuilt, self.bench.shard)

    def same_answers_to_duplicates(self, shard: Shard) -> None:
        for key, command_id in self.ids:
            for now in (self.now, self.now + 1, self.now + 10):
                expected = self.model.remembered(key, command_id, now)
                found = self.bench.recall(shard, key, command_id, now)
                assert (expected is None) == (found is None), (key, command_id)
                if expected is not None and found is not None:
                    seq, at, reply = found
                    assert (seq, at) == (expected.seq, expected.at)
                    assert self.bench._text(reply) == expected.reply


def same_records(bench: Bench, model: Model) -> None:
    assert bench.journal() == model.journal
    assert bench.replies() == model.replies
    dead = bench.log.records[bench.topics.dead_letters]
    assert [int(dict(r.headers)["source"].removeprefix(b"0:")) for r in dead] == model.dead
    own = [r for r in bench.commands if r.timestamp]  # those that commands sent bear a time
    sent = [bench.order(r) for r in own]
    assert [(o.command_id, o.key.decode(), o.do) for o in sent] == [
        (command_id, to, Do((Step("persist", n),))) for command_id, to, n in model.sent
    ]


def states_are_folds(bench: Bench, shard: Shard, model: Model) -> None:
    for key, thing in model.things.items():
        entity = bench.entity(shard, key)
        events = [each for each in model.journal if each.key == key]
        assert [each.seq for each in events] == list(range(1, thing.seq + 1))
        assert entity.seq == thing.seq
        assert entity.state == Tally(*fold(events)) == Tally(thing.total, thing.puts)
    assert shard.entity_count == model.entities()


def covered(bench: Bench, model: Model) -> None:
    """The low-water mark is below every event that no snapshot covers, and what is not in memory
    is in its snapshot."""
    seqs: dict[bytes, int] = {}
    for record in bench.log.records[bench.topics.snapshots]:
        assert record.key is not None
        assert record.value is not None
        seqs[record.key] = bench.codec.decode_snapshot(record.value).seq
    offsets = [record.offset for record in bench.log.records[bench.topics.journal]]
    uncovered = [
        offset
        for offset, each in zip(offsets, model.journal, strict=True)
        if each.seq > seqs.get(each.key, 0)
    ]
    oldest = min(uncovered, default=bench.log.ends[bench.topics.journal])
    assert bench.log.progress.low_water <= oldest
    assert bench.shard.low_water() <= oldest
    for key, thing in model.things.items():
        if key not in bench.shard.entities:
            assert seqs.get(key, 0) == thing.seq


def within_limits(bench: Bench, batch: Batch) -> None:
    shard, policy = bench.shard, bench.policy
    assert len(shard.entities) <= max(policy.max_entities, len(batch.overlay))
    # what a batch adds is seen by the next one
    tail = batch.floor - policy.max_tail
    assert all(bound >= tail for bound in shard.uncovered.values())
    assert list(shard.uncovered.values()) == sorted(shard.uncovered.values())
    assert shard._bytes == sum(entity.size for entity in shard.entities.values())


def saved_as_asked(bench: Bench, model: Model) -> None:
    taken = {
        (record.key, bench.codec.decode_snapshot(record.value or b"").seq)
        for record in bench.log.records[bench.topics.snapshots]
    }
    assert set(model.saved) <= taken


def same_position(rebuilt: Shard, live: Shard) -> None:
    def position(shard: Shard) -> Any:
        return shard.processed, shard.source, shard.entity_count

    assert position(rebuilt) == position(live)
    assert rebuilt.low_water() >= live.low_water()


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    POLICIES,
    st.lists(ORDERS, min_size=1, max_size=25),
    st.lists(ATTEMPTS, min_size=1, max_size=14),
)
def test_the_shard_does_what_the_model_does_and_can_be_rebuilt_after_each_batch(
    policy: Policy, orders: list[dict[str, Any]], attempts: list[Attempt]
) -> None:
    life = Life(policy)
    for order in orders:
        life.bench.put(**order)
    for attempt in attempts:
        life.attempt(attempt)
    while life.bench.shard.processed < len(life.bench.commands):
        life.attempt(Attempt(7, 0, "committed"))
    counts = life.bench.shard.counts
    note(repr(counts))
    for name in ("duplicates", "conflicts", "evicted", "snapshots", "sent", "failed"):
        if getattr(counts, name):
            event(f"there were {name}")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(POLICIES, st.lists(ORDERS, min_size=1, max_size=20), st.data())
def test_how_commands_are_cut_into_batches_leaves_no_trace_in_journal_and_replies(
    policy: Policy, orders: list[dict[str, Any]], data: st.DataObject
) -> None:
    one_by_one, cut = Bench(policy), Bench(policy)
    for order in orders:
        one_by_one.put(**order)
        cut.put(**order)
    while one_by_one.shard.processed < len(orders):
        one_by_one.run(one_by_one.commands[one_by_one.shard.processed], now=5)
    while cut.shard.processed < len(orders):
        size = data.draw(st.integers(1, 9))
        cut.run(*cut.commands[: len(orders)][cut.shard.processed :][:size], now=5)
    assert cut.journal() == one_by_one.journal()
    assert cut.replies() == one_by_one.replies()
