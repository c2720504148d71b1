"""What must hold of a run, read from all that was ever written.

Each check gives its violations.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from itertools import chain, zip_longest
from typing import Any

from sim_model import Event, Model, Order, Reply, Sent
from sim_program import Look, Purse
from sim_workers import CODEC, TOPICS
from sim_world import World

from kstate.core.messages import Record, Snapshot
from kstate.core.topics import CHECKPOINT_KEY
from kstate.errors import BadCommand
from kstate.store.port import Checkpoint
from kstate.testing.simulated_records import Entry, Transaction

NEVER_MS = 2**63
KINDS = {"Added": "added", "Taken": "taken", "Deleted": "deleted", "Noted": "noted"}


class Evidence:
    """The committed records of all topics, in the order of the log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: list[Order] = []
        self.by_workers: set[tuple[int, int]] = set()  # commands that were sent in transactions
        for partition in world.cluster.topic(TOPICS.commands).partitions:
            for entry in partition.history:
                if entry.committed and entry.record is not None:
                    self.orders.append(_order(entry.record))
                    if entry.transaction is not None:
                        self.by_workers.add((partition.number, entry.offset))
        self.kinds = {each.command_id: each.kind for each in self.orders}
        self.events = self._events()
        self.replies = self._replies()
        self.dead = self._dead()
        self.snapshots = [
            each
            for each in self.records(TOPICS.snapshots)
            if each.value and each.key != CHECKPOINT_KEY
        ]
        self.model = Model(world.erased)
        for order in self.orders:
            self.model.run(order)
        self.model.finish()

    def entries(self, topic: str) -> list[Any]:
        """The committed records of a topic with what wrote them."""
        return [
            entry
            for partition in self.world.cluster.topic(topic).partitions
            for entry in partition.history
            if entry.committed and entry.record is not None
        ]

    def records(self, topic: str) -> list[Record]:
        return [entry.record for entry in self.entries(topic)]

    def _events(self) -> dict[int, list[Event]]:
        found = defaultdict(list)
        for record in self.records(TOPICS.journal):
            if record.value is None:
                continue  # erased
            key, _, seq = (record.key or b"").decode().rpartition("@")
            event, headers = CODEC.decode_event(record.value), dict(record.headers)
            found[record.partition].append(
                Event(
                    key,
                    int(seq),
                    KINDS[type(event).__name__],
                    getattr(event, "n", 0),
                    headers["command-id"].decode(),
                    headers["source"].decode(),
                )
            )
        return found

    def _replies(self) -> dict[int, list[Reply]]:
        kinds = self.kinds
        found = defaultdict(list)
        for record in self.records(TOPICS.replies):
            command_id, headers = (record.key or b"").decode(), dict(record.headers)
            position = headers["position"].decode()
            found[int(position.partition(":")[0])].append(
                Reply(
                    command_id,
                    headers["status"].decode(),
                    _value(kinds.get(command_id, ""), record.value),
                    int(headers["seq"]),
                    headers.get("code", b"").decode(),
                    position,
                )
            )
        return found

    def _dead(self) -> dict[int, list[tuple[str, str]]]:
        found = defaultdict(list)
        for record in self.records(TOPICS.dead_letters):
            if record.value is None:
                continue  # erased
            headers = dict(record.headers)
            source = headers["source"]
            command_id = headers.get("command-id", source).decode()
            found[record.partition].append((command_id, source.decode()))
        return found

    def may_run_again(self) -> dict[int, set[str]]:
        """By partition, the ids of commands that offsets which expired told nothing more of: those
        behind the newest event, which changed nothing."""
        found: dict[int, set[str]] = defaultdict(set)
        for ends in self.world.expired:
            for partition, end in ends.items():
                sources = (int(e.source.partition(":")[2]) for e in self.model.events[partition])
                newest = max((each for each in sources if each < end), default=-1)
                found[partition] |= {
                    each.fields.get("asked") or each.command_id
                    for each in self.orders
                    if each.partition == partition and newest < each.offset < end
                }
        return found


def _order(record: Record) -> Order:
    headers = dict(record.headers)
    kind, told = "junk", {}
    try:
        command = CODEC.decode_command(record.value, None, None)
    except BadCommand:
        pass
    else:
        kind = type(command).__name__
        told = {each.name: getattr(command, each.name) for each in fields(command)}
    expected = headers.get("expected-seq")
    return Order(
        record.partition,
        record.offset,
        (record.key or b"").decode(),
        headers.get("command-id", b"%d:%d" % (record.partition, record.offset)).decode(),
        kind,
        told,
        "reply-to" in headers,
        None if expected is None else int(expected),
    )


def _value(kind: str, value: bytes | None) -> Any:
    """A reply's value, as the model has it."""
    if not value:
        return None
    if kind == "GetState":
        state = CODEC.decode_state(value)
        assert isinstance(state, Purse)
        return state.total, state.changes
    if kind == "Recite":
        return "poem"
    if kind == "Rebuild":
        return None  # how many snapshots it took
    return CODEC.decode_reply(Look, value)


# -- checks --------------------------------------------------------------------------------------


def workers_never_failed(found: Evidence) -> Iterator[str]:
    yield from found.world.crew.failures


def seqs_are_contiguous(found: Evidence) -> Iterator[str]:
    restarts = {key for key, _ in found.world.erased}
    for partition, events in found.events.items():
        seqs: Counter[str] = Counter()
        for event in events:
            seqs[event.key] += 1
            if event.seq == 1 and event.key in restarts and seqs[event.key] > 1:
                restarts.remove(event.key)
                seqs[event.key] = 1
            if event.seq != seqs[event.key]:
                yield f"{partition}: seq {event.seq} of {event.key}, not {seqs[event.key]}"
                return


def the_journal_is_the_models(found: Evidence) -> Iterator[str]:
    for partition in range(3):
        wanted = found.model.events[partition]
        yield from _first_difference(partition, found.events[partition], wanted)


def each_question_has_its_replies_once_and_in_order(found: Evidence) -> Iterator[str]:
    again = found.may_run_again()
    for partition in range(3):
        wanted = found.model.replies[partition]
        replies = [r for r in found.replies[partition] if found.kinds.get(r.command_id) != "Erase"]
        seen = _without_repeats(replies, wanted, again[partition])
        yield from _first_difference(partition, seen, wanted)


def each_erasure_is_answered_when_the_last_tombstone_is_there(found: Evidence) -> Iterator[str]:
    asked = {each.command_id: each for each in found.orders if each.kind == "Erase" and each.asks}
    gone = {
        entry.record.key: entry.at_ms
        for entry in reversed(found.entries(TOPICS.journal))  # so that the first one counts
        if entry.record.value is None
    }
    answered = set()
    for entry in found.entries(TOPICS.replies):
        order = asked.get((entry.record.key or b"").decode())
        if order is None:
            continue
        answered.add(order.command_id)
        headers = dict(entry.record.headers)
        if headers["status"] == b"ok":
            for seq in range(1, int(headers["seq"]) + 1):
                if gone.get(f"{order.key}@{seq}".encode(), NEVER_MS) > entry.at_ms:
                    yield f"{order.command_id}: {order.key}@{seq} was not removed by then"
                    return
    for order in asked.values():
        if order.command_id not in answered and not order.fields["upto"]:
            yield f"{order.command_id} was not answered"


def what_a_client_was_told_is_true(found: Evidence) -> Iterator[str]:
    replies = Counter(reply.command_id for part in found.replies.values() for reply in part)
    for command_id, count in found.world.client.answered.items():
        if count > replies[command_id]:
            yield f"{command_id} was answered {count} times, {replies[command_id]} times for good"


def what_cannot_run_is_a_dead_letter(found: Evidence) -> Iterator[str]:
    again = found.may_run_again()
    for partition in range(3):
        dead = found.dead[partition]
        # one that is erased in its own batch is never written
        erased = found.model.erased_letters.difference(dead)
        wanted = [each for each in found.model.dead[partition] if each not in erased]
        seen = _without_repeats(dead, wanted, again[partition])
        yield from _first_difference(partition, seen, wanted)


def each_sent_command_arrives_once(found: Evidence) -> Iterator[str]:
    sent = sorted(
        Sent(each.command_id, each.key, each.fields.get("n", 0))
        for each in found.orders
        if (each.partition, each.offset) in found.by_workers
        and len(each.command_id) == 32
        and not each.fields.get("upto")
    )
    wanted = sorted(found.model.sent)
    forwarded = Counter(each for each in found.model.forwarded if len(each) == 32)
    if Counter(sent) - Counter(wanted) or Counter(wanted) - Counter(sent) or forwarded:
        yield f"sent {Counter(sent) - Counter(wanted)}, not {Counter(wanted) - Counter(sent)}"


def each_lost_command_is_forwarded_once(found: Evidence) -> Iterator[str]:
    arrived = Counter(
        each.command_id
        for each in found.orders
        if (each.partition, each.offset) in found.by_workers and len(each.command_id) != 32
    )
    wanted = Counter(found.model.forwarded)
    if arrived != wanted:
        yield f"forwarded {arrived - wanted} too often, {wanted - arrived} too seldom"


def snapshots_are_folds(found: Evidence) -> Iterator[str]:
    for record in found.snapshots:
        key = (record.key or b"").decode()
        snapshot = CODEC.decode_snapshot(record.value or b"")
        states = [*found.model.past_states[key], found.model.things[key].states]
        state = None if snapshot.deleted else (snapshot.state.total, snapshot.state.changes)
        if all(each.get(snapshot.seq, "none") != state for each in states):
            yield f"{key}: the snapshot at {snapshot.seq} says {state}"


def events_go_with_a_snapshot_that_covers_them(found: Evidence) -> Iterator[str]:
    """In its transaction, and none that is to be kept; an operator needs no snapshot."""
    keep = found.world.plan.settings.keep
    erased_by_hand = {key for key, _ in found.world.erased}
    kept: dict[tuple[Transaction | None, str], list[Snapshot]] = defaultdict(list)
    erased: Counter[str] = Counter()
    for entry in found.entries(TOPICS.snapshots):
        if entry.record.value and entry.record.key != CHECKPOINT_KEY:
            key = (entry.record.key or b"").decode()
            snapshot = CODEC.decode_snapshot(entry.record.value)
            kept[entry.transaction, key].append(snapshot)
            erased[key] = max(erased[key], snapshot.erased)
    for entry in found.entries(TOPICS.journal):
        if entry.record.value is None:
            key, _, digits = (entry.record.key or b"").decode().rpartition("@")
            seq, with_it = int(digits), kept[entry.transaction, key]
            if entry.transaction is None:
                fine = key in erased_by_hand
            else:
                fine = seq <= erased[key] or any(
                    keep and seq <= each.removed and seq <= each.seq - keep for each in with_it
                )
            if not fine:
                yield f"{key}: the event {seq} has a tombstone, and nothing stands for it"


def what_was_erased_is_gone(found: Evidence) -> Iterator[str]:
    gone = {entry.record.key for entry in found.entries(TOPICS.journal) if not entry.record.value}
    for key, seq in found.model.erasures:
        for number in range(1, seq + 1):
            if f"{key}@{number}".encode() not in gone:
                yield f"{key}: the event {number} is still there, {seq} were erased"
                return
    yield from _letters_that_are_left(found)


def _letters_that_are_left(found: Evidence) -> Iterator[str]:
    again = set().union(*found.may_run_again().values())
    newest = {(each.partition, each.key): each for each in found.records(TOPICS.dead_letters)}
    left = {(each.key or b"").decode() for each in newest.values() if each.value is not None}
    for letter in chain.from_iterable(found.model.dead.values()):
        command_id, source = letter
        erased = letter in found.model.erased_letters
        if (source in left) == erased and command_id not in again:
            yield f"the dead letter of {source} is {'still there' if erased else 'gone'}"
            return


def subscribers_and_effects_come_after_the_commit(found: Evidence) -> Iterator[str]:
    yield from found.world.crew.heard_too_early


def an_effect_happens_at_most_once(found: Evidence) -> Iterator[str]:
    lives = Counter(key for key, _ in found.world.erased)
    for (persist_id, seq), count in found.world.crew.effects.items():
        if count > 1 + lives[persist_id]:
            yield f"{persist_id}: the effect of {seq} happened {count} times"


def local_stores_are_not_behind_what_they_say(found: Evidence) -> Iterator[str]:
    """Of each persist id, what its topic said where the store says it is, or something newer.

    A store that says it is at the start is read anew, whatever it has.
    """
    for whose, stores in found.world.crew.claims:
        for (topic, partition), kept in stores.items():
            if kept.checkpoint is None or not kept.checkpoint.snapshots_offset:
                continue
            history = found.world.cluster.partition(topic, partition).history
            for key, values in _possible(history, kept.checkpoint).items():
                if kept.snapshots.get(key) not in values:
                    yield f"{whose}: {partition} is behind for {key!r}"


def _possible(history: Sequence[Entry], at: Checkpoint) -> dict[bytes, list[bytes | None]]:
    """By persist id, the snapshots that a store may hold.

    Where the newest one is of another version an older one may be there: anything goes.
    """
    found: dict[bytes, list[bytes | None]] = {}
    for entry in history:
        if entry.committed and entry.record is not None and entry.record.key != CHECKPOINT_KEY:
            values = found.setdefault(entry.record.key or b"", [None])
            if entry.offset < at.snapshots_offset:
                values.clear()
            values.append(entry.record.value)
    return {
        key: values
        for key, values in found.items()
        if not values[0] or CODEC.snapshot_version(values[0]) == at.snapshot_version
    }


def _first_difference(partition: int, found: list[Any], wanted: list[Any]) -> Iterator[str]:
    for index, (one, other) in enumerate(zip_longest(found, wanted)):
        if one != other:
            yield f"{partition}, number {index}: {one}, in the model {other}"
            return


def _without_repeats(found: list[Any], wanted: list[Any], again: set[str]) -> list[Any]:
    """What was found, less what commands that may run again told more than once."""
    room, kept = Counter(wanted), []
    for each in found:
        if each[0] in again and room[each] == 0 and each in kept:
            continue
        room[each] -= 1
        kept.append(each)
    return kept


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    workers_never_failed,
    seqs_are_contiguous,
    the_journal_is_the_models,
    each_question_has_its_replies_once_and_in_order,
    each_erasure_is_answered_when_the_last_tombstone_is_there,
    what_a_client_was_told_is_true,
    what_cannot_run_is_a_dead_letter,
    each_sent_command_arrives_once,
    each_lost_command_is_forwarded_once,
    snapshots_are_folds,
    events_go_with_a_snapshot_that_covers_them,
    what_was_erased_is_gone,
    subscribers_and_effects_come_after_the_commit,
    an_effect_happens_at_most_once,
    local_stores_are_not_behind_what_they_say,
)


def violations(world: World) -> list[tuple[str, str]]:
    """Everything that is wrong with a run: the check's name, and what it says."""
    found = Evidence(world)
    return [(check.__name__, each) for check in CHECKS for each in check(found)]
