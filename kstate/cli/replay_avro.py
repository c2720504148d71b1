"""``kstate replay --avro``: events into container files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from kstate.cli.options import opened
from kstate.cli.schema_topic import ids_of, published
from kstate.client import Client
from kstate.codec.containers import Described, EventFiles
from kstate.codec.registry_codec import single
from kstate.config import Config
from kstate.core.messages import Record
from kstate.core.topics import Topics
from kstate.errors import ConfigError
from kstate.processor import name_of
from kstate.query.events import StoredEvent
from kstate.query.journal import Journal
from kstate.query.processors import ProcessorRef
from kstate.query.wanted import Wanted


def write_files(
    config: Config,
    client: Client,
    processor: ProcessorRef,
    journal: Journal,
    ids: tuple[str, ...],
    directory: Path,
    holds: Callable[[int, Record], bool],
) -> None:
    """Writes the events of these ids, or all, for whose seq and record ``holds`` is true.

    Raises `ConfigError` for a directory that is not empty: what is in it would be mixed with them.
    """
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty: give a new directory")
    log = opened(config)
    try:
        book = published(log, Topics.of(name_of(processor), config.prefix)).book
    finally:
        log.close()
    known = ids_of(config, book)
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    with EventFiles(directory, book) as files:
        for match in _found(journal, ids):
            if holds(match.seq, match.record):
                record = match.record
                described = Described(
                    match.key.decode(),
                    match.seq,
                    match.type,
                    match.tags,
                    record.timestamp,
                    match.command_id,
                    record.partition,
                    record.offset,
                )
                files.write(
                    described, record.value if known is None else single(known, record.value)
                )
                count += 1
        written = len(files.paths)
    click.echo(f"{count:,} events in {written} files in {directory}", err=True)


def _found(journal: Journal, ids: tuple[str, ...]) -> Iterator[StoredEvent]:
    if not ids:
        yield from journal.current(journal.beginning(), Wanted())
    for persist_id in ids:
        yield from journal.current(*journal.of_id(persist_id))
