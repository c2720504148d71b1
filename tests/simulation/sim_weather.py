"""What goes wrong, drawn from a seed: which of all moments, and what happens there.

A moment is one step of one call (see `kstate.testing.simulated_log`).  Whether it is bad follows
from the seed and the moment's number alone, so that a bad moment can be left out to see whether a
run fails without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from kstate.errors import LogUnavailable, OutcomeUnknown, TransactionAborted
from kstate.testing.simulated_log import EndDelayed, SimulatedLog

COMMITS = 2
"""How much more often something goes wrong in the steps of a commit, which are few."""

_MASK = 2**64 - 1

STALL_S = (3.0, 6.5, 7.5, 16.0)
"""From less than a session to more than a transaction's timeout."""


def draw(seed: int, number: int) -> int:
    """64 bits that look like chance (splitmix64, Vigna)."""
    z = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


class World(Protocol):
    """What the weather may do to the world."""

    def others_first(self, log: SimulatedLog, turns: int) -> None:
        """Other workers take turns before this one goes on."""

    def pass_time(self, seconds: float) -> None:
        """The clock moves."""


class BadMoment(NamedTuple):
    """Something that went wrong."""

    number: int
    step: str
    kind: str


KINDS: dict[str, tuple[str, ...]] = {
    "before": (*("away",) * 3, *("preempted",) * 6, "stalled", "killed"),
    "after": ("preempted", "preempted", "killed"),
    "store": ("killed", "preempted"),
    "client": ("unknown",),
    "commit.ahead": ("aborted", "unknown", "preempted", "stalled", "killed"),
    "commit": ("away", "aborted", "preempted", "preempted", "stalled", "killed"),
    "commit.written": ("aborted", "unknown", "preempted", "stalled", "killed"),
    "commit.offsets": ("aborted", "unknown", "preempted", "stalled", "killed"),
    "commit.produced": (
        ("aborted", "unknown", "end delayed", "end delayed", "preempted", "stalled", "killed")
    ),
    "commit.ended": ("unknown", "unknown", "preempted", "stalled", "killed"),
    "commit!": ("killed", "preempted"),
}


def kinds_of(step: str) -> tuple[str, ...]:
    """What may go wrong at a step."""
    if step in KINDS:
        return KINDS[step]
    if step.startswith("store."):
        return KINDS["store"]
    return KINDS["after" if step.endswith("!") else "before"]


class Weather:
    """The surprises of one run: see `kstate.testing.simulated_log.Surprise`.

    ``only``: the numbers of the moments that may be bad; None: all that the seed says.
    """

    def __init__(self, world: World, seed: int, rate: float, only: Collection[int] | None) -> None:
        self.calm = False
        self.standing_by: set[SimulatedLog] = set()  # processes that follow partitions of others
        self.fired: list[BadMoment] = []
        self.counts: Counter[str] = Counter()
        self._world = world
        self._seed = seed
        self._threshold = int(rate * 2**32)
        self._only = only
        self._number = 0
        self._acts: dict[str, Callable[[SimulatedLog, str, int], None]] = {
            "away": self._away,
            "aborted": self._aborted,
            "unknown": self._unknown,
            "end delayed": self._end_delayed,
            "killed": self._killed,
            "preempted": self._preempted,
            "stalled": self._stalled,
        }

    def __call__(self, log: SimulatedLog, step: str) -> None:
        if self.calm:
            return
        self._number = number = self._number + 1
        drawn = draw(self._seed, number)
        threshold = self._threshold * (COMMITS if step.startswith("commit") else 1)
        if drawn & 0xFFFFFFFF >= threshold:
            return
        if self._only is not None and number not in self._only:
            return
        kinds = kinds_of(step)
        kind = kinds[(drawn >> 32) % len(kinds)]
        self.fired.append(BadMoment(number, step, kind))
        where = " in a commit" if step.startswith("commit") else ""
        if log in self.standing_by:
            where = " in a standby"
        self.counts[f"{kind}{where}"] += 1
        self._acts[kind](log, step, drawn >> 40)

    def client(self, log: SimulatedLog, step: str) -> None:
        """The surprises of a client: all it has to fear is an answer that does not come."""
        if step == "flush!":
            self(log, "client")

    def _away(self, log: SimulatedLog, step: str, drawn: int) -> None:
        raise LogUnavailable(f"no answer to {step}")

    def _aborted(self, log: SimulatedLog, step: str, drawn: int) -> None:
        raise TransactionAborted(f"aborted at {step}")

    def _unknown(self, log: SimulatedLog, step: str, drawn: int) -> None:
        if step == "client":
            raise LogUnavailable("the answer to a producer did not come")
        raise OutcomeUnknown(f"no answer at {step}")

    def _end_delayed(self, log: SimulatedLog, step: str, drawn: int) -> None:
        raise EndDelayed((0.01, 0.3, 2.0, 9.0)[drawn % 4])

    def _killed(self, log: SimulatedLog, step: str, drawn: int) -> None:
        raise log.kill(step)

    def _preempted(self, log: SimulatedLog, step: str, drawn: int) -> None:
        self._world.others_first(log, 1 + drawn % 8)

    def _stalled(self, log: SimulatedLog, step: str, drawn: int) -> None:
        """Stopped, or cut off, for so long that others may take over, which they then do."""
        log.silent = True
        for part in range(4):
            self._world.pass_time(STALL_S[drawn % 4] / 4)
            self._world.others_first(log, 1 + (drawn >> part) % 6)
        log.silent = False
