"""Runs seeds of the simulation, tells what they held, and shrinks what failed.

    python tests/simulation/simulate.py --seeds 1-10000
    python tests/simulation/simulate.py --seeds 1-200 --store sqlitedict

A seed decides everything.  One that fails is run again with fewer commands and fewer bad moments,
as long as the same check fails, and then printed with what is left.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar

from sim_checks import violations
from sim_plan import Action, Plan, plan_of
from sim_weather import BadMoment
from sim_world import World

MAX_SHRINKING_RUNS = 400

Item = TypeVar("Item")


class Outcome(NamedTuple):
    """What came of one run."""

    violations: Sequence[tuple[str, str]]  # check, what it says
    fired: Sequence[BadMoment]
    counts: Counter[str]
    digest: str  # of all that was ever written

    @property
    def checks(self) -> set[str]:
        """The names of the checks that failed."""
        return {check for check, _ in self.violations}


def simulate(plan: Plan, store: str = "", only: Collection[int] | None = None) -> Outcome:
    """One run."""
    with tempfile.TemporaryDirectory(prefix="kstate-simulation-") as directory:
        world = World(plan, Path(directory), store, only)
        world.run()
        counts = world.weather.counts + world.counts + world.crew.counts
        counts["sessions ended"] += world.cluster.sessions_ended
        counts["transactions timed out"] += world.cluster.transactions.timed_out
        counts["commands repeated"] += world.client.repeated
        return Outcome(violations(world), world.weather.fired, counts, digest_of(world))


def digest_of(world: World) -> str:
    """A hash of every record ever written."""
    digest = blake2b(digest_size=16)
    for topic in world.cluster.topics.values():
        for partition in topic.partitions:
            for entry in partition.history:
                digest.update(repr((partition.topic, entry.offset, entry.record)).encode())
    return digest.hexdigest()


# -- shrinking -----------------------------------------------------------------------------------


class Shrunk(NamedTuple):
    """A smaller run in which the same check fails."""

    actions: Sequence[Action]
    moments: Sequence[BadMoment]
    outcome: Outcome


def shrink(plan: Plan, outcome: Outcome, store: str = "") -> Shrunk:
    """Leaves out bad moments and actions, by halves, quarters and so on."""
    runs = 0

    def fails(actions: Iterable[Action], moments: Iterable[BadMoment]) -> bool:
        nonlocal runs
        runs += 1
        if runs > MAX_SHRINKING_RUNS:
            return False
        return bool(again(actions, moments).checks & outcome.checks)

    def again(actions: Iterable[Action], moments: Iterable[BadMoment]) -> Outcome:
        smaller = plan._replace(actions=tuple(actions))
        return simulate(smaller, store, {each.number for each in moments})

    def fewer_moments(actions: Sequence[Action], moments: Sequence[BadMoment]) -> list[BadMoment]:
        return _fewer(moments, lambda some: fails(actions, some))

    def fewer_actions(actions: Sequence[Action], moments: Sequence[BadMoment]) -> list[Action]:
        return _fewer(actions, lambda some: fails(some, moments))

    moments = fewer_moments(plan.actions, outcome.fired)
    actions = fewer_actions(plan.actions, moments)
    moments = fewer_moments(actions, moments)
    final = again(actions, moments)
    return Shrunk(actions, final.fired, final)


def _fewer(items: Sequence[Item], fails: Callable[[Sequence[Item]], bool]) -> list[Item]:
    """As few of the items as bisection finds with which it still fails."""
    left, size = list(items), len(items)
    while size > 1:
        size = (size + 1) // 2
        start = 0
        while start < len(left):
            without = left[:start] + left[start + size :]
            if fails(without):
                left = without
            else:
                start += size
    return left


def tell(plan: Plan, store: str, shrunk: Shrunk) -> None:
    """Prints a run that fails."""
    print(f"seed {plan.seed}{' with ' + store if store else ''} fails; {plan.settings}")
    for action in shrunk.actions:
        flags = [name for name in ("asks", "expects", "lost", "again") if getattr(action, name)]
        told = " ".join(f"{name}={value}" for name, value in action.fields.items())
        print(f"  {action.number:>4} {action.kind} {action.key} {told} {' '.join(flags)}".rstrip())
    for moment in shrunk.moments:
        print(f"  bad moment {moment.number}: {moment.kind} at {moment.step}")
    for check, text in shrunk.outcome.violations:
        print(f"  {check}: {text}")


# -- the command line ----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-1000", help="FIRST-LAST, or one seed")
    parser.add_argument("--store", default="", choices=("", "memory", "kept", "sqlitedict"))
    parser.add_argument("--failures", type=int, default=3, help="after so many it ends")
    parser.add_argument("--no-shrink", action="store_true")
    told = parser.parse_args(arguments)
    first, _, last = told.seeds.partition("-")
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    totals: Counter[str] = Counter()
    moments = failed = seeds = 0
    for seed in range(int(first), int(last or first) + 1):
        plan = plan_of(seed)
        outcome = simulate(plan, told.store)
        seeds += 1
        totals += outcome.counts
        moments += len(outcome.fired)
        if outcome.violations:
            failed += 1
            smaller = Shrunk(plan.actions, outcome.fired, outcome)
            tell(plan, told.store, smaller if told.no_shrink else shrink(plan, outcome, told.store))
            if failed >= told.failures:
                break
    seconds = time.monotonic() - began
    print(f"{seeds} seeds, {seeds / seconds:.1f} a second, {moments / seeds:.0f} faults each")
    for name, count in sorted(totals.items()):
        print(f"  {count:>9,} {name}")
    print(f"  {failed:>9,} seeds with violations")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
