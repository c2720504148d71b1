"""A group of a simulated log, as its coordinator sees it: generations, seats, sessions, progress.

Membership is static: an instance that comes back within its session finds its partitions without
a new generation.  Assignment is cooperative: a partition that moves is free only once its holder
has been told; then comes another generation.  Whoever commits is asked for its member id and its
generation, never whether it holds the partition.
"""

from __future__ import annotations

from typing import Protocol

from kstate.log.port import Committed
from kstate.testing.simulated_records import Transaction

NO_GENERATION = -1


class Life(Protocol):
    """One process, from its start to its death."""

    dead: bool
    silent: bool  # stopped, or cut off: it sends no heartbeats


class Seat:
    """One tenure of an instance in the group."""

    def __init__(self, instance: str, life: Life, number: int, now_s: float) -> None:
        self.instance = instance
        self.life = life
        self.number = number  # the member id
        self.generation = NO_GENERATION  # the newest one it knows
        self.held: set[int] = set()
        self.untold: set[int] = set()  # taken over from an earlier life: the new one has to hear it
        self.beat_s = now_s
        self.polled_s = now_s


class Group:
    """One consumer group on one topic."""

    def __init__(self, partitions: int, session_s: float, poll_interval_s: float) -> None:
        self.generation = 0
        self.seats: dict[str, Seat] = {}
        self.offsets: dict[int, Committed] = {}
        self.pending: dict[int, list[Transaction]] = {}
        self._partitions = partitions
        self._session_s = session_s
        self._poll_interval_s = poll_interval_s
        self._target: dict[int, str] = {}
        self._numbers = 0

    # -- seats -------------------------------------------------------------------------------

    def join(self, instance: str, life: Life, now_s: float) -> Seat:
        """A seat for this life; an earlier life of the instance is out from now on."""
        self._numbers += 1
        seat = Seat(instance, life, self._numbers, now_s)
        before = self.seats.get(instance)
        self.seats[instance] = seat
        if before is None:
            self.rebalance()
        else:
            seat.held, before.held = before.held, set()
            seat.untold = set(seat.held)
        return seat

    def leave(self, seat: Seat) -> None:
        """The seat is given up; without effect when it is lost already."""
        if self.seats.get(seat.instance) is seat:
            del self.seats[seat.instance]
            self.rebalance()

    def expire(self, now_s: float) -> int:
        """Ends the sessions that are over; how many."""
        gone = []
        for seat in self.seats.values():
            if not (seat.life.dead or seat.life.silent):
                seat.beat_s = now_s
            if (
                now_s - seat.beat_s > self._session_s
                or now_s - seat.polled_s > self._poll_interval_s
            ):
                gone.append(seat)
        for seat in gone:
            self.leave(seat)
        return len(gone)

    def rebalance(self, shift: int = 0) -> None:
        """A new generation.  Holders keep their fair share; ``shift`` moves partitions about."""
        self.generation += 1
        seats = list(self.seats.values())
        self._target = {}
        if not seats:
            return
        if shift:
            for number in range(self._partitions):
                self._target[number] = seats[(number + shift) % len(seats)].instance
            return
        base, extra = divmod(self._partitions, len(seats))
        seats.sort(key=lambda seat: -len(seat.held))
        quotas = {seat.instance: base + (index < extra) for index, seat in enumerate(seats)}
        for seat in seats:
            for number in sorted(seat.held)[: quotas[seat.instance]]:
                self._target[number] = seat.instance
                quotas[seat.instance] -= 1
        for number in range(self._partitions):
            if number not in self._target:
                instance = next(name for name, left in quotas.items() if left > 0)
                self._target[number] = instance
                quotas[instance] -= 1

    def sync(self, seat: Seat, now_s: float) -> tuple[list[int], list[int]]:
        """The seat learns the newest generation; the partitions it loses and those it gets."""
        seat.polled_s = now_s
        told, seat.untold = seat.untold, set()
        if seat.generation == self.generation and not told:
            return [], []
        seat.generation = self.generation
        mine = {number for number, name in self._target.items() if name == seat.instance}
        revoked = sorted(seat.held - mine)
        seat.held.difference_update(revoked)
        others = {n for each in self.seats.values() if each is not seat for n in each.held}
        gained = mine - seat.held - others
        seat.held |= gained
        assigned = sorted(gained | (told & seat.held))
        if revoked:
            self.rebalance()  # they are free now
        # an earlier life's partition that goes at once was never told to this one
        return [number for number in revoked if number not in told], assigned

    def owners(self) -> dict[int, str]:
        """Per partition, the instance that holds it."""
        return {n: seat.instance for seat in self.seats.values() for n in sorted(seat.held)}

    # -- progress ----------------------------------------------------------------------------

    def accepts(self, instance: str, number: int, generation: int) -> bool:
        """Whether the coordinator takes a commit: it knows members and generations only, and takes
        generation −1 for a consumer outside the group."""
        if generation == NO_GENERATION:
            return True
        seat = self.seats.get(instance)
        return seat is not None and seat.number == number and generation == self.generation

    def hold_back(self, transaction: Transaction, partition: int) -> None:
        """An open transaction has progress for the partition: nobody reads it meanwhile."""
        waiting = self.pending.setdefault(partition, [])
        if transaction not in waiting:
            waiting.append(transaction)

    def settle(self, transaction: Transaction, name: str) -> None:
        """The end of a transaction: its progress counts or is forgotten."""
        for (group, partition), done in transaction.offsets.items():
            if group == name and transaction in self.pending.get(partition, ()):
                self.pending[partition].remove(transaction)
                if transaction.committed:
                    self.offsets[partition] = done
