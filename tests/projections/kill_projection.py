"""Kills processes of a projection at random moments, then holds its rows against the journal.

    python tests/projections/kill_projection.py --kills 50 --database sqlite
    python tests/projections/kill_projection.py --kills 50 --database postgresql --log kafka

A bank's journal is written first.  Then processes of the projection `Balances`, who share the
partitions or stand by, read it in small batches; one after the other is killed with SIGKILL while
it is at work, and started again.  At the end each row must be what a fold of the journal makes of
its account, to the last column.  Ends with 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import DBAPIError

import kstate
from kstate.config import Config
from kstate.core.messages import Deleted
from kstate.core.topics import Topics
from kstate.projection.ledger import OFFSETS
from kstate.runtime.host import Host
from kstate.testing.broker import NoBroker, broker
from kstate.testing.postgres_local import NoPostgres, fresh_database, postgres
from kstate.wiring import build_workers, open_log
from processors.balances import Balances, balances
from processors.bank import Bank, Close, Deposit, Deposited, Transfer, Withdraw

ACCOUNTS = 60
PARTITIONS = 4
PATIENCE_S = 60.0
LOOK_S = 0.001
BATCH = 25


class Row(NamedTuple):
    """What stands in the table, and what a fold makes."""

    balance: int
    movements: int
    changed_at: datetime


@dataclass
class Outcome:
    """What came of a run."""

    kills: int = 0
    events: int = 0
    at_work: int = 0  # kills that came before the end of the journal
    wrong: list[str] = field(default_factory=list)


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--commands", type=int, default=0, help="600 per kill by default")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--log", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> Outcome:
    """One run, in a temporary directory."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kstate-kills-")))
        log = f"sqlite:{directory}/log.db?sync=normal"
        if options.log == "kafka":
            log = f"kafka://{stack.enter_context(broker())}"
        database = f"sqlite:///{directory}/rows.db"
        if options.database == "postgresql":
            database = stack.enter_context(fresh_database(stack.enter_context(postgres())))
        prefix = f"kills{os.getpid()}-"
        random_ = random.Random(options.seed)
        write_journal(log, prefix, directory, options.commands or 600 * options.kills, random_)
        outcome = Outcome()
        site = Place(log, prefix, database, directory)
        try:
            kill(site, options.kills, options.processes, random_, outcome)
            with kstate.connect(log, prefix=prefix) as client:
                expected = folded(client, outcome)
            compare(expected, site.rows(), outcome)
        finally:
            site.close()
        return outcome


# -- the journal ---------------------------------------------------------------------------------


def write_journal(log: str, prefix: str, data: Path, commands: int, random_: random.Random) -> None:
    """Has the bank process so many commands."""
    opened = open_log(log)
    config = Config(log=log, prefix=prefix, data=data / "bank", partitions=PARTITIONS)
    host = Host(build_workers(config, opened, [Bank]))
    topics = Topics.of(Bank.name, prefix)
    with kstate.connect(log, prefix=prefix) as client:
        working = threading.Thread(target=host.run)
        working.start()
        try:
            for _ in range(commands):
                client.cast(Bank, f"acct-{random_.randrange(ACCOUNTS)}", command(random_))
            client.flush(PATIENCE_S)

            def done() -> bool:
                ends = opened.ends(topics.commands)
                progress = opened.progress(topics.group, topics.commands)
                return all(p in progress and progress[p].offset >= e.end for p, e in ends.items())

            until(done, "the commands were processed")
        finally:
            host.stop()
            working.join()
            opened.close()


def command(random_: random.Random) -> kstate.Command[int] | kstate.Command[None]:
    """Anything that one does to an account; some are refused."""
    amount = random_.randrange(1, 20_000)
    kind = random_.random()
    if kind < 0.5:
        return Deposit(amount)
    if kind < 0.8:
        return Withdraw(amount)
    if kind < 0.97:
        return Transfer(f"acct-{random_.randrange(ACCOUNTS)}", amount)
    return Close()


def folded(client: kstate.Client, outcome: Outcome) -> dict[str, Row]:
    """The rows that the journal makes."""
    rows: dict[str, Row] = {}
    for stored in client.events.all(Bank):
        outcome.events += 1
        event = stored.event
        if isinstance(event, Deleted):
            rows.pop(stored.persist_id, None)
            continue
        if not hasattr(event, "amount"):
            continue
        amount = event.amount if isinstance(event, Deposited) else -event.amount
        before = rows.get(stored.persist_id, Row(0, 0, stored.at))
        rows[stored.persist_id] = Row(before.balance + amount, before.movements + 1, stored.at)
    return rows


# -- the projection ------------------------------------------------------------------------------


class Place:
    """The projection's processes and its database."""

    def __init__(self, log: str, prefix: str, database: str, directory: Path) -> None:
        self.log = open_log(log)
        self.topics = Topics.of(Bank.name, prefix)
        self._engine = create_engine(database)
        self._directory = directory
        self._command = [
            sys.executable, "-m", "kstate.cli.main", "projection", "run",
            "processors.balances:Balances", "--log", log, "--prefix", prefix,
            "--database", database, "--data", str(directory / "projection"),
            "--batch-records", str(BATCH), "--log-level", "WARNING",
        ]  # fmt: skip

    def start(self) -> subprocess.Popen[bytes]:
        """Starts a process."""
        path = str(Path(__file__).parents[2])
        with (self._directory / "output").open("ab") as output:
            return subprocess.Popen(
                self._command, env={**os.environ, "PYTHONPATH": path}, stderr=output
            )

    def said(self) -> str:
        """What the processes told."""
        return (self._directory / "output").read_text()[-2_000:]

    def seen(self) -> int:
        """How many offsets the database is past, in all partitions."""
        query = select(func.sum(OFFSETS.c.next_offset)).where(OFFSETS.c.name == Balances.name)
        try:
            with self._engine.connect() as connection:
                return int(connection.scalar(query) or 0)
        except DBAPIError:
            return 0  # the first process has not made the tables yet

    def end(self) -> int:
        """How many there are."""
        return sum(each.end for each in self.log.ends(self.topics.journal).values())

    def rows(self) -> dict[str, Row]:
        """The table."""
        with self._engine.connect() as connection:
            found = connection.execute(select(balances)).all()
        return {name: Row(balance, count, _utc(at)) for name, balance, count, at in found}

    def close(self) -> None:
        self._engine.dispose()
        self.log.close()


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@contextmanager
def processes(place: Place, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes, ended with the block."""
    running = [place.start() for _ in range(count)]
    try:
        yield running
    finally:
        for each in running:
            each.kill()
            each.wait()


def kill(place: Place, kills: int, count: int, random_: random.Random, outcome: Outcome) -> None:
    """Kills whenever some more of the journal was seen; at last lets it be seen to the end."""
    end = place.end()
    targets = sorted(random_.sample(range(1, max(end - 200, kills + 1)), kills))
    with processes(place, count) as running:

        def alive() -> None:
            for each in running:
                code = each.poll()
                assert code is None, f"a process ended with {code}: {place.said()}"

        for target in targets:

            def reached(target: int = target) -> bool:
                alive()
                return place.seen() >= target

            until(reached, f"{target} of {end} offsets were seen; {place.said()}")
            time.sleep(random_.random() * 0.01)  # anywhere in a batch
            victim = random_.randrange(count)
            running[victim].send_signal(signal.SIGKILL)
            running[victim].wait()
            outcome.kills += 1
            outcome.at_work += place.seen() < end
            running[victim] = place.start()

        def done() -> bool:
            alive()
            return place.seen() >= end

        until(done, f"all {end} offsets were seen; {place.said()}")


def compare(expected: dict[str, Row], found: dict[str, Row], outcome: Outcome) -> None:
    """Notes each row that is not what the journal makes."""
    for account in sorted(expected.keys() | found.keys()):
        is_, should = found.get(account), expected.get(account)
        if is_ != should:
            outcome.wrong.append(f"{account} is {is_}, should be {should}")


def until(condition: object, what: str) -> None:
    """Waits until the condition holds."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(LOOK_S)


def main() -> int:
    """The exit code."""
    options = options_of()
    began = time.monotonic()
    try:
        outcome = run(options)
    except (NoBroker, NoPostgres) as error:
        print(error, file=sys.stderr)
        return 1
    for each in outcome.wrong[:20]:
        print(each)
    print(
        f"{options.database} on {options.log}: {outcome.kills} kills, {outcome.at_work} of them at "
        f"work, {outcome.events} events, {len(outcome.wrong)} rows wrong, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if outcome.wrong or outcome.at_work < outcome.kills // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
