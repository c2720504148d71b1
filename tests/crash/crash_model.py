"""The bank once more, as plain dicts: what must come of commands in the order of the log.

Written from the description of the bank and of kstate's rules, without the code of either.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

WINDOW_IDS = 64  # command ids that an account remembers
FEE_EVERY = 10  # withdrawals
FEE = 1


class CommandRecord(NamedTuple):
    """A command as it stands in the log."""

    partition: int
    offset: int
    account: str
    command_id: str
    kind: str
    fields: Mapping[str, Any]
    asks: bool  # whether it asks for a reply


class Reply(NamedTuple):
    """A reply: ``value`` is the balance, or the code of a refusal."""

    status: str
    value: int | str | None
    seq: int


class EventRecord(NamedTuple):
    """An event, wherever it stands; of its place only the command's is known beforehand."""

    account: str
    seq: int
    kind: str
    amount: int
    to: str | None
    command_id: str
    source: str  # partition:offset of the command


class State(NamedTuple):
    """An account's state."""

    balance: int = 0
    withdrawals: int = 0


class Account:
    """One account of the model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[EventRecord] = []
        self.states = [State()]  # by seq
        self.window: dict[str, Reply] = {}  # oldest first

    @property
    def state(self) -> State:
        return self.states[-1]

    def remember(self, command_id: str, reply: Reply) -> None:
        self.window.pop(command_id, None)
        self.window[command_id] = reply
        while len(self.window) > WINDOW_IDS:
            del self.window[next(iter(self.window))]


class Model:
    """All accounts, the replies that must have been given, and the money sent between accounts."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.replies: dict[str, list[Reply]] = defaultdict(list)  # by command id
        self.sent: Counter[tuple[str, int]] = Counter()  # (to, amount) of executed transfers
        self.counts: Counter[str] = Counter()

    def run_all(self, commands: Iterable[CommandRecord]) -> None:
        """Runs commands, which must come in the order of their partition."""
        for each in commands:
            self.run(each)

    def run(self, command: CommandRecord) -> None:
        """Runs one command."""
        account = self.accounts.setdefault(command.account, Account(command.account))
        reply = account.window.get(command.command_id)
        if reply is not None:
            self.counts["answered again"] += 1
        else:
            reply = self._execute(account, command)
        if command.asks:
            self.replies[command.command_id].append(reply)

    def _execute(self, account: Account, command: CommandRecord) -> Reply:
        refusal = _refusal(account, command)
        if refusal is not None:
            self.counts["rejected"] += 1
            return Reply("rejected", refusal, len(account.events))
        self.counts["executed"] += 1
        amount = command.fields["amount"]
        if command.kind == "Deposit":
            _persist(account, command, "Deposited", amount)
            balance = account.state.balance
        else:
            to = command.fields.get("to")
            _persist(account, command, "Withdrawn", amount, to)
            balance = account.state.balance  # the reply is made before the fee is taken
            if to is not None:
                self.sent[to, amount] += 1
            if account.state.withdrawals % FEE_EVERY == 0 and balance >= FEE:
                _persist(account, command, "FeeCharged", FEE)
        reply = Reply("ok", balance, len(account.events))
        account.remember(command.command_id, reply)
        return reply


def _refusal(account: Account, command: CommandRecord) -> str | None:
    if command.fields["amount"] <= 0:
        return "amount"
    if command.kind == "Deposit":
        return None
    if command.fields.get("to") == account.name:
        return "same-account"
    return "funds" if command.fields["amount"] > account.state.balance else None


def _persist(
    account: Account, command: CommandRecord, kind: str, amount: int, to: str | None = None
) -> None:
    source = f"{command.partition}:{command.offset}"
    seq = len(account.events) + 1
    account.events.append(
        EventRecord(account.name, seq, kind, amount, to, command.command_id, source)
    )
    account.states.append(next_state(account.state, kind, amount))


def next_state(state: State, kind: str, amount: int) -> State:
    """The state after an event."""
    if kind == "Deposited":
        return State(state.balance + amount, state.withdrawals)
    return State(state.balance - amount, state.withdrawals + (kind == "Withdrawn"))
