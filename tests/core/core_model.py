"""What the core must do, told once more in the plainest way: lists and dicts, one command at a
time, no batches, no snapshots, no memory limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from core_program import FOLD_FAILS, NESTED_FROM, REACTION_FAILS, Do

REPLY_OVERHEAD = 11  # bytes: the head of single-object encoding, and the length of a short text


class Order(NamedTuple):
    """A command as it lies on the topic."""

    offset: int
    key: bytes
    command_id: str
    do: Do | None  # None: bytes that are no command
    asks: str  # "": a cast; "good": for a reply; "bad": for a reply where there may be none
    expected: int | None


class Event(NamedTuple):
    key: bytes
    seq: int
    what: Any  # a number that was put, or "deleted" or "noted"
    command_id: str
    source: int
    reply: str | None
    at: int


class Reply(NamedTuple):
    command_id: str
    status: str
    value: str | None
    seq: int
    newest: int  # the command offset of the newest event
    code: str


class Past(NamedTuple):
    command_id: str
    seq: int
    at: int
    reply: str | None


@dataclass
class Thing:
    """One entity."""

    seq: int = 0
    total: int = 0
    puts: int = 0
    past: list[Past] = field(default_factory=list)


class _NoGood(Exception):
    pass


class _No(Exception):
    pass


@dataclass
class _Run:
    """What one command does, before anybody believes it."""

    total: int
    puts: int
    queue: list[Any] = field(default_factory=list)
    sent: list[tuple[str, int]] = field(default_factory=list)
    deleted: bool = False
    saves: bool = False

    def put(self, n: int) -> None:
        if self.deleted or n == FOLD_FAILS:
            raise _NoGood
        self.total, self.puts = self.total + n, self.puts + 1
        self.queue.append(n)

    def step(self, op: str, n: int, to: str) -> None:
        if op == "persist":
            self.put(n)
        elif op == "both":
            before = self.total, self.puts, list(self.queue)
            try:
                self.put(n)
                self.put(n + 1)
            except _NoGood:
                self.total, self.puts, self.queue = before
                raise
        elif op == "try-both":
            if self.deleted:
                raise _NoGood
        elif op == "send":
            self.sent.append((to, n))
        elif op == "reject":
            raise _No(f"no-{n}")
        elif op == "fail":
            raise _NoGood
        elif op == "delete":
            if self.deleted:
                raise _NoGood
            self.total = self.puts = 0
            self.queue.append("deleted")
            self.deleted = True
        elif op == "save":
            self.saves = True

    def react(self) -> None:
        for what in self.queue:  # which grows meanwhile
            if what == REACTION_FAILS:
                raise _NoGood
            if isinstance(what, int) and what >= NESTED_FROM:
                self.put(what - 10)


class Model:
    """All entities of a partition."""

    def __init__(self, window_ids: int, window_ms: int, kept_reply_bytes: int) -> None:
        self.window_ids = window_ids
        self.window_ms = window_ms
        self.kept_reply_bytes = kept_reply_bytes
        self.things: dict[bytes, Thing] = {}
        self.journal: list[Event] = []
        self.replies: list[Reply] = []
        self.dead: list[int] = []  # offsets
        self.sent: list[tuple[str, str, int]] = []  # command id, persist id, number
        self.saved: list[tuple[bytes, int]] = []  # snapshots asked for: persist id, seq
        self.newest = -1

    def do(self, order: Order, now: int) -> None:
        thing = self.things.setdefault(order.key, Thing())
        past = self.remembered(order.key, order.command_id, now)
        if past is not None:
            status = "duplicate" if past.reply is None else "ok"
            self.answer(order, status, past.reply, past.seq)
        elif order.expected is not None and order.expected != thing.seq:
            self.answer(order, "conflict", None, thing.seq)
        elif order.do is None:
            self.bury(order, thing, "not-avro")
        else:
            self.execute(order, thing, order.do, now)

    def remembered(self, key: bytes, command_id: str, now: int) -> Past | None:
        thing = self.things.get(key, Thing())
        for past in thing.past[-self.window_ids :]:
            if past.command_id == command_id and past.at >= now - self.window_ms:
                return past
        return None

    def execute(self, order: Order, thing: Thing, do: Do, now: int) -> None:
        run = _Run(thing.total, thing.puts)
        try:
            for step in do.steps:
                run.step(step.op, step.n, step.to)
            text = str(run.total) + "." * do.padding
            run.react()
        except _No as no:
            self.answer(order, "rejected", None, thing.seq, str(no))
            return
        except _NoGood:
            self.bury(order, thing, "failed")
            return
        if run.sent and not run.queue:
            run.queue.append("noted")
        self.believe(order, thing, run, text, now)

    def believe(self, order: Order, thing: Thing, run: _Run, text: str, now: int) -> None:
        small = len(text) + REPLY_OVERHEAD <= self.kept_reply_bytes
        kept = text if order.asks == "good" and small else None
        for index, what in enumerate(run.queue):
            thing.seq += 1
            reply = kept if index == len(run.queue) - 1 else None
            self.journal.append(
                Event(order.key, thing.seq, what, order.command_id, order.offset, reply, now)
            )
        if run.queue:
            thing.total, thing.puts = run.total, run.puts
            thing.past = [p for p in thing.past if p.command_id != order.command_id]
            thing.past.append(Past(order.command_id, thing.seq, now, kept))
            self.newest = order.offset
        for position, (to, n) in enumerate(run.sent):
            parent = f"program/{order.key.decode()}\0{order.command_id}#{position}"
            command_id = blake2b(parent.encode(), digest_size=16).hexdigest()
            self.sent.append((command_id, to, n))
        if thing.seq and (run.saves or run.deleted):
            self.saved.append((order.key, thing.seq))
        self.answer(order, "ok", text, thing.seq)

    def bury(self, order: Order, thing: Thing, code: str) -> None:
        self.dead.append(order.offset)
        self.answer(order, "error", None, thing.seq, code)

    def answer(
        self, order: Order, status: str, value: str | None, seq: int, code: str = ""
    ) -> None:
        if order.asks == "good":
            self.replies.append(Reply(order.command_id, status, value, seq, self.newest, code))

    def entities(self) -> int:
        """Persist ids with at least one event."""
        return sum(1 for thing in self.things.values() if thing.seq)


def fold(events: Sequence[Event]) -> tuple[int, int]:
    """Total and puts after the events of one entity."""
    total = puts = 0
    for each in events:
        if each.what == "deleted":
            total = puts = 0
        elif each.what != "noted":
            total, puts = total + each.what, puts + 1
    return total, puts
