"""``kstate query``: events by id, tag and type, and the ids."""

from __future__ import annotations

import itertools
import sys
from datetime import datetime
from typing import TypedDict, Unpack

import click

from kstate.cli.options import Time, common, connected, examples, json_flag, reference
from kstate.cli.output import as_json, event_line, line
from kstate.cli.progress import QUIET_S, progress
from kstate.config import Config
from kstate.query.wanted import Selection


@click.command(
    epilog=examples(
        "kstate query bank --id acct-1 --from-seq 3 --to-seq 7",
        "kstate query bank --tag large --without internal --follow --json",
        "kstate query bank --type Deposited --since 2026-03-01 --by-time",
        "kstate query bank --ids",
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.option("--id", "persist_id", metavar="ID", help="The events of one persist id.")
@click.option("--from-seq", type=click.IntRange(1), metavar="N", help="From this seq, with --id.")
@click.option("--to-seq", type=click.IntRange(1), metavar="N", help="Up to this seq, with --id.")
@click.option("--ids", is_flag=True, help="The persist ids that have events, sorted.")
@click.option("--tag", "any_of", multiple=True, metavar="TAG", help="With one of these tags.")
@click.option("--with", "all_of", multiple=True, metavar="TAG", help="With all of these tags.")
@click.option("--without", "none_of", multiple=True, metavar="TAG", help="With none of these tags.")
@click.option(
    "--type", "types", multiple=True, metavar="NAME", help="Stored under one of these names."
)
@click.option(
    "--since",
    type=Time(),
    metavar="TIME",
    help="From about this time: ISO 8601, UTC where it names no offset.",
)
@click.option(
    "--after",
    metavar="POSITION",
    help="Go on behind an event found before: its position, as --json prints it.",
)
@click.option("--by-time", "in_time_order", is_flag=True, help="In the order of their times.")
@click.option("--follow", "live", is_flag=True, help="Wait for further events, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after so many.")
@json_flag("JSON lines")
def query(
    config: Config,
    target: str,
    persist_id: str | None,
    from_seq: int | None,
    to_seq: int | None,
    ids: bool,
    limit: int | None,
    as_jsons: bool,
    **selection: Unpack[Selection],
) -> None:
    """Read events by id, tag or type, or list the ids.

    TARGET is the name of a processor, whose events are then printed as they were written, or
    module:Class: then they are read as that code reads them. Without --id, --ids, a tag or a type
    every event is printed. The events of a persist id come in the order of their seq.
    """
    given = {name for name, value in selection.items() if value}
    seqs = from_seq is not None or to_seq is not None
    _check(persist_id is not None, ids, seqs, given)
    processor = reference(target, config)
    with connected(config) as client:
        journal = client.journal(processor)
        live = "live" in given
        # what is there is read through: who waits for what comes knows of no end
        total = 0 if live else journal.size(persist_id, **_beginning(selection))
        with progress("journal records", total, pauses=True, after_s=QUIET_S) as shown:
            if not live:
                journal.watch = shown.advance
            if ids:
                exist = journal.live_ids() if live else journal.ids()
                texts = (as_json(each) if as_jsons else each for each in exist)
            elif persist_id is None:
                texts = (event_line(each, as_jsons) for each in journal.all(**selection))
            else:
                found = journal.by_id(
                    persist_id,
                    from_seq=from_seq or 1,
                    to_seq=to_seq,
                    live=live,
                    **_beginning(selection),
                )
                texts = (event_line(each, as_jsons) for each in found)
            at_once = live or sys.stdout.isatty()
            for text in itertools.islice(texts, limit):
                shown.clear()
                line(text, at_once)


class _Beginning(TypedDict):
    after: str | None
    since: datetime | None


def _beginning(selection: Selection) -> _Beginning:
    """Where a query begins to read."""
    return {"after": selection.get("after"), "since": selection.get("since")}


def _check(by_id: bool, ids: bool, seqs: bool, given: set[str]) -> None:
    """Raises for options that do not go together."""
    if by_id and ids:
        raise click.UsageError("give one of --id and --ids")
    if seqs and not by_id:
        raise click.UsageError("--from-seq and --to-seq go with --id")
    if by_id and given - _OF_ONE_ID:
        raise click.UsageError(f"--id takes no {_OPTIONS[min(given - _OF_ONE_ID)]}")
    if ids and given - {"live"}:
        raise click.UsageError(f"--ids takes no {_OPTIONS[min(given - {'live'})]}")


_OF_ONE_ID = {"since", "after", "live"}
_OPTIONS = {
    "any_of": "--tag",
    "all_of": "--with",
    "none_of": "--without",
    "types": "--type",
    "since": "--since",
    "after": "--after",
    "in_time_order": "--by-time",
    "live": "--follow",
}
