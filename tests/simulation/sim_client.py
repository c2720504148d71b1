"""The clients of a simulated run, and the operator's hands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sim_program
from sim_model import HOMES
from sim_plan import Action

from kstate.codec.avro import AvroCodec
from kstate.core.messages import Erase, GetState, Headers, Rebuild, Write
from kstate.core.topics import Topics
from kstate.errors import LogUnavailable
from kstate.testing.simulated_log import SimulatedLog

RESERVED: dict[str, type[Any]] = {"GetState": GetState, "Erase": Erase, "Rebuild": Rebuild}
"""Commands that every processor knows."""
PATIENCE_S = 8.0
"""After which a call is repeated with its command id."""
MAX_TRIES = 3


class Call:
    """A command that was sent, and may be sent again."""

    def __init__(self, action: Action, write: Write, sent_s: float) -> None:
        self.action = action
        self.write = write
        self.sent_s = sent_s
        self.tries = 1
        self.unknown = False  # the last answer of the producer did not come


class Client:
    """Sends what the plan says, waits for replies, and repeats what it is not sure of."""

    def __init__(self, log: SimulatedLog, codec: AvroCodec, topics: Topics) -> None:
        self.answered: dict[str, int] = {}  # command id → replies seen
        self.unknown = 0
        self.repeated = 0
        self._log = log
        self._codec = codec
        self._topics = topics
        self._producer = log.producer()
        self._reader = log.reader()
        self._reader.assign(topics.replies, {0: 0})
        self._seqs: dict[str, int] = {}  # persist id → the newest seq seen
        self._open: dict[str, Call] = {}
        self._again: list[Call] = []

    @property
    def waits(self) -> bool:
        """Whether anything is still to be sent or answered."""
        return bool(self._open or self._again)

    def send(self, action: Action) -> None:
        """Sends a command for the first time."""
        command_id = f"c{action.number}"
        headers: Headers = [] if action.nameless else [("command-id", command_id.encode())]
        if action.asks:
            headers.append(("reply-to", self._topics.replies.encode()))
        if action.expects:
            headers.append(("expected-seq", b"%d" % self._seqs.get(action.key, 0)))
        home = HOMES[action.key]
        write = Write(
            self._topics.commands,
            (home + 1) % 3 if action.lost else home,
            None if action.kind == "Rebuild" else action.key.encode(),
            self._value(action),
            headers,
            self._log.cluster.now_ms,
        )
        call = Call(action, write, self._log.cluster.now_s)
        if action.asks:
            self._open[command_id] = call
        if action.again:
            self._again.append(call)
        self._write(call)

    def _value(self, action: Action) -> bytes:
        if action.kind == "junk":
            return b"junk"
        if action.kind in RESERVED:
            return self._codec.encode_command("ledger", RESERVED[action.kind]())
        command: Any = getattr(sim_program, action.kind)(**action.fields)
        return self._codec.encode_command("ledger", command)

    def _write(self, call: Call) -> None:
        call.sent_s = self._log.cluster.now_s
        self._producer.send(call.write)
        try:
            self._producer.flush(1.0)
        except LogUnavailable:
            self.unknown += 1
            if call.action.nameless:
                return  # it would be another command
            if call not in self._again:
                self._again.append(call)

    def turn(self) -> None:
        """Reads replies; repeats one command that needs it."""
        self._read()
        now_s = self._log.cluster.now_s
        if self._again and now_s - self._again[0].sent_s > 0.05:
            self._repeat(self._again.pop(0))
            return
        for call in self._open.values():
            if call.tries < MAX_TRIES and now_s - call.sent_s > PATIENCE_S:
                self._repeat(call)
                return

    def _repeat(self, call: Call) -> None:
        call.tries += 1
        self.repeated += 1
        self._write(call)

    def _read(self) -> None:
        for record in self._reader.poll(1_000, 0).records:
            command_id = (record.key or b"").decode()
            self.answered[command_id] = self.answered.get(command_id, 0) + 1
            call = self._open.pop(command_id, None)
            if call is not None:
                seq = int(dict(record.headers)["seq"])
                self._seqs[call.action.key] = max(seq, self._seqs.get(call.action.key, 0))

    def forget(self, key: str) -> None:
        """The persist id was erased."""
        self._seqs.pop(key, None)


def erase(log: SimulatedLog, topics: Topics, key: str, seqs: int, letters: Sequence[bytes]) -> None:
    """What an operator does who erases an entity: a tombstone for each event and dead letter, and
    for the snapshot."""
    producer = log.producer()
    home, now_ms = HOMES[key], log.cluster.now_ms
    for seq in range(1, seqs + 1):
        event_key = f"{key}@{seq}".encode()
        producer.send(Write(topics.journal, home, event_key, None, [], now_ms))
    for letter in letters:
        producer.send(Write(topics.dead_letters, home, letter, None, [], now_ms))
    producer.send(Write(topics.snapshots, home, key.encode(), None, [], now_ms))
    producer.flush(1.0)
