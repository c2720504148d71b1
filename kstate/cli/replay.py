"""``kstate replay``: the journal as it is, and what it folds to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from kstate.cli.options import code_of, common, connected, examples, json_flag, reference
from kstate.cli.output import as_json, event_fields, event_line, line, plain
from kstate.cli.progress import progress
from kstate.config import Config
from kstate.core.context import Machine
from kstate.core.messages import Record
from kstate.query.events import StoredEvent
from kstate.query.journal import Journal


class Time(click.ParamType):  # type: ignore[type-arg]
    """ISO 8601; UTC where no offset is given."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write it like 2026-03-01T12:00:00Z", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


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
    def has_beginning(self) -> bool:
        return self.from_seq > 1 or self.from_offset > 0 or self.since is not None

    def holds(self, stored: StoredEvent) -> bool:
        """Whether an event lies in it."""
        return (
            stored.seq >= self.from_seq
            and stored.offset >= self.from_offset
            and (self.since is None or stored.at >= self.since)
            and self._before_end(stored.seq, stored.offset, stored.at)
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


@click.command(
    epilog=examples(
        "kstate replay bank --since 2026-03-01 --json > events.jsonl",
        "kstate replay bank acct-1 acct-2 --from-seq 10",
        "kstate replay processors.bank:Bank acct-1 --state",
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
@click.option(
    "--state",
    "fold",
    is_flag=True,
    help="Fold: print the state after each event of the given ids, or the final states.",
)
@json_flag("JSON lines")
def replay(
    config: Config,
    target: str,
    ids: tuple[str, ...],
    fold: bool,
    as_jsons: bool,
    **bounds: Any,
) -> None:
    """Read the journal from a point on, or fold it.

    Prints the events of the given ids, or all, within the bounds. With --state the events are
    folded from the first one on: given ids are shown with the state after each of their events,
    and without ids every entity is shown with its final state, as of --to-seq, --to-offset or
    --until. That needs the processor's code: TARGET is then module:Class, or a name listed under
    processors in kstate.toml.
    """
    wanted = Range(**bounds)
    if fold and not ids and wanted.has_beginning:
        raise click.UsageError(
            "final states are folded from the first event on: "
            "give ids, or leave out --from-seq, --from-offset and --since"
        )
    processor = code_of(target, config) if fold else reference(target, config)
    with connected(config) as client:
        journal = client.journal(processor)
        total = sum(map(journal.size, ids)) if ids else journal.size()
        with progress("journal records", total, pauses=fold and not ids) as shown:
            journal.watch = shown.advance
            at_once = sys.stdout.isatty()
            if fold:
                found = _states(journal, client.machine(processor), ids, wanted, as_jsons)
            else:
                found = _events(journal, ids, wanted, as_jsons)
            for text in found:
                shown.clear()
                line(text, at_once)


def _events(journal: Journal, ids: tuple[str, ...], wanted: Range, as_jsons: bool) -> Iterator[str]:
    found: Iterator[StoredEvent]
    if ids:
        found = (stored for each in ids for stored in journal.by_id(each, to_seq=wanted.to_seq))
    else:
        found = journal.all(from_offset=wanted.from_offset, since=wanted.since)
    return (event_line(stored, as_jsons) for stored in found if wanted.holds(stored))


def _states(
    journal: Journal, machine: Machine, ids: tuple[str, ...], wanted: Range, as_jsons: bool
) -> Iterator[str]:
    for persist_id in ids:
        for stored, state in journal.states(machine, persist_id, wanted.to_seq):
            if wanted.holds(stored):
                yield _step(stored, state, as_jsons)
    if not ids:
        for persist_id, seq, state in journal.final_states(machine, wanted.before_end):
            yield _final(persist_id, seq, state, as_jsons)


def _step(stored: StoredEvent, state: Any, as_jsons: bool) -> str:
    if as_jsons:
        return as_json({**event_fields(stored), "state": state})
    return f"{event_line(stored, False)}\n    → {plain(state)}"


def _final(persist_id: str, seq: int, state: Any, as_jsons: bool) -> str:
    if as_jsons:
        return as_json({"persist_id": persist_id, "seq": seq, "state": state})
    return f"{persist_id}@{seq}  {plain(state)}"
