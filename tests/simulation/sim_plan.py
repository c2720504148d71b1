"""What the clients of one run do, drawn from its seed before the run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from sim_model import HOMES
from sim_weather import draw

KEYS = tuple(HOMES)
STANDBYS = ("0", "1", "all")
KINDS = (
    *("Put",) * 6,
    *("PutMany",) * 3,
    *("Take",) * 5,
    *("Give",) * 4,
    *("Recite", "Look", "Save", "Wipe", "Spoil", "Nudge", "Swell", "Erase"),
)


class Action(NamedTuple):
    """One thing that a client does, or the operator where ``kind`` is "idle"."""

    number: int
    kind: str
    key: str
    fields: Mapping[str, Any]
    asks: bool = False
    expects: bool = False  # that the entity is where the client saw it last
    lost: bool = False  # its producer uses another partitioner
    again: bool = False  # it is sent once more, later on
    nameless: bool = False  # without a command id


class Settings(NamedTuple):
    """What is set for one run."""

    workers: int
    batch_records: int
    max_entities: int
    max_tail: int
    rate: float  # of bad moments
    kept: bool  # whether workers keep a local store
    upgrade: bool  # new lives have another snapshot_version from some moment on
    keep: int  # events that stay behind a snapshot; 0: all
    max_tombstones: int
    batch_ms: int  # a look at the clock takes one: a batch may be cut after two commands
    standby: str  # how many partitions of others each worker follows


class Plan(NamedTuple):
    """All of it; the seed decides about the rest."""

    seed: int
    settings: Settings
    actions: tuple[Action, ...]


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(seed)
    upgrade = chance.random() < 0.3
    settings = Settings(
        workers=chance.choice((2, 2, 3)),
        batch_records=chance.choice((1, 2, 4, 8)),
        max_entities=chance.choice((1, 2, 2, 3)),
        max_tail=chance.choice((4, 8, 30)),
        rate=chance.choice((0.05, 0.09, 0.12)),
        kept=chance.random() < 0.75,
        upgrade=upgrade,
        # new folds need all events
        keep=0 if upgrade else chance.choice((0, 1, 2)),
        max_tombstones=chance.choice((1, 3, 1_000)),
        batch_ms=chance.choice((1, 2, 100)),
        standby=STANDBYS[draw(seed, 2) % len(STANDBYS)],
    )
    actions = [_action(chance, number) for number in range(chance.randrange(40, 70))]
    if chance.random() < 0.5:
        # late enough for a past, early enough for a future
        place = chance.randrange(len(actions) // 3, len(actions) - 5)
        actions.insert(place, _idle(chance, len(actions)))
    return Plan(seed, settings, tuple(actions))


def _action(chance: random.Random, number: int) -> Action:
    if chance.random() < 0.03:
        return Action(number, "junk", chance.choice(KEYS), {}, asks=chance.random() < 0.5)
    if chance.random() < 0.01:
        return Action(number, "Rebuild", chance.choice(KEYS), {}, asks=True)
    kind = chance.choice(KINDS)
    key = chance.choice(KEYS[::2] if chance.random() < 0.6 else KEYS)
    fields: dict[str, Any] = {}
    if kind in ("Put", "PutMany", "Take", "Give", "Recite", "Spoil", "Swell"):
        fields["n"] = chance.randrange(1, 10)
    if kind == "Swell":
        fields["n"] = 7  # two of them are too much
    if kind == "PutMany":
        fields["times"] = chance.randrange(2, 4)
    if kind in ("Give", "Nudge"):
        fields = {"to": chance.choice(KEYS), **fields}
    if chance.random() < 0.04:
        lost = chance.random() < 0.3
        return Action(number, kind, key, fields, lost=lost, nameless=True)
    return Action(
        number,
        kind,
        key,
        fields,
        asks=chance.random() < 0.7,
        expects=chance.random() < 0.12,
        lost=chance.random() < 0.05,
        again=chance.random() < 0.15,
    )


def _idle(chance: random.Random, number: int) -> Action:
    """Nobody works for days; an operator may have a hand in it."""
    fields = {
        "days": chance.choice((0.5, 3.0, 8.0, 8.0, 15.0)),
        "erases": chance.random() < 0.5,
        "retention": chance.random() < 0.5,
        "clean": chance.random() < 0.3,  # the workers are stopped, not killed
    }
    return Action(number, "idle", chance.choice(("n", "h", "d")), fields)
