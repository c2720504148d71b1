"""What is judged beyond `crash_checks`: histories, local stores, rebuilt states, and vacuity."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import chaos_schedule as kinds
from chaos_clients import Told
from crash_evidence import Evidence, Schemas, state_of
from crash_model import Model, State

from kstate.core.messages import Record
from kstate.errors import StoreCorrupt
from kstate.store.sqlitedict import SqliteDictStore

Progress = Mapping[int, int]


def forgive_second_answers(evidence: Evidence, model: Model, rewound: Sequence[Progress]) -> int:
    """Takes out of the evidence the replies that a loss of the group's offsets explains; how many.

    The group then goes on behind the newest event that it finds.  The commands between that and
    the offset that was lost changed nothing; they run again, change nothing again, and may be
    answered once more, with the same reply.
    """
    sources: dict[int, list[int]] = defaultdict(list)
    for event in evidence.events:
        partition, _, offset = event.source.partition(":")
        sources[int(partition)].append(int(offset))
    for each in sources.values():
        each.sort()
    spare: Counter[str] = Counter()
    for progress in rewound:
        for command in evidence.commands:
            end = progress.get(command.partition, 0)
            before = sources[command.partition][: bisect_left(sources[command.partition], end)]
            newest = before[-1] if before else -1
            if command.asks and newest < command.offset < end:
                spare[command.command_id] += 1
    forgiven = 0
    for command_id, most in spare.items():
        replies, expected = evidence.replies.get(command_id, []), model.replies[command_id]
        while most and len(replies) > len(expected) and replies[-1] in expected:
            replies.pop()
            most -= 1
            forgiven += 1
    return forgiven


def history_violations(told: Told, evidence: Evidence) -> Iterator[str]:
    """What clients were told must be in the log."""
    sent = {each.command_id for each in evidence.commands}
    for command_id in sorted((told.stored | told.answered.keys()) - sent):
        yield f"history: {command_id} was stored or answered, and is not in the log"
    for command_id in sorted(told.invoked - told.stored - told.answered.keys()):
        yield f"history: {command_id} was sent, and its client never learned what became of it"
    for command_id, replies in told.answered.items():
        if any(reply.status == "error" for reply in replies):
            yield f"history: {command_id} was answered with {replies}"


def told_states(what: str, found: Mapping[str, State], model: Model) -> Iterator[str]:
    """States that were asked for must be the model's."""
    for name, account in sorted(model.accounts.items()):
        if account.events and found.get(name) != account.state:
            yield f"{what}: {name} is {found.get(name)}, in the model {account.state}"


def partition_of(path: Path) -> int:
    """The partition that a local store is of."""
    return int(path.stem.rpartition("-")[2])


class StoreJudge:
    """Holds the workers' local stores against the snapshots topic and the model."""

    def __init__(self, records: Sequence[Record], schemas: Schemas, model: Model) -> None:
        self.stores = 0  # judged
        self.snapshots = 0
        self.standby_snapshots = 0  # of them, in stores that were followed for others
        self._schemas = schemas
        self._model = model
        self._by_key: dict[tuple[int, bytes], list[Record]] = defaultdict(list)
        for record in records:
            self._by_key[record.partition, record.key or b""].append(record)

    def violations(
        self, path: Path, topic: str, corrupted: bool, standby: bool = False
    ) -> Iterator[str]:
        """What is wrong with a store, which no worker has open.

        One that a fault has damaged, and nobody opened since, may say so.  One at standby was kept
        warm by a worker that did not own the partition; the same is asked of it.
        """
        what = "standby store" if standby else "store"
        partition = partition_of(path)
        try:
            store = SqliteDictStore(path.parent).open(topic, partition)
        except StoreCorrupt as error:
            if not corrupted:
                yield f"{what}: {error}"
            return
        try:
            checkpoint = store.checkpoint()
            if checkpoint is None:
                return
            held = dict(store.items())
        except StoreCorrupt as error:
            if not corrupted:
                yield f"{what}: {error}"
            return
        finally:
            store.close()
        self.stores += 1
        self.snapshots += len(held)
        self.standby_snapshots += len(held) if standby else 0
        for wrong in self._judge(path, partition, held, checkpoint.snapshots_offset):
            yield f"{what}: {wrong}"

    def _judge(
        self, path: Path, partition: int, held: Mapping[bytes, bytes], end: int
    ) -> Iterator[str]:
        for (where, key), records in self._by_key.items():
            if where != partition:
                continue
            below = [each for each in records if each.offset < end]
            # its offset is a lower bound: what a recovery has just snapshotted is kept before its
            # place in the topic is known, and is read and applied once more
            ahead = [each.value for each in records if each.offset >= end]
            # a newer one, by which compaction removed those below, says nothing of them
            if below and held.get(key) not in (below[-1].value, *ahead):
                yield f"{path.name} at {end} has another {key!r} than the topic"
        for key, value in held.items():
            if (partition, key) not in self._by_key:
                yield f"{path.name} holds {key!r}, which the topic has not in its partition"
            _, envelope = self._schemas.decode(value)
            _, state = self._schemas.decode(envelope["state"])
            account = self._model.accounts.get(key.decode())
            states = account.states if account else []
            seq = envelope["seq"]
            if seq >= len(states) or states[seq] != state_of(state):
                yield f"{path.name} holds {state} of {key!r} at seq {seq}"


def vacuous(counts: Counter[str], model: Model, judge: StoreJudge) -> Iterator[str]:
    """What a run lacks to prove anything."""
    for kind in (*kinds.WORKERS, *kinds.AROUND):
        if not counts[kind]:
            yield f"vacuous: there was no {kind}"
    found = model.counts
    if found["executed"] < 2 * found["rejected"]:
        yield f"vacuous: {found['executed']} commands succeeded, {found['rejected']} did not"
    for what in ("rejected", "answered again"):
        if not found[what]:
            yield f"vacuous: no command was {what}"
    if not judge.snapshots:
        yield "vacuous: no local store held a snapshot"
    if not judge.standby_snapshots:
        yield "vacuous: no standby store held a snapshot"
