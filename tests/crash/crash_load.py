"""What is sent: a plan drawn from a seed, and threads that send it and keep what they are told."""

from __future__ import annotations

import math
import random
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from crash_model import Reply

from kstate import CallTimeout, Client, Command, CommandFailed, Rejected
from kstate.client import Call
from kstate.errors import LogUnavailable
from processors.bank import Bank, Deposit, Transfer, Withdraw

T = TypeVar("T")

THREADS = 4
MOST_CALLS = 100  # of one thread, under way at once
NEAR = 16
"""A call is repeated while at most so many others were sent for each account: an account remembers
64 command ids, those of the transfers to it among them."""
TIMEOUT_S = 30.0
TIMES = 5  # a call is repeated when it times out


class Planned(NamedTuple):
    """One command to send."""

    command_id: str
    account: str
    command: Command[Any]
    call: bool
    repeat: bool  # send it once more under the same command id


class Waiting(NamedTuple):
    """A call under way."""

    planned: Planned
    call: Call
    sent: int  # commands of the plan, this one among them


def plan(count: int, accounts: int, seed: int) -> list[Planned]:
    """``count`` commands for ``accounts`` accounts; the same seed, the same plan."""
    chance = random.Random(seed)
    names = [f"acct-{number}" for number in range(accounts)]
    return [
        Planned(
            f"{seed}-{number}",
            chance.choice(names),
            _draw(chance, names),
            call=chance.random() < 0.5,
            repeat=chance.random() < 0.05,
        )
        for number in range(count)
    ]


def _draw(chance: random.Random, names: Sequence[str]) -> Command[Any]:
    amount = chance.randint(1, 100)
    what = chance.random()
    if what < 0.45:
        return Deposit(amount)
    if what < 0.70:
        return Withdraw(amount)
    if what < 0.95:
        return Transfer(chance.choice(names), amount)  # sometimes to the account itself
    return Deposit(-amount)


class Load:
    """Sends a plan for ``accounts`` accounts from several threads."""

    def __init__(self, client: Client, planned: Sequence[Planned], accounts: int) -> None:
        self.acknowledged: dict[str, list[Reply]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.under_way = 0  # calls that wait for their reply
        self._client = client
        self._most_calls = min(MOST_CALLS, accounts)
        self._near = NEAR * accounts
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._sent = 0
        self._most: float = math.inf
        self._may_send = threading.Condition(self._lock)
        self._threads = [
            threading.Thread(target=self._run, args=(planned[number::THREADS],))
            for number in range(THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def sending(self) -> bool:
        """Whether anything is left to send or to wait for; raises what a thread failed with."""
        if self._failure is not None:
            raise self._failure
        return any(thread.is_alive() for thread in self._threads)

    def limit(self, most: float = math.inf) -> None:
        """Lets the threads send so many commands of the plan and then wait; by default all."""
        with self._may_send:
            self._most = most
            self._may_send.notify_all()

    def join(self) -> None:
        """Waits for the threads."""
        for thread in self._threads:
            thread.join()

    def _run(self, planned: Sequence[Planned]) -> None:
        try:
            self._send_all(planned)
        except BaseException as error:  # noqa: BLE001 - raised again by `sending`
            self._failure = error

    def _send_all(self, planned: Sequence[Planned]) -> None:
        waiting: deque[Waiting] = deque()
        for each in planned:
            with self._may_send:
                self._may_send.wait_for(lambda: self._sent < self._most)
                self._sent += 1
                sent = self._sent
            if not each.call:
                for _ in range(1 + each.repeat):
                    self._client.cast(Bank, each.account, each.command, command_id=each.command_id)
                    self._count("casts")
                continue
            waiting.append(Waiting(each, self._begin(each), sent))
            if len(waiting) >= self._most_calls:
                self._settle(waiting, self._most_calls // 2)
        self._persist(self._client.flush)
        while waiting:
            self._settle(waiting, len(waiting))

    def _begin(self, each: Planned) -> Call:
        call = self._send(each)
        self._count("calls", under_way=1)
        return call

    def _send(self, each: Planned) -> Call:
        return self._persist(
            lambda: self._client.begin(Bank, each.account, each.command, each.command_id)
        )

    def _persist(self, send: Callable[[], T]) -> T:
        """Sends again what was not stored while the log was away, under the same command id."""
        for _ in range(TIMES):
            try:
                return send()
            except (LogUnavailable, CallTimeout):
                self._count("sent again")
        return send()

    def _settle(self, waiting: deque[Waiting], count: int) -> None:
        """Waits for the oldest calls; those that are to be repeated go to the end of the queue."""
        for _ in range(count):
            each, call, sent = waiting.popleft()
            reply = self._wait(each, call)
            with self._lock:
                self.acknowledged[each.command_id].append(reply)
                self.under_way -= 1
                near = self._sent - sent <= self._near
            if each.repeat and near:
                again = each._replace(repeat=False)
                waiting.append(Waiting(again, self._begin(again), sent))

    def _wait(self, each: Planned, call: Call) -> Reply:
        for _ in range(TIMES):
            try:
                return Reply("ok", self._client.wait(Bank, call, TIMEOUT_S), 0)
            except Rejected as no:
                return Reply("rejected", no.code, 0)
            except CommandFailed as error:
                return Reply("error", str(error), 0)
            except CallTimeout:
                self._count("calls repeated after a timeout")
                call = self._send(each)
        raise CallTimeout(each.command_id, TIMES * TIMEOUT_S)

    def _count(self, what: str, under_way: int = 0) -> None:
        with self._lock:
            self.counts[what] += 1
            self.under_way += under_way


class KillPoint(NamedTuple):
    """When to kill, and what then."""

    processed: int  # commands, at least
    early: bool  # kill the worker that just began, before it does anything
    stays_away: bool  # it is started again only when others do its work


def kill_points(count: int, kills: int, seed: int, stays_away: int = 0) -> list[KillPoint]:
    """When to kill in a run of ``count`` commands; ``stays_away`` of the workers do not come back.

    The points are spread over the run, so that some are close together.
    """
    chance = random.Random(f"kills-{seed}")
    points = sorted(chance.sample(range(1, int(count * 0.9)), kills))
    early = [chance.random() < 0.25 for _ in points]
    late = [number for number in range(kills) if not early[number]]
    away = set(chance.sample(late, min(stays_away, len(late))))
    return [
        # nobody has just begun where one stayed away
        KillPoint(point, early[number] and number - 1 not in away, number in away)
        for number, point in enumerate(points)
    ]
