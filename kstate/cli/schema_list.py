"""``kstate schema list`` and ``diff``: every version of a processor's types, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kstate.cli.options import (
    common,
    config_file,
    examples,
    json_flag,
    opened,
    warn_of_unknown_variables,
)
from kstate.cli.output import as_json, line, moment
from kstate.cli.progress import progress
from kstate.cli.schema_code import codecs, directory_option, targets_argument
from kstate.cli.schema_topic import Counts, Published, counts, ids_of, published, size
from kstate.config import Config, load_config
from kstate.core.topics import Topics
from kstate.errors import DecodeError

if TYPE_CHECKING:
    from kstate.codec.avro import AvroCodec
    from kstate.codec.versions import Version

TITLES = ("processor", "type", "kind", "version", "fingerprint", "first seen", "records")


@dataclass(frozen=True, slots=True)
class Row:
    """One version of one type, as it is told."""

    processor: str
    type: str
    kind: str | None
    version: int | None  # None: not frozen
    fingerprint: str
    today: bool
    first_seen: str  # in the schemas topic, else in a file, the code, or the registry
    records: int | None  # None: not counted


@click.command(
    name="list",
    epilog=examples(
        "kstate schema list processors.bank:Bank",
        "kstate schema list processors.bank:Bank --published --count",
    ),
)
@common
@targets_argument
@directory_option
@click.option("--published", "topic", is_flag=True, help="Also the schemas topic of the log.")
@click.option(
    "--count", is_flag=True, help="Count the records on the log that bear each; reads all of them."
)
@json_flag("JSON lines")
def list_versions(
    config: Config,
    targets: tuple[str, ...],
    directory: Path,
    topic: bool,
    count: bool,
    as_jsons: bool,
) -> None:
    """List every version of each type, and where it was first seen.

    A frozen version has a number; that of today's code is marked with *. TARGET is module:Class, or
    a name listed under processors in kstate.toml.
    """
    rows: list[Row] = []
    uncounted: list[str] = []
    for codec in codecs(targets, config):
        if not (topic or count):
            rows += _rows(codec, directory, None, None)
            continue
        found, counted = _looked_up(config, codec.processor, count)
        rows += _rows(codec, directory, found, counted.records if counted else None)
        uncounted += filter(None, [counted.sentence(codec.processor) if counted else None])
    if as_jsons:
        for row in rows:
            line(as_json(row))
    else:
        for text in _aligned(rows, count):
            line(text)
    if uncounted:
        raise DecodeError("; ".join(uncounted))


def _looked_up(config: Config, processor: str, count: bool) -> tuple[Published, Counts | None]:
    """What the log tells of a processor's schemas; with ``count``, also how many records bear
    each."""
    topics = Topics.of(processor, config.prefix)
    log = opened(config)
    try:
        found = published(log, topics)
        if not count:
            return found, None
        ids = ids_of(config, found.book)
        with progress("records", size(log, topics), pauses=True) as shown:
            return found, counts(log, topics, found.book, ids, shown.advance)
    finally:
        log.close()


def _rows(
    codec: AvroCodec, directory: Path, found: Published | None, numbers: Mapping[str, int] | None
) -> list[Row]:
    from kstate.codec.versions import versions

    return [
        Row(
            codec.processor,
            each.type_name,
            each.kind,
            each.number,
            each.fingerprint,
            each.today,
            _first_seen(each, found),
            None if numbers is None else numbers.get(each.fingerprint, 0),
        )
        for each in versions(codec, directory, found.book if found else None)
    ]


def _first_seen(version: Version, found: Published | None) -> str:
    record = found.first.get(version.fingerprint) if found else None
    if record is not None:
        at = moment(datetime.fromtimestamp(record.timestamp / 1000, UTC))
        return f"published {at} at offset {record.offset}"
    if version.path is not None:
        return str(version.path)
    return "in the code" if version.today else "in the registry"


def _aligned(rows: Sequence[Row], counted: bool) -> list[str]:
    cells = [
        [
            row.processor,
            row.type,
            row.kind or "-",
            f"{row.version or '-'}{'*' if row.today else ''}",
            row.fingerprint,
            row.first_seen,
            str(row.records),
        ]
        for row in rows
    ]
    shown = [list(TITLES), *cells]
    if not counted:
        shown = [each[:-1] for each in shown]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip()
        for each in shown
    ]


@click.command(epilog=examples("kstate schema diff processors.bank:Bank"))
@targets_argument
@directory_option
@config_file
@json_flag("JSON lines")
def diff(targets: tuple[str, ...], directory: Path, file: Path | None, as_jsons: bool) -> None:
    """Show what distinguishes today's code from the newest frozen versions.

    Nothing is printed for a type that is as it was frozen. TARGET is module:Class, or a name listed
    under processors in kstate.toml.
    """
    from kstate.codec.versions import changes

    warn_of_unknown_variables()
    for codec in codecs(targets, load_config({}, file=file)):
        for change in changes(codec, directory):
            if as_jsons:
                fields = {"type": change.type_name, "version": change.number}
                line(as_json({"processor": codec.processor, **fields, "changes": change.lines}))
                continue
            since = "new" if change.number is None else f"since version {change.number}"
            line(f"{codec.processor}: {change.type_name} ({since})")
            for each in change.lines:
                line(f"  {each}")
