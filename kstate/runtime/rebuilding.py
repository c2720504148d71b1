"""New snapshots for a processor that no worker runs: from a seat of its own in the group.

The seat is the fence: whoever takes the partitions over meanwhile ends it, and what was not
committed by then is not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kstate.core.rebuilt import Rebuilt
from kstate.errors import JournalError, LogError
from kstate.log.port import Committed, Member
from kstate.runtime.partitions import Partitions
from kstate.runtime.worker import Worker

SEAT_S = 60.0
"""How long partitions may take to come to a group's only member."""
WAIT_S = 0.5
SLICE_S = 0.5

Watch = Callable[[int, int], object]
"""Gets the partitions that are done, and how many there are."""


def rebuild_alone(worker: Worker, watch: Watch | None = None) -> int:
    """Folds the states of all partitions anew and writes their snapshots; how many.

    Uses the place, seat and stores of a ``worker`` that was not run and cannot be run any more.
    Raises `LogError` when not all partitions come to it or one is taken away, and `JournalError`
    when a journal cannot be folded; the snapshots of that partition are then what they were.
    """
    try:
        member = worker.join()
        try:
            return _Rebuilding(member, worker.name, worker.partitions).run(watch)
        finally:
            worker.partitions.close()
            member.close()
    finally:
        worker.give_up()


class _Rebuilding:
    def __init__(self, member: Member, name: str, partitions: Partitions) -> None:
        self._member = member
        self._name = name
        self._partitions = partitions
        self._done: dict[int, Rebuilt] = {}

    def run(self, watch: Watch | None) -> int:
        partitions, count = self._partitions, self._partitions.count
        seat_by = time.monotonic() + SEAT_S
        while len(self._done) < count:
            self._take_part()
            if len(partitions) < count and time.monotonic() > seat_by:
                raise LogError(
                    f"the partitions of {self._name} did not come within {SEAT_S:.0f} s: another "
                    "worker has them; ask it instead, or stop it"
                )
            partitions.recover(time.monotonic() + SLICE_S)
            self._note()
            if watch is not None:
                watch(len(self._done), count)
        return sum(each.snapshots for each in self._done.values())

    def _take_part(self) -> None:
        polled = self._member.poll(1, 0.0 if self._partitions.recovering else WAIT_S)
        if polled.revoked:
            lost = ", ".join(str(each.partition) for each in polled.revoked)
            raise LogError(
                f"a worker of {self._name} took the partitions {lost} over while their snapshots "
                "were made anew: ask it to do that instead, or stop it"
            )
        for assignment in polled.assigned:
            self._partitions.take(assignment, self._member, effort="anew")

    def _note(self) -> None:
        """Commits where each partition that is done stands by now: its low-water mark above all."""
        for number, shard in self._partitions.shards():
            if number in self._done:
                continue
            if shard.rebuilt.fault:
                raise JournalError(shard.rebuilt.fault)
            progress = shard.progress()
            metadata = progress.metadata(self._member.instance)
            note = self._partitions.checkpoints.note(number, progress, int(time.time() * 1000))
            self._member.commit([note], {number: Committed(progress.offset, metadata)})
            self._done[number] = shard.rebuilt
