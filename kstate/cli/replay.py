"""``kstate replay``: the journal as it is, and what it folds to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kstate.cli.options import common, reference
from kstate.cli.output import as_json, event_json, plain, show_event
from kstate.client import Client
from kstate.config import Config
from kstate.errors import ConfigError
from kstate.query import StoredEvent


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
            self.fail(f"{value!r} is no time: write it like 2026-03-01T12:00:00+00:00", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


@click.command(epilog="Example: kstate replay processors.bank:Bank acct-1 --state")
@common
@click.argument("target", metavar="PROCESSOR")
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
@click.option("--since", type=Time(), metavar="TIME", help="From about this time (ISO 8601).")
@click.option("--until", type=Time(), metavar="TIME", help="Up to about this time.")
@click.option(
    "--state",
    "fold",
    is_flag=True,
    help="Fold: the state after each event of the given ids, or the last of every id.",
)
@click.option("--json", "as_jsons", is_flag=True, help="Print JSON lines.")  # fmt: skip
def replay(
    config: Config,
    target: str,
    ids: tuple[str, ...],
    from_seq: int,
    to_seq: int | None,
    from_offset: int,
    to_offset: int | None,
    since: datetime | None,
    until: datetime | None,
    fold: bool,
    as_jsons: bool,
) -> None:
    """Read the journal of one, several or all persist ids.

    --state needs the processor's code: PROCESSOR is then module:Class.
    """
    from kstate.wiring import connect

    def wanted(stored: StoredEvent) -> bool:
        return (
            stored.seq >= from_seq
            and (to_seq is None or stored.seq <= to_seq)
            and stored.offset >= from_offset
            and (to_offset is None or stored.offset <= to_offset)
            and (since is None or stored.at >= since)
            and (until is None or stored.at <= until)
        )

    processor = reference(target, config)
    with connect(config.log, prefix=config.prefix) as client:
        if fold:
            if from_offset or since is not None:
                raise click.UsageError(
                    "--state folds from the first event: leave out the beginning"
                )
            _show_states(client, processor, ids, wanted, to_seq, as_jsons)
            return
        for each in _events(client, processor, ids, from_offset, since):
            if wanted(each):
                show_event(each, as_jsons)


def _events(
    client: Client,
    processor: Any,
    ids: tuple[str, ...],
    from_offset: int,
    since: datetime | None,
) -> Iterator[StoredEvent]:
    journal = client.journal(processor)
    if ids:
        for persist_id in ids:
            yield from journal.by_id(persist_id)
        return
    yield from _tracked(journal.all(from_offset=from_offset, since=since), journal.size())


def _tracked(events: Iterator[StoredEvent], total: int) -> Iterator[StoredEvent]:
    """The same, with a bar on a terminal that shows something else than the events."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield from events
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.speed:,.0f}/s", justify="right"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("events", total=total)
        for each in events:
            progress.advance(task)
            yield each


def _show_states(
    client: Client,
    processor: Any,
    ids: tuple[str, ...],
    wanted: Any,
    to_seq: int | None,
    as_jsons: bool,
) -> None:
    if isinstance(processor, str):
        raise ConfigError(
            f"folding events needs the code of {processor}: give the processor as module:Class"
        )
    machine = client.machine(processor)
    journal = client.journal(processor)
    for persist_id in ids or client.ids(processor):
        last: tuple[StoredEvent, Any] | None = None
        for stored, state in journal.states(machine, persist_id, to_seq):
            last = stored, state
            if ids and wanted(stored):
                _show_step(stored, state, as_jsons)
        if last is not None and not ids:
            _show_final(*last, as_jsons)


def _show_step(stored: StoredEvent, state: Any, as_jsons: bool) -> None:
    if as_jsons:
        click.echo(as_json({**event_json(stored), "state": state}))
        return
    show_event(stored, False)
    click.echo(f"    → {plain(state)}")


def _show_final(stored: StoredEvent, state: Any, as_jsons: bool) -> None:
    if as_jsons:
        click.echo(as_json({"persist_id": stored.persist_id, "seq": stored.seq, "state": state}))
    else:
        click.echo(f"{stored.persist_id}@{stored.seq}  {plain(state)}")
