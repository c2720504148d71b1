"""``kstate index``: builds a local index of a journal, and keeps it up to date."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kstate.cli.options import common, examples, json_flag, opened, reference
from kstate.cli.output import as_json, line
from kstate.cli.progress import progress
from kstate.config import Config
from kstate.core.topics import Topics
from kstate.errors import ConfigError, ProcessorAbsent
from kstate.processor import name_of
from kstate.query.processors import missing

if TYPE_CHECKING:
    from kstate.log.port import Log
    from kstate.query.index import Index
    from kstate.query.index_file import Held

LOOK_S = 0.5


@click.command(
    epilog=examples(
        "kstate index bank --dir /var/lib/bank-index",
        "kstate index bank --dir /var/lib/bank-index --follow --json",
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The directory of the index; the setting index (KSTATE_INDEX) by default.",
)
@click.option("--rebuild", is_flag=True, help="Throw the index away and make it anew.")
@click.option("--follow", is_flag=True, help="Keep up with the journal, until Ctrl-C.")
@json_flag("JSON lines")
def index(
    config: Config,
    target: str,
    directory: Path | None,
    rebuild: bool,
    follow: bool,
    as_jsons: bool,
) -> None:
    """Build a local index of a journal, or bring it up to date.

    TARGET is the name of a processor or module:Class. Queries that are given the same directory
    answer from the index. What it has is printed once it is up to date, with --follow each time
    that the journal has moved.
    """
    from kstate.query.index import Index

    if directory is None and not config.index:
        raise ConfigError("no directory for the index: give --dir DIR, or set KSTATE_INDEX")
    topics = Topics.of(name_of(reference(target, config)), config.prefix)
    log = opened(config)
    try:
        made = Index(directory or Path(config.index), log, topics.journal)
        try:
            _bring_up_to_date(log, topics, made, rebuild)
            held = _told(made, None, as_jsons)
            while follow:
                time.sleep(LOOK_S)
                made.catch_up()
                held = _told(made, held, as_jsons)
        finally:
            made.close()
    finally:
        log.close()


def _bring_up_to_date(log: Log, topics: Topics, made: Index, rebuild: bool) -> None:
    if topics.journal not in log.topics([topics.journal]):
        raise ProcessorAbsent(missing(topics))
    had = {} if rebuild else {p: each.position for p, each in made.held().items()}
    ends = log.ends(topics.journal)
    total = sum(max(0, end.end - max(end.start, had.get(p, 0))) for p, end in ends.items())
    with progress("journal records", total) as shown:
        if rebuild:
            made.rebuild(shown.advance)
        else:
            made.catch_up(shown.advance)


def _told(made: Index, before: dict[int, Held] | None, as_jsons: bool) -> dict[int, Held]:
    """Prints what the index has, unless it is what it had before."""
    held = made.held()
    if held == before:
        return held
    size = made.size()
    if as_jsons:
        partitions = [{"partition": p, **each._asdict()} for p, each in sorted(held.items())]
        line(
            as_json({"file": str(made.path), "bytes": size, "partitions": partitions}), at_once=True
        )
        return held
    for partition, each in sorted(held.items()):
        line(f"partition {partition}: {_events(each.events)}, up to offset {each.position:,}")
    events = sum(each.events for each in held.values())
    line(f"{made.path}: {_events(events)}, {size / 1e6:.1f} MB", at_once=True)
    return held


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
