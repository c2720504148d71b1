"""``kstate projection``: runs projections, and lets an operator look, pause, reset and rebuild."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kstate.cli.crew import crew_options
from kstate.cli.options import common, data_directory, examples, json_flag, opened
from kstate.cli.output import as_json, line
from kstate.cli.progress import progress
from kstate.cli.serving import Serving, Work, loaded, log_level, serve, tell
from kstate.config import Config

if TYPE_CHECKING:
    from kstate.log.port import Log
    from kstate.projection.control import Status
    from kstate.projection.site import Site

F = TypeVar("F", bound=Callable[..., Any])

target_argument = click.argument("target", metavar="TARGET")
database_option = click.option(
    "--database",
    metavar="URL",
    help="The database, as SQLAlchemy names it; that of the class by default.",
)
batch_option = click.option(
    "--batch-records",
    type=click.IntRange(1),
    metavar="N",
    help="Events of one transaction, at most; 5000 by default.",
)


@click.group(
    epilog=examples(
        "kstate projection run processors.balances:Balances",
        "kstate projection status processors.balances:Balances",
    )
)
def projection() -> None:
    """Run projections, look at them, pause, reset or rebuild them.

    A projection turns the events of a processor into rows of a database, each exactly once.
    """


@projection.command(
    epilog=examples(
        "kstate projection run processors.balances:Balances",
        "kstate projection run processors.balances:Balances --database postgresql://bank@db/bank",
    )
)
@common
@target_argument
@database_option
@data_directory("the names of processes")
@batch_option
@crew_options
@log_level
def run(
    config: Config,
    target: str,
    database: str | None,
    workers: int,
    log_level: str,
    crew: bool,
) -> None:
    """Run a projection until SIGTERM or Ctrl-C.

    TARGET is module:Class. Start it several times, on one machine or on more: the processes share
    the partitions. A database that is away is waited for, and so is the log.
    """

    def make(log: Log) -> Work:
        return _site(config, log, target, database).runner()

    serve(config, make, log_level, workers, crew)


@projection.command(
    epilog=examples(
        "kstate projection status processors.balances:Balances",
        "kstate projection status processors.balances:Balances --json",
    )
)
@common
@target_argument
@database_option
@json_flag("JSON lines, one per partition")
def status(config: Config, target: str, database: str | None, as_jsons: bool) -> None:
    """Show how far a projection is in each partition.

    TARGET is module:Class. The lag is counted in offsets: on Kafka some of them are taken by the
    ends of transactions.
    """
    from kstate.projection.control import status as status_of

    with _opened(config, target, database) as site:
        found = status_of(site)
    for text in _jsons(found) if as_jsons else _lines(found):
        line(text)


@projection.command(epilog=examples("kstate projection pause processors.balances:Balances"))
@common
@target_argument
@database_option
def pause(config: Config, target: str, database: str | None) -> None:
    """Let a projection rest until it is resumed.

    TARGET is module:Class. The processes finish their batch and give their partitions up; they
    stay, and look whether to go on.
    """
    from kstate.projection.control import pause as set_paused

    with _opened(config, target, database) as site:
        set_paused(site, True)


@projection.command(epilog=examples("kstate projection resume processors.balances:Balances"))
@common
@target_argument
@database_option
def resume(config: Config, target: str, database: str | None) -> None:
    """Let a paused projection go on.

    TARGET is module:Class.
    """
    from kstate.projection.control import pause as set_paused

    with _opened(config, target, database) as site:
        set_paused(site, False)


@projection.command(epilog=examples("kstate projection reset processors.balances:Balances"))
@common
@target_argument
@database_option
def reset(config: Config, target: str, database: str | None) -> None:
    """Empty the tables of a projection, so that it begins anew.

    TARGET is module:Class. Refused while a process runs it, unless it is paused. While it reads the
    journal again its rows are incomplete: rebuild keeps them until the new ones are there.
    """
    from kstate.projection.control import reset as reset_it

    with _opened(config, target, database) as site:
        reset_it(site)


@projection.command(epilog=examples("kstate projection rebuild processors.balances:Balances"))
@common
@target_argument
@database_option
@data_directory("the names of processes")
@batch_option
@log_level
def rebuild(config: Config, target: str, database: str | None, log_level: str) -> None:
    """Fill the tables of a projection anew, beside the live ones, and swap them.

    TARGET is module:Class, with the tables and handlers of today. The live projection goes on
    meanwhile. When it is interrupted, the same command goes on where it was.
    """
    from kstate.projection.rebuild import Rebuild

    tell(log_level)
    with _opened(config, target, database) as site:
        ends = site.log.ends(site.journal().topic).values()
    with progress("journal records", sum(each.end - each.start for each in ends)) as shown:

        def make(log: Log) -> Work:
            return Rebuild(_site(config, log, target, database), shown.advance)

        done = Serving(config, make).until_stopped()
    line("the new tables are in place" if done else "interrupted: run it again to go on")


# -- what they stand on ----------------------------------------------------------------------------


def _site(config: Config, log: Log, target: str, database: str | None) -> Site:
    from kstate.projection.definition import Projection
    from kstate.wiring import build_projection

    return build_projection(config, log, loaded(target, Projection), database)


@contextmanager
def _opened(config: Config, target: str, database: str | None) -> Iterator[Site]:
    log = opened(config)
    try:
        site = _site(config, log, target, database)
        try:
            yield site
        finally:
            site.database.close()
    finally:
        log.close()


# -- how it looks ----------------------------------------------------------------------------------

TITLES = ("partition", "offset", "end", "lag", "state", "owner")


def _jsons(found: Status) -> Iterator[str]:
    of_all = {each: getattr(found, each) for each in ("name", "version", "rebuilding", "skipped")}
    for each in found.partitions:
        yield as_json({**of_all, **asdict(each)})


def _lines(found: Status) -> Iterator[str]:
    rows = [
        tuple(map(str, (p.partition, p.offset, p.end, p.lag, p.state, p.owner or "-")))
        for p in found.partitions
    ]
    widths = [max(map(len, column)) for column in zip(TITLES, *rows, strict=True)]
    for row in (TITLES, *rows):
        numbers = [text.rjust(width) for text, width in zip(row[:4], widths, strict=False)]
        yield "  ".join([*numbers, row[4].ljust(widths[4]), row[5]])
    for each in found.partitions:
        if each.error is not None:
            yield f"partition {each.partition} at {each.offset}: {each.error}"
    if found.rebuilding:
        yield "a rebuild is under way, or was interrupted"
    if found.skipped:
        yield f"{found.skipped} events were skipped: see the table kstate_skipped"
