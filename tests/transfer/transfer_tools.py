"""What the tests of export and import share: a bank with a past, copies of it, a look at both."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from world import LOGS, World

from kstate import Rejected
from kstate.cli.main import kstate
from kstate.core.definition import after_snapshot
from kstate.core.topics import parse_event_key
from kstate.log.port import Log
from kstate.testing.broker import administrator
from kstate.transfer.exporting import Export, Exported
from kstate.transfer.importing import Import, Imported, checked
from kstate.wiring import open_log
from processors.bank import LARGE, Bank, Close, Deposit, Transfer, Withdraw

OTHER = {"embedded": "kafka", "kafka": "embedded"}
ACCOUNTS = [f"acct-{number}" for number in range(12)] + ["a@1", "a", "Zürich"]


class SmallBank(Bank):
    """A bank with snapshots early, whose past goes behind them."""

    name = "bank"
    snapshot_every = 5
    keep = after_snapshot(2)


class Copies:
    """A world to copy from, and those that it is copied to."""

    def __init__(self, source: World, request: pytest.FixtureRequest, directory: Path) -> None:
        self.source = source
        self.directory = directory / "archive"
        self._request = request
        self._base = directory
        self._made: list[World] = []

    def target(self, other: bool = True) -> World:
        """An empty world on the other kind of log, or the same."""
        kind = self._request.node.callspec.params["url"]
        there = self._base / f"target-{len(self._made)}"
        there.mkdir()
        made = World(LOGS[OTHER[kind] if other else kind](self._request, there), there)
        self._made.append(made)
        return made

    def exported(self, directory: Path | None = None, **options: Any) -> Exported:
        """Exports the bank of the source."""
        log = open_log(self.source.url)
        try:
            with export(log, self.source, directory or self.directory, **options) as made:
                return made.run()
        finally:
            log.close()

    def imported(self, target: World, partitions: int | None = None) -> Imported:
        """Imports the archive."""
        log = open_log(target.url)
        try:
            return import_(log, target, self.directory, partitions).run()
        finally:
            log.close()

    def close(self) -> None:
        for made in self._made:
            made.close()


def export(log: Log, source: World, directory: Path, **options: Any) -> Export:
    return Export(log, "bank", source.prefix, directory, **options)


def import_(log: Log, target: World, directory: Path, partitions: int | None = None) -> Import:
    return Import(log, directory, checked(directory), target.prefix, partitions)


def story(world: World, bank: Any, accounts: list[str] = ACCOUNTS) -> None:
    """A past with tags, transfers, fees, a deleted account, and many accounts with few events."""
    for account in accounts:
        world.call(bank, account, Deposit(100))
    for number in range(13):
        world.call(bank, accounts[0], Withdraw(1 + number % 3))
    world.call(bank, accounts[1], Deposit(LARGE))
    world.call(bank, accounts[1], Transfer(accounts[2], 40))
    world.call(bank, accounts[3], Withdraw(100))
    world.call(bank, accounts[3], Close())
    for _ in range(7):
        world.call(bank, accounts[4], Deposit(1))
    try:
        world.call(bank, accounts[5], Withdraw(1_000_000))
    except Rejected:
        logging.getLogger(__name__).debug("as it should be")
    world.settled(bank)


def states(world: World, bank: Any) -> dict[str, tuple[int, Any]]:
    """The accounts that exist, each with its seq and state, folded from the journal."""
    return {each: (seq, state) for each, seq, state in world.client.states(bank).final()}


def served(world: World, bank: Any, accounts: list[str] = ACCOUNTS) -> dict[str, Any]:
    """The states as the owner tells them."""
    return {each: world.state(bank, each) for each in accounts}


def seqs(world: World, bank: Any) -> dict[bytes, list[int]]:
    """The seqs of each persist id, in the order of the journal."""
    found: dict[bytes, list[int]] = {}
    for record in world.journal(bank):
        parsed = parse_event_key(record.key)
        assert parsed is not None
        if record.value is not None:
            found.setdefault(parsed[0], []).append(parsed[1])
    return found


def typed(world: World, *arguments: object) -> Result:
    """What a shell on the world's log gets."""
    environment = {"KSTATE_LOG": world.url, "KSTATE_PREFIX": world.prefix}
    return CliRunner().invoke(
        kstate, [str(each) for each in arguments], env=environment, prog_name="kstate"
    )


def forget_progress(world: World) -> None:
    """The offsets of the bank's group are gone, as after a week in which nobody was in it."""
    group = world.topics(Bank).group
    url = urlsplit(world.url)
    if url.scheme == "kafka":
        admin = administrator(url.netloc)
        admin.delete_consumer_groups([group])[group].result(30)
        return
    with closing(sqlite3.connect(url.path, timeout=10)) as connection, connection:
        assert connection.execute("DELETE FROM progress WHERE grp=?", [group]).rowcount
