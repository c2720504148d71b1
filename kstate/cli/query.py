"""``kstate query``: events by id and by tag, and the ids."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import click

from kstate.cli.options import common, connected, examples, json_flag, reference
from kstate.cli.output import as_json, event_line, line
from kstate.client import Client, ProcessorRef
from kstate.config import Config
from kstate.query.events import StoredEvent


@click.command(
    epilog=examples(
        "kstate query bank --id acct-1",
        "kstate query bank --tag large --follow --json",
        "kstate query bank --ids",
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.option("--id", "persist_id", metavar="ID", help="The events of one persist id.")
@click.option("--tag", metavar="TAG", help="The events with a tag.")
@click.option("--ids", is_flag=True, help="The persist ids that have events, sorted.")
@click.option("--follow", is_flag=True, help="Wait for further events, until Ctrl-C.")
@click.option(
    "--after",
    metavar="POSITION",
    help="Go on behind an event found before: its position, as --json prints it.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after so many.")
@json_flag("JSON lines")
def query(
    config: Config,
    target: str,
    persist_id: str | None,
    tag: str | None,
    ids: bool,
    follow: bool,
    after: str | None,
    limit: int | None,
    as_jsons: bool,
) -> None:
    """Read events by id or by tag, or list the ids.

    TARGET is the name of a processor, whose events are then printed as they were written, or
    module:Class: then they are read as that code reads them. Without --id, --tag or --ids every
    event is printed. The events of a persist id come in the order of their seq.
    """
    if sum((persist_id is not None, tag is not None, ids)) > 1:
        raise click.UsageError("give one of --id, --tag and --ids")
    if persist_id is not None and after is not None:
        raise click.UsageError("--after goes with --tag or with all events")
    if ids and (follow or after is not None):
        raise click.UsageError("--ids takes neither --follow nor --after")
    processor = reference(target, config)
    with connected(config) as client:
        if ids:
            for each in itertools.islice(client.ids(processor), limit):
                line(as_json(each) if as_jsons else each)
            return
        found = _events(client, processor, persist_id, tag, after, follow)
        at_once = follow or sys.stdout.isatty()
        for stored in itertools.islice(found, limit):
            line(event_line(stored, as_jsons), at_once)


def _events(
    client: Client,
    processor: ProcessorRef,
    persist_id: str | None,
    tag: str | None,
    after: str | None,
    follow: bool,
) -> Iterator[StoredEvent]:
    if persist_id is not None:
        return client.events.by_id(processor, persist_id, live=follow)
    if tag is not None:
        return client.events.by_tag(processor, tag, after=after, live=follow)
    return client.events.all(processor, after=after, live=follow)
