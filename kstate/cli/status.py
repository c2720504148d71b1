"""``kstate status``: partitions, owners, lag and entities of processors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from kstate.cli.options import common, reference
from kstate.cli.output import as_json
from kstate.config import Config
from kstate.core.messages import Progress
from kstate.core.topics import Topics
from kstate.errors import ConfigError
from kstate.log.port import Log
from kstate.processor import name_of

SUFFIX = ".schemas"


@dataclass(frozen=True, slots=True)
class Row:
    """One partition of one processor."""

    processor: str
    partition: int
    owner: str | None
    processed: int  # offset of the next command
    lag: int  # commands not yet processed
    entities: int
    low_water: int  # journal offset
    journal_end: int
    hanging: bool  # a transaction is open on the journal: readers wait
    dead_letters: int


@click.command(epilog="Example: kstate status bank")
@common
@click.argument("targets", nargs=-1, metavar="[PROCESSOR]...")
@click.option("--json", "as_jsons", is_flag=True, help="Print JSON lines.")
def status(config: Config, targets: tuple[str, ...], as_jsons: bool) -> None:
    """Show the partitions of processors: those given, or all on the log."""
    from kstate.wiring import open_log

    log = open_log(config.log)
    try:
        names = [name_of(reference(target, config)) for target in targets]
        rows = [
            row
            for name in names or _all(log, config.prefix)
            for row in rows_of(log, Topics.of(name, config.prefix), name)
        ]
    finally:
        log.close()
    if as_jsons:
        for row in rows:
            click.echo(as_json(asdict(row)))
    elif rows:
        _show(rows)
    else:
        click.echo("no processors on this log")


def _all(log: Log, prefix: str) -> list[str]:
    return sorted(
        name.removeprefix(prefix).removesuffix(SUFFIX)
        for name in log.topics()
        if name.startswith(prefix) and name.endswith(SUFFIX)
    )


def rows_of(log: Log, topics: Topics, name: str) -> list[Row]:
    """The partitions of one processor; raises `ConfigError` when it is not on the log."""
    from kstate.query import missing

    if topics.commands not in log.topics([topics.commands]):
        raise ConfigError(missing(topics))
    progress = log.progress(topics.group, topics.commands)
    owners = log.owners(topics.group, topics.commands)
    commands, journal = log.ends(topics.commands), log.ends(topics.journal)
    dead = log.ends(topics.dead_letters)
    rows = []
    for number, ends in commands.items():
        committed = progress.get(number)
        parsed = Progress.parse(committed.offset, committed.metadata) if committed else None
        done = parsed[0] if parsed else Progress(ends.start, journal[number].start, -1, 0)
        rows.append(
            Row(
                processor=name,
                partition=number,
                owner=owners.get(number),
                processed=done.offset,
                lag=max(0, ends.end - done.offset),
                entities=done.entities,
                low_water=done.low_water,
                journal_end=journal[number].end,
                hanging=journal[number].stable < journal[number].end,
                dead_letters=dead[number].end - dead[number].start,
            )
        )
    return rows


def _show(rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("processor", "partition", "owner"):
        table.add_column(title)
    for title in ("processed", "lag", "entities", "low-water", "journal end", "dead letters"):
        table.add_column(title, justify="right")
    for row in rows:
        end = f"{row.journal_end}{' (open transaction)' if row.hanging else ''}"
        figures: tuple[Any, ...] = (
            row.processed, row.lag, row.entities, row.low_water, end, row.dead_letters,
        )  # fmt: skip
        table.add_row(row.processor, str(row.partition), row.owner or "-", *map(str, figures))
    Console(soft_wrap=True).print(table)
