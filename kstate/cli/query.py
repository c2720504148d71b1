"""``kstate query``: events by id and by tag, and the ids."""

from __future__ import annotations

import itertools

import click

from kstate.cli.options import common, reference
from kstate.cli.output import show_event
from kstate.config import Config


@click.command(epilog="Example: kstate query bank --tag large --follow")
@common
@click.argument("target", metavar="PROCESSOR")
@click.option("--id", "persist_id", metavar="ID", help="The events of one persist id.")
@click.option("--tag", metavar="TAG", help="The events with a tag.")
@click.option("--ids", is_flag=True, help="The persist ids that exist.")
@click.option("--follow", is_flag=True, help="Wait for further events.")
@click.option("--after", metavar="POSITION", help="Go on behind an event found before.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def query(
    config: Config,
    target: str,
    persist_id: str | None,
    tag: str | None,
    ids: bool,
    follow: bool,
    after: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Read events, or the ids: without --id, --tag or --ids every event."""
    from kstate.wiring import connect

    if sum((persist_id is not None, tag is not None, ids)) > 1:
        raise click.UsageError("give one of --id, --tag and --ids")
    if persist_id is not None and after is not None:
        raise click.UsageError("--after goes with --tag or with all events")
    if ids and (follow or after is not None):
        raise click.UsageError("--ids takes neither --follow nor --after")
    processor = reference(target, config)
    with connect(config.log, prefix=config.prefix) as client:
        if ids:
            for each in itertools.islice(client.ids(processor), limit):
                click.echo(each)
            return
        if persist_id is not None:
            found = client.events.by_id(processor, persist_id, live=follow)
        elif tag is not None:
            found = client.events.by_tag(processor, tag, after=after, live=follow)
        else:
            found = client.events.all(processor, after=after, live=follow)
        for stored in itertools.islice(found, limit):
            show_event(stored, as_json)
