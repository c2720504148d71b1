"""What must come of commands in the order of the log: plain dicts and lists, one command at a time.

Written from the description of the processor and of the rules, without the code of either; no
batches, no snapshots, no memory limits, no partitions taken over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

HOMES = {"f": 0, "g": 0, "n": 0, "a": 1, "c": 1, "h": 1, "b": 2, "d": 2, "e": 2}
"""The partition, of three, that Kafka's default partitioner gives to each persist id."""
WINDOW_IDS = 6
LARGEST = 2**63 - 1
"""What a state and a reply can hold."""
FEE_EVERY = 4


class Order(NamedTuple):
    """A command as it stands in the log."""

    partition: int
    offset: int
    key: str
    command_id: str
    kind: str  # "junk" for bytes that are no command
    fields: Mapping[str, Any]
    asks: bool
    expected: int | None


class Event(NamedTuple):
    """An event; ``kind`` is added, taken, deleted or noted."""

    key: str
    seq: int
    kind: str
    n: int
    command_id: str
    source: str  # partition:offset of the command


class Reply(NamedTuple):
    """A reply; of a call that asked for the state its total and changes are the value."""

    command_id: str
    status: str
    value: Any
    seq: int
    code: str
    position: str


class Sent(NamedTuple):
    """A command on its way to another purse."""

    command_id: str
    key: str
    n: int


@dataclass
class Thing:
    """One purse."""

    total: int = 0
    changes: int = 0
    seq: int = 0
    past: dict[str, tuple[int, Any, bool]] = field(default_factory=dict)  # id → seq, value, kept
    states: dict[int, tuple[int, int] | None] = field(default_factory=dict)  # None: deleted


class Refused(Exception):
    """Nothing of the command happens."""

    def __init__(self, status: str, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Model:
    """All purses of one run.

    ``erased`` are the persist ids that an operator erased, each with the command offset of its
    partition at which it did.
    """

    def __init__(self, erased: Sequence[tuple[str, int]] = ()) -> None:
        self.things: dict[str, Thing] = defaultdict(Thing)
        self.events: dict[int, list[Event]] = defaultdict(list)  # by partition
        self.replies: dict[int, list[Reply]] = defaultdict(list)
        self.dead: dict[int, list[tuple[str, str]]] = defaultdict(list)  # command id, source
        self.erased_letters: set[tuple[str, str]] = set()  # of these
        self._letters: dict[str, list[tuple[str, str]]] = defaultdict(list)  # the others, by key
        self.sent: list[Sent] = []
        self.forwarded: list[str] = []  # command ids
        self.past_states: dict[str, list[dict[int, tuple[int, int] | None]]] = defaultdict(list)
        self.executed = self.repeated = 0
        self.erasures: list[tuple[str, int]] = []  # by command: persist id, seq
        self._newest: dict[int, int] = defaultdict(lambda: -1)  # partition → source of an event
        self._erased = list(erased)

    def run(self, order: Order) -> None:
        """Runs one command; those of one partition must come in their order."""
        for key, offset in [each for each in self._erased if HOMES[each[0]] == order.partition]:
            if order.offset >= offset:
                self.erase(key)
                self._erased.remove((key, offset))
        if order.kind == "Rebuild":
            self._reply(order, "ok", None, 0)
            return
        if HOMES[order.key] != order.partition:
            self.forwarded.append(order.command_id)
            return
        thing = self.things[order.key]
        if order.fields.get("upto"):
            return  # an erasure goes on
        known = thing.past.get(order.command_id)
        if known is not None:
            self.repeated += 1
            seq, value, kept = known
            self._reply(order, "ok" if kept else "duplicate", value if kept else None, seq)
            return
        try:
            value, asked = self._execute(order, thing)
        except Refused as no:
            if no.status == "error":
                letter = order.command_id, _source(order)
                self.dead[order.partition].append(letter)
                self._letters[order.key].append(letter)
            status = "error" if no.status == "untold" else no.status
            self._reply(order, status, None, thing.seq, no.code)
            return
        self._reply(order, "ok", value, asked)

    def erase(self, key: str) -> None:
        """Nothing is left of a purse."""
        self.past_states[key].append(self.things.pop(key, Thing()).states)
        self.erased_letters.update(self._letters.pop(key, ()))

    def finish(self) -> None:
        """Erases what was erased after the last command."""
        for key, _ in self._erased:
            self.erase(key)
        self._erased = []

    def _execute(self, order: Order, thing: Thing) -> tuple[Any, int]:
        """The reply's value, and the seq it tells."""
        if order.expected is not None and order.expected != thing.seq:
            raise Refused("conflict", "")
        kind, told = order.kind, order.fields
        if kind == "junk":
            raise Refused("error", "not-avro")
        if kind == "Spoil":
            raise Refused("error", "failed")
        if kind == "GetState":
            if thing.total > LARGEST:
                raise Refused("untold", "state")
            return (thing.total, thing.changes), thing.seq
        if kind == "Erase":
            self._erase_all(order, thing)
            return thing.seq, thing.seq
        if kind in ("Take", "Give") and thing.total < told["n"]:
            raise Refused("rejected", "short")
        if self._spoilt(order, thing):
            raise Refused("error", "failed")
        self.executed += 1
        before = thing.seq
        value: Any = None
        if kind in ("Put", "Recite", "Swell"):
            n = told["n"] * 2**60 if kind == "Swell" else told["n"]
            self._persist(order, thing, "added", n)
            value = {"Put": thing.total, "Recite": "poem"}.get(kind)
        elif kind == "PutMany":
            for _ in range(told["times"]):
                self._persist(order, thing, "added", told["n"])
            value = thing.total
        elif kind in ("Take", "Give"):
            self._persist(order, thing, "taken", told["n"])
            value = thing.total  # the reply is made before the fee is charged
            if told["n"] != 1 and thing.changes % FEE_EVERY == 0:
                self._persist(order, thing, "taken", 1)
        elif kind == "Look":
            value = thing.total
        elif kind == "Wipe":
            self._persist(order, thing, "deleted", 0)
        elif kind == "Nudge":
            self._persist(order, thing, "noted", 0)
        if kind in ("Give", "Nudge"):
            n = told["n"] if kind == "Give" else 1
            self.sent.append(Sent(_sent_id(order), told["to"], n))
        if thing.seq != before:
            kept = order.asks and kind != "Recite"
            thing.past.pop(order.command_id, None)
            thing.past[order.command_id] = (thing.seq, value, kept)
            while len(thing.past) > WINDOW_IDS:
                del thing.past[next(iter(thing.past))]
        return value, thing.seq

    def _erase_all(self, order: Order, thing: Thing) -> None:
        self.erased_letters.update(self._letters.pop(order.key, ()))
        if not thing.seq:
            return
        self.past_states[order.key].append(dict(thing.states))
        thing.total = thing.changes = 0
        thing.states[thing.seq] = None
        thing.past = {order.command_id: (thing.seq, thing.seq, order.asks)}
        self.erasures.append((order.key, thing.seq))

    def _spoilt(self, order: Order, thing: Thing) -> bool:
        """Whether a total that nothing can hold is to be told or saved."""
        kind, told = order.kind, order.fields
        if kind == "Save":
            return thing.seq > 0 and thing.total > LARGEST
        change = {
            "Put": told.get("n", 0),
            "PutMany": told.get("n", 0) * told.get("times", 0),
            "Take": -told.get("n", 0),
            "Give": -told.get("n", 0),
            "Look": 0,
        }.get(kind)
        return change is not None and thing.total + change > LARGEST

    def _persist(self, order: Order, thing: Thing, kind: str, n: int) -> None:
        thing.seq += 1
        if kind == "deleted":
            thing.total = thing.changes = 0
        elif kind != "noted":
            thing.total += n if kind == "added" else -n
            thing.changes += 1
        state = None if kind == "deleted" else (thing.total, thing.changes)
        thing.states[thing.seq] = state
        self._newest[order.partition] = order.offset
        event = Event(order.key, thing.seq, kind, n, order.command_id, _source(order))
        self.events[order.partition].append(event)

    def _reply(self, order: Order, status: str, value: Any, seq: int, code: str = "") -> None:
        if order.asks and order.kind != "Erase":  # that may take a while, and others come between
            position = f"{order.partition}:{self._newest[order.partition]}"
            reply = Reply(order.command_id, status, value, seq, code, position)
            self.replies[order.partition].append(reply)


def _source(order: Order) -> str:
    return f"{order.partition}:{order.offset}"


def _sent_id(order: Order) -> str:
    """The id of the one command that a command sends, as the documents give it."""
    parent = f"ledger/{order.key}\0{order.command_id}#0"
    return blake2b(parent.encode(), digest_size=16).hexdigest()
