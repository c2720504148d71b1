"""``kstate export`` and ``kstate import``: a processor's journal into files and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from kstate.cli.options import common, examples, json_flag, opened, reference
from kstate.cli.output import as_json, line
from kstate.cli.progress import progress
from kstate.config import Config
from kstate.processor import name_of

MIB = 1 << 20

F = TypeVar("F", bound=Callable[..., Any])


def _directory(exists: bool) -> Callable[[F], F]:
    """``DIR``: the command gets a path as ``directory``."""
    return click.argument(
        "directory",
        metavar="DIR",
        type=click.Path(file_okay=False, exists=exists, path_type=Path),
    )


@click.command(
    epilog=examples(
        "kstate export bank backup/2026-03-01",
        "kstate export bank bank-archive --log sqlite:bank.db --json",
    )
)
@common
@click.argument("target", metavar="TARGET")
@_directory(exists=False)
@click.option(
    "--file-mb",
    type=click.FloatRange(0, min_open=True),
    default=64.0,
    show_default=True,
    metavar="N",
    help="Begin another file when one has so many MiB.",
)
@json_flag("what was copied as JSON")
def export(config: Config, target: str, directory: Path, file_mb: float, as_jsons: bool) -> None:
    """Copy a processor's journal and snapshots into files.

    TARGET is the name of a processor or module:Class; DIR is a new directory, or one whose export
    was interrupted: then it goes on behind the last complete file. Workers may be at work
    meanwhile. Commands that wait to be processed are not copied, and neither are replies and dead
    letters.
    """
    from kstate.transfer.exporting import Export

    log = opened(config)
    try:
        name = name_of(reference(target, config))
        with (
            Export(log, name, config.prefix, directory, int(file_mb * MIB)) as made,
            progress("records", made.size()) as shown,
        ):
            made.watch = shown.advance
            found = made.run()
    finally:
        log.close()
    if found.waiting:
        click.echo(
            f"kstate: warning: about {found.waiting:,} commands of {name} wait to be processed; "
            "they are not in the archive",
            err=True,
        )
    _show(
        found,
        f"{_counted(found.events, 'event')} and {_counted(found.snapshots, 'snapshot')} of "
        f"{name} are in {directory}, {_counted(found.files, 'file')}",
        as_jsons,
    )


@click.command(
    "import",
    epilog=examples(
        "kstate import backup/2026-03-01 --log kafka://localhost:9092 --partitions 12",
        "kstate import bank-archive --log sqlite:copy.db --json",
    ),
)
@common
@_directory(exists=True)
@click.option(
    "--partitions",
    type=click.IntRange(1),
    metavar="N",
    help="Partitions of the processor on its new log; those of the old one by default.",
)
@json_flag("what was taken in as JSON")
def import_(config: Config, directory: Path, as_jsons: bool) -> None:
    """Take what was exported in, on a log without that journal.

    DIR is the directory of a complete export; it is checked before anything is written. Topics that
    are missing are created. No worker of the processor may run until it is done; then they go on
    with the first command of their new log. An import that was interrupted goes on where it was
    when it is started again.
    """
    from kstate.transfer.importing import Import, checked
    from kstate.transfer.manifest import load
    from kstate.wiring import open_log

    begun = load(directory)
    size = sum(file.bytes for file in begun.files) if begun is not None else 0
    with progress("bytes checked", size) as shown:
        archive = checked(directory, shown.advance)
    log = open_log(config.log, config.kafka)
    try:
        made = Import(log, directory, archive, config.prefix, config.partitions or None)
        total = sum(file.records for file in archive.files)
        with progress("records", total) as shown:
            made.watch = shown.advance
            found = made.run()
    finally:
        log.close()
    if found.there_before:
        text = f"this archive of {found.processor} was imported before: nothing was done"
    else:
        text = (
            f"{_counted(found.events, 'event')} and {_counted(found.snapshots, 'snapshot')} of "
            f"{found.processor} are taken in, {_counted(found.partitions, 'partition')}"
        )
    _show(found, text, as_jsons)


def _show(found: NamedTuple, text: str, as_jsons: bool) -> None:
    line(as_json(found._asdict()) if as_jsons else text)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
