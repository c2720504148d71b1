"""``kstate replay``: the journal as it is, what it folds to, and whether snapshots agree."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kstate.cli.options import (
    Time,
    code_of,
    common,
    connected,
    examples,
    json_flag,
    reference,
)
from kstate.cli.output import event_line, line
from kstate.cli.progress import Shown, progress
from kstate.cli.replay_avro import write_files
from kstate.cli.replay_forms import (
    COLUMNS,
    Steps,
    compared_line,
    compared_total,
    csv_event,
    csv_row,
    final_line,
)
from kstate.cli.replay_rebuild import rebuild_snapshots
from kstate.client import Client
from kstate.client_upkeep import REBUILD_TIMEOUT_S
from kstate.config import Config
from kstate.core.messages import Record
from kstate.errors import ConfigError, SnapshotsDiffer
from kstate.query.comparing import compare
from kstate.query.events import StoredEvent
from kstate.query.journal import Journal
from kstate.query.points import Point
from kstate.query.processors import ProcessorRef
from kstate.runtime.collector import relax_collector


@dataclass(frozen=True, slots=True)
class Range:
    """Which events are wanted; both ends belong to it."""

    from_seq: int
    to_seq: int | None
    from_offset: int
    to_offset: int | None
    since: datetime | None
    until: datetime | None

    @property
    def has_end(self) -> bool:
        return (self.to_seq, self.to_offset, self.until) != (None, None, None)

    @property
    def has_beginning(self) -> bool:
        return self.from_seq > 1 or self.from_offset > 0 or self.since is not None

    def holds(self, stored: StoredEvent) -> bool:
        """Whether an event lies in it."""
        return self._holds(stored.seq, stored.offset, stored.at)

    def holds_record(self, seq: int, record: Record) -> bool:
        """Whether a journal record lies in it."""
        at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return self._holds(seq, record.offset, at)

    def _holds(self, seq: int, offset: int, at: datetime) -> bool:
        return (
            seq >= self.from_seq
            and offset >= self.from_offset
            and (self.since is None or at >= self.since)
            and self._before_end(seq, offset, at)
        )

    def before_end(self, seq: int, record: Record) -> bool:
        """Whether a journal record lies before its end."""
        at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return self._before_end(seq, record.offset, at)

    def _before_end(self, seq: int, offset: int, at: datetime) -> bool:
        return (
            (self.to_seq is None or seq <= self.to_seq)
            and (self.to_offset is None or offset <= self.to_offset)
            and (self.until is None or at <= self.until)
        )


FORMS = {"as_jsons": "--json", "as_csv": "--csv", "avro": "--avro"}
TASKS = {"fold": "--state", "verify": "--verify", "rebuild": "--rebuild"}


@click.command(
    epilog=examples(
        "kstate replay bank --since 2026-03-01 --json > events.jsonl",
        "kstate replay bank acct-1 acct-2 --from-seq 10",
        "kstate replay processors.bank:Bank acct-1 --state",
        "kstate replay processors.bank:Bank --verify",
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--from-seq", type=click.IntRange(1), default=1, metavar="N", help="From this seq.")
@click.option("--to-seq", type=click.IntRange(1), metavar="N", help="Up to this seq.")
@click.option(
    "--from-offset",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="From this offset of each partition.",
)
@click.option(
    "--to-offset", type=click.IntRange(0), metavar="N", help="Up to this offset of each partition."
)
@click.option(
    "--since",
    type=Time(),
    metavar="TIME",
    help="From about this time: ISO 8601, UTC where it names no offset.",
)
@click.option("--until", type=Time(), metavar="TIME", help="Up to about this time.")
@json_flag("JSON lines")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a line of headings.")
@click.option(
    "--avro",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write Avro container files into a new directory, one for each schema.",
)
@click.option(
    "--state",
    "fold",
    is_flag=True,
    help="Fold: print the state after each event of the given ids, or the final states.",
)
@click.option(
    "--verify", is_flag=True, help="Compare the snapshots that are there with their events."
)
@click.option(
    "--rebuild", is_flag=True, help="Write new snapshots from the events, after folds changed."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=REBUILD_TIMEOUT_S,
    show_default=True,
    metavar="S",
    help="How many seconds to wait for the owners, with --rebuild.",
)
def replay(
    config: Config,
    target: str,
    ids: tuple[str, ...],
    as_jsons: bool,
    as_csv: bool,
    avro: Path | None,
    fold: bool,
    verify: bool,
    rebuild: bool,
    timeout: float,
    **bounds: Any,
) -> None:
    """Read the journal, fold it, or repair its snapshots.

    Prints the events of the given ids, or all, within the bounds. With --state the events are
    folded from the first one on: given ids are shown with the state after each of their events and
    what it has changed, and without ids every entity is shown with its final state, as of --to-seq,
    --to-offset or --until. --verify tells of each snapshot that is not what its events make, and
    --rebuild has the owners write new ones, of all entities: it takes no ids. These three need the
    processor's code: TARGET is then module:Class, or a name listed under processors in kstate.toml.
    """
    wanted = Range(**bounds)
    forms = {"as_jsons": as_jsons, "as_csv": as_csv, "avro": avro is not None}
    tasks = {"fold": fold, "verify": verify, "rebuild": rebuild}
    _check(wanted, bool(ids), _named(forms, FORMS), _named(tasks, TASKS))
    if rebuild:
        rebuild_snapshots(config, code_of(target, config), timeout, as_jsons)
        return
    processor = code_of(target, config) if any(tasks.values()) else reference(target, config)
    relax_collector()
    with connected(config) as client:
        journal = client.journal(processor)
        total = sum(map(journal.size, ids)) if ids else journal.size()
        quiet = verify or avro is not None or (fold and not ids)
        with progress("journal records", total, pauses=quiet) as shown:
            journal.watch = shown.advance
            if verify:
                _verify(client, journal, processor, ids, as_jsons, shown)
            elif avro is not None:
                write_files(config, client, processor, journal, ids, avro, wanted.holds_record)
            elif fold:
                _print(_states(client, processor, ids, wanted, as_jsons, shown), shown)
            else:
                _print(_events(journal, ids, wanted, as_jsons, as_csv), shown)


def _named(given: dict[str, bool], options: dict[str, str]) -> list[str]:
    return [options[name] for name, value in given.items() if value]


def _check(wanted: Range, ids: bool, forms: list[str], tasks: list[str]) -> None:
    """Raises for options that do not go together."""
    if len(forms) > 1 or len(tasks) > 1:
        raise click.UsageError(f"give one of {' and '.join(forms if len(forms) > 1 else tasks)}")
    for form in forms:
        if tasks and form != "--json":
            raise click.UsageError(f"{tasks[0]} takes no {form}")
    if "--state" in tasks:
        if not ids and wanted.has_beginning:
            raise click.UsageError(
                "final states are folded from the first event on: "
                "give ids, or leave out --from-seq, --from-offset and --since"
            )
    elif tasks and (wanted.has_beginning or wanted.has_end):
        raise click.UsageError(f"{tasks[0]} takes no bounds: it looks at whole entities")
    if "--rebuild" in tasks and ids:
        raise click.UsageError("--rebuild takes no ids: whole partitions are recovered anew")


def _print(texts: Iterator[str], shown: Shown) -> None:
    at_once = sys.stdout.isatty()
    for text in texts:
        shown.clear()
        line(text, at_once)


def _events(
    journal: Journal, ids: tuple[str, ...], wanted: Range, as_jsons: bool, as_csv: bool
) -> Iterator[str]:
    found: Iterator[StoredEvent]
    if ids:
        found = (stored for each in ids for stored in journal.by_id(each, to_seq=wanted.to_seq))
    else:
        found = journal.all(from_offset=wanted.from_offset, since=wanted.since)
    if as_csv:
        yield csv_row(COLUMNS)
    for stored in found:
        if wanted.holds(stored):
            yield csv_event(stored) if as_csv else event_line(stored, as_jsons)


def _states(
    client: Client,
    processor: ProcessorRef,
    ids: tuple[str, ...],
    wanted: Range,
    as_jsons: bool,
    shown: Shown,
) -> Iterator[str]:
    states = client.states(processor)
    states.tell(shown.advance)
    machine = client.machine(processor)
    end = None if wanted.to_seq is None else Point(seq=wanted.to_seq)
    for persist_id in ids:
        steps = Steps(as_jsons, machine.init(persist_id))
        for stored, state in states.steps(persist_id, end=end):
            text = steps.line(stored, state)
            if wanted.holds(stored):
                yield text
    if not ids:
        for persist_id, seq, state in states.final(wanted.before_end):
            yield final_line(persist_id, seq, state, as_jsons)


def _verify(
    client: Client,
    journal: Journal,
    processor: ProcessorRef,
    ids: tuple[str, ...],
    as_jsons: bool,
    shown: Shown,
) -> None:
    """Raises `SnapshotsDiffer` when a snapshot is not what its events make, or cannot be compared;
    else `ConfigError` for an id that does not exist."""
    counts: Counter[str] = Counter()
    parted: set[str] = set()
    wrong: set[str] = set()
    absent: list[str] = []
    for compared in compare(journal, client.machine(processor), frozenset(ids)):
        counts[compared.verdict] += 1
        persist_id = compared.persist_id
        if compared.verdict == "absent":
            absent.append(persist_id)
        elif compared.bad:
            wrong.add(persist_id)
        if not compared.bad or persist_id in parted:
            continue
        if compared.verdict == "differs":
            parted.add(persist_id)  # later ones differ because this one does
        shown.clear()
        line(compared_line(compared, as_jsons), at_once=True)
    shown.clear()
    if wrong:
        raise SnapshotsDiffer(len(wrong))
    if absent:
        names = ", ".join(map(repr, absent))
        raise ConfigError(f"{journal.topics.group} has no event and no snapshot of {names}")
    if not as_jsons:
        line(compared_total(counts["equal"], counts["trusted"], counts["version"]))
