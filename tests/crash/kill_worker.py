"""Kills workers at random moments while commands flow, then judges all that they left behind.

    python tests/crash/kill_worker.py --commands 50000 --kills 20 --seed 1
    python tests/crash/kill_worker.py --log kafka --workers 2

Sends deposits, withdrawals and transfers to the bank; some as calls, whose replies are kept, some
as casts, some twice under one command id.  Meanwhile a worker is killed with SIGKILL after random
numbers of processed commands, or while it takes over, and started again; where others can take its
partitions over, some of the killed stay away until they did.  At the end everything is read back
and held against a model that replays the commands in the order of the log.  Ends with 1 when
anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from crash_checks import violations  # noqa: E402 - they are found only now
from crash_evidence import Evidence  # noqa: E402
from crash_load import KillPoint, Load, kill_points  # noqa: E402
from crash_model import Model  # noqa: E402
from crash_run import Run  # noqa: E402
from crash_workers import LOOK_S, Victim, until  # noqa: E402

from kstate.core.messages import Progress  # noqa: E402
from kstate.log.port import Committed  # noqa: E402
from kstate.testing.broker import NoBroker, broker  # noqa: E402

SHOWN = 20
KILLS_PER_ABSENCE = 5  # one of so many killed workers stays away

SESSION_S = 6.0  # how long a group keeps the seat of a worker that is gone
TAKEN_OVER_S = SESSION_S + 12.0
BACK_S = 3.0

INSIDE = "inside a batch"
COMMITTING = "inside a transaction"
BETWEEN = "outside of batches"
TAKING_OVER = "while taking over"
MOMENTS = (INSIDE, COMMITTING, BETWEEN, TAKING_OVER)

AWAY = "its partitions answered without it"
BACK = "it came back and its partitions answered"  # from its start
ANEW = "it came back after its session, and its partitions answered"
BOUNDS_S = {AWAY: TAKEN_OVER_S, BACK: BACK_S}


class Kill(NamedTuple):
    """One death."""

    worker: int
    processed: int  # commands
    stored: int  # commands in its partitions not yet processed when it was dead
    under_way: int  # calls that waited for their reply
    moment: str


class Wait(NamedTuple):
    """How long partitions were without an answer: since the death of their owner where others took
    them over, else since the start of the process that came back."""

    kill: int  # the number of the death
    what: str
    seconds: float
    since_ready_s: float | None  # to join its group again


class KillRun(Run):
    """A run in which workers are killed."""

    def __init__(
        self, url: str, directory: Path, options: argparse.Namespace, workers: int
    ) -> None:
        super().__init__(url, directory, options, workers)
        self.kills: list[Kill] = []
        self.waits: list[Wait] = []
        self._chance = random.Random(f"victims-{options.seed}")
        self._begun_with: Mapping[int, Committed] = {}  # by the worker that was started last

    def disturb(self, load: Load) -> None:
        """Kills, again and again."""
        options = self.options
        absences = options.kills // KILLS_PER_ABSENCE if self._others_take_over() else 0
        points = kill_points(options.commands, options.kills, options.seed, absences)
        last = self.workers[0]
        for number, point in enumerate(points):
            load.limit()
            last = self._next_victim(point, last, load)
            owned = self.owned(last)
            last.kill()
            self.kills.append(self._after_death(last, owned, load))
            follows = points[number + 1] if number + 1 < len(points) else None
            if follows is not None:  # something is to be under way when it comes
                load.limit(follows.processed)
            if point.stays_away:
                self._await_takeover(last, owned)
            self._begun_with = self.progress()
            last.start()
            if point.stays_away:
                self.await_owners(self.workers)
                last.gone_since = None
            elif follows is None or not follows.early:
                self._await_return(last, owned)

    def _others_take_over(self) -> bool:
        return len(self.workers) > 1 and self.log.multiple_owners

    # -- when to kill whom -------------------------------------------------------------------

    def _next_victim(self, point: KillPoint, last: Victim, load: Load) -> Victim:
        """The worker to kill, standing still, when it is time."""
        if point.early and self.kills:
            due: Callable[[], bool] = partial(self._is_owner, last)
        else:
            before = self.kills[-1].processed if self.kills else 0
            due = partial(self._has_done, point.processed, before)
        while True:
            over = not load.sending() and self.all_processed()
            if over or due():
                victim = last if point.early else self._chance.choice(self._owners())
                if self._frozen(victim, over):
                    return victim
            self.check_workers()
            time.sleep(LOOK_S)

    def _is_owner(self, worker: Victim) -> bool:
        """Whether the worker that was just started takes partitions over.

        On Kafka they have been its own all the time.
        """
        return worker.ready_to_join() and bool(self.owned(worker))

    def _has_done(self, point: int, before: int) -> bool:
        """Whether enough commands are processed, some of them since the last death."""
        return self.look() >= max(point, before + 1)

    def _owners(self) -> list[Victim]:
        owners = set(self.log.owners(self.topics.group, self.topics.commands).values())
        return [each for each in self.workers if each.instance in owners] or self.workers

    def _frozen(self, worker: Victim, over: bool) -> bool:
        """Whether the worker now stands still, with commands to do.

        An idle one goes on, as long as anything is still to come.
        """
        worker.freeze()
        if over or self.waiting(self.owned(worker)):
            return True
        worker.thaw()
        return False

    def _after_death(self, worker: Victim, owned: Collection[int], load: Load) -> Kill:
        self.tally.read()
        progress = self.progress()
        processed, stored = self.tally.processed(progress), self.tally.waiting(progress, owned)
        return Kill(
            worker.number, processed, stored, load.under_way, self._moment(worker, progress)
        )

    def _moment(self, worker: Victim, progress: Mapping[int, Committed]) -> str:
        last_begun = not self.kills or worker.number == self.kills[-1].worker
        if last_begun and not self._has_committed(worker, progress):
            return TAKING_OVER
        if worker.running()[0] >= 0:
            return INSIDE
        ends = self.log.ends(self.topics.journal).values()
        return COMMITTING if any(each.stable < each.end for each in ends) else BETWEEN

    def _has_committed(self, worker: Victim, progress: Mapping[int, Committed]) -> bool:
        """Whether the worker that was started last has committed anything since."""
        for partition, committed in progress.items():
            parsed = Progress.parse(committed.offset, committed.metadata)
            assert parsed is not None, committed
            if parsed[1] == worker.instance and committed != self._begun_with.get(partition):
                return True
        return False

    # -- how long it takes -------------------------------------------------------------------

    def _await_takeover(self, worker: Victim, owned: Collection[int]) -> None:
        assert worker.gone_since is not None
        self.ask_partitions(owned)
        took_s = time.monotonic() - worker.gone_since
        self.waits.append(Wait(len(self.kills), AWAY, took_s, None))

    def _await_return(self, worker: Victim, owned: Collection[int]) -> None:
        started = time.monotonic()
        until(worker.ready_to_join, "the worker got ready to join")
        ready = time.monotonic()
        self.ask_partitions(owned)
        answered = time.monotonic()
        assert worker.gone_since is not None
        what = BACK if ready - worker.gone_since < SESSION_S else ANEW
        worker.gone_since = None
        self.waits.append(Wait(len(self.kills), what, answered - started, answered - ready))

    def missing_waits(self) -> list[str]:
        """What was to be measured, and was not."""
        wanted = {BACK, AWAY} if self._others_take_over() else {BACK}
        return sorted(wanted - {each.what for each in self.waits})


def late(waits: list[Wait]) -> list[str]:
    """The waits that took longer than promised."""
    return [
        f"late: kill {each.kill}: {each.what} after {each.seconds:.1f} s, promised are "
        f"{BOUNDS_S[each.what]:g} s"
        for each in waits
        if each.what in BOUNDS_S and each.seconds > BOUNDS_S[each.what]
    ]


def vacuous(this: KillRun, evidence: Evidence, model: Model) -> list[str]:
    """What a run lacks to prove anything."""
    found = []
    kills, wanted = this.kills, this.options.kills
    if len(kills) != wanted:
        found.append(f"{len(kills)} kills instead of {wanted}")
    found += [f"nothing was under way at {kill}" for kill in kills if not kill.stored]
    found += [f"no time was taken of: {what}" for what in this.missing_waits()]
    counts = model.counts
    if counts["executed"] < 2 * counts["rejected"]:
        found.append(f"only {counts['executed']} commands succeeded")
    for what in ("rejected", "answered again"):
        if not counts[what]:
            found.append(f"no command was {what}")
    if not model.sent:
        found.append("no money was transferred")
    if not evidence.snapshots:
        found.append("there was no snapshot")
    return [f"vacuous: {each}" for each in found]


def count(evidence: Evidence, model: Model, sent: Counter[str], kills: list[Kill]) -> Counter[str]:
    """The figures of a run, in the order in which they are printed."""
    told = [reply for replies in evidence.acknowledged.values() for reply in replies]
    return Counter(
        {
            "kills": len(kills),
            "kills with commands under way": sum(kill.stored > 0 for kill in kills),
            "kills with calls under way": sum(kill.under_way > 0 for kill in kills),
            **{
                f"kills {moment}": sum(kill.moment == moment for kill in kills)
                for moment in MOMENTS
            },
            "commands in the log": len(evidence.commands),
            **sent,
            "sent by transfers": model.sent.total(),
            "executed": model.counts["executed"],
            "rejected": model.counts["rejected"],
            "answered again": model.counts["answered again"],
            "acknowledged": len(told),
            "acknowledged with success": sum(reply.status == "ok" for reply in told),
            "replies": sum(map(len, evidence.replies.values())),
            "events": len(evidence.events),
            "snapshots": len(evidence.snapshots),
            "accounts": len(evidence.asked),
            "money on all accounts": sum(state.balance for state in evidence.asked.values()),
        }
    )


@dataclass
class Outcome:
    """What came of a run."""

    kills: list[Kill]
    waits: list[Wait]
    counts: Counter[str]
    wrong: list[str]
    evidence: Evidence
    model: Model


@contextmanager
def log_of(url: str | None, directory: Path) -> Iterator[str]:
    """The log to run on: a fresh embedded one without a URL; ``kafka`` alone is a broker that lives
    as long as the run."""
    if url == "kafka":
        with broker() as servers:
            yield f"kafka://{servers}"
    else:
        yield url or f"sqlite:{directory}/bank.db"


def run(options: argparse.Namespace) -> Outcome:
    """One run in a directory of its own, judged."""
    with ExitStack() as stack:
        if options.directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="kstate-crash-")
            directory = Path(stack.enter_context(temporary))
        else:
            directory = options.directory
            directory.mkdir(parents=True)
        url = stack.enter_context(log_of(options.log, directory))
        this = KillRun(url, directory, options, options.workers)
        evidence, sent = this.run()
    model = Model()
    model.run_all(evidence.commands)
    wrong = violations(evidence, model) + late(this.waits) + vacuous(this, evidence, model)
    counts = count(evidence, model, sent, this.kills)
    return Outcome(this.kills, this.waits, counts, wrong, evidence, model)


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commands", type=int, default=50_000, help="how many are sent (50000)")
    parser.add_argument("--kills", type=int, default=20, help="how often the worker dies (20)")
    parser.add_argument("--accounts", type=int, default=500, help="how many there are (500)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (1)")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time (1)")
    parser.add_argument(
        "--log",
        metavar="URL",
        help="another log than a fresh embedded one; kafka for a broker of the run's own",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        help="a new directory for what the workers keep and say; by default a temporary one",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, and prints what came of it."""
    options = options_of()
    print(f"seed {options.seed}")
    began = time.monotonic()
    try:
        outcome = run(options)
    except NoBroker as error:
        sys.exit(f"kill_worker: {error}")
    waits = {each.kill: each for each in outcome.waits}
    for number, kill in enumerate(outcome.kills, 1):
        print(
            f"worker {kill.worker} killed at {kill.processed:,} processed commands, "
            f"{kill.stored:,} stored, {kill.under_way} calls under way, {kill.moment}"
        )
        if number in waits:
            print(f"    {told(waits[number])}")
    for name, figure in outcome.counts.items():
        print(f"{name:32} {figure:10,}")
    for what in BOUNDS_S:
        longest = max((each.seconds for each in outcome.waits if each.what == what), default=0.0)
        print(f"at the longest, {what} after {longest:.1f} s (promised: {BOUNDS_S[what]:g} s)")
    print(f"{'seconds':32} {time.monotonic() - began:10.1f}")
    for line in outcome.wrong[:SHOWN]:
        print(f"VIOLATION {line}")
    print(f"{len(outcome.wrong):,} violations")
    sys.exit(1 if outcome.wrong else 0)


def told(wait: Wait) -> str:
    """A wait in words."""
    if wait.since_ready_s is None:
        return f"{wait.what} {wait.seconds:.1f} s after its death"
    return (
        f"{wait.what} {wait.seconds:.1f} s after its start, "
        f"{wait.since_ready_s:.1f} s after it was ready to join"
    )


if __name__ == "__main__":
    main()
