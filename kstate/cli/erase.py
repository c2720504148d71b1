"""``kstate erase``: an entity, and what is still to be read of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

import click

from kstate.cli.options import common, examples, json_flag, opened, reference
from kstate.cli.output import as_json, line, moment
from kstate.cli.waiting import Patience, client_for
from kstate.config import Config
from kstate.core.topics import Topics
from kstate.errors import StillReadable
from kstate.log.port import Log
from kstate.processor import name_of
from kstate.query.remains import NEVER_MS, Remains, Survey, survey
from kstate.wiring import clean

LOOK_S = 1.0
BY_CLEANER = (
    "The cleaner of the log takes those out of reach. Kafka's comes to a topic when "
    "min.cleanable.dirty.ratio of it is new (0.8 of a journal) and takes segments that are closed "
    "(segment.ms, 7 days by default): set max.compaction.lag.ms on the topic for a time by which "
    "it has come. Tombstones stay for delete.retention.ms after that: persist id and seq, no data."
)
BY_AGE = (
    "By age Kafka deletes whole segments: a record goes up to segment.ms (7 days by default) "
    "after the time above."
)


@click.command(
    epilog=examples(
        "kstate erase bank acct-1",
        "kstate erase bank acct-1 --wait --timeout 3600",
        "kstate erase bank acct-1 --status",
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.argument("persist_id", metavar="ID")
@click.option("--status", is_flag=True, help="Erase nothing: tell what can still be read.")
@click.option(
    "--wait", is_flag=True, help="Return when the log's cleaner has passed; SQLite's passes now."
)
@click.option(
    "--command-id",
    metavar="TEXT",
    help="The id of this erasure: repeated with it, nothing is erased that came since.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="S",
    help="How many seconds to wait for the owner's answer and, with --wait, for the cleaner.",
)
@json_flag("JSON")
def erase(
    config: Config,
    target: str,
    persist_id: str,
    status: bool,
    wait: bool,
    command_id: str | None,
    timeout: float,
    as_jsons: bool,
) -> None:
    """Erase an entity: its state, and all that led to it.

    The worker that owns the entity writes a tombstone for each of its events and of its commands
    that failed, and replaces its snapshot; the entity begins anew. Then it is told what the log
    still holds of it, and until when. TARGET is the name of a processor or module:Class.
    """
    if status and (wait or command_id is not None):
        raise click.UsageError("--status erases nothing: it goes with neither --wait nor an id")
    processor, patience = reference(target, config), Patience(timeout)
    seq = None
    if not status:
        with client_for(config, processor, patience) as client:
            seq = client.erase(
                processor, persist_id, timeout=patience.left_s, command_id=command_id
            )
    topics = Topics.of(name_of(processor), config.prefix)
    log = opened(config)
    try:
        found = _awaited(log, topics, persist_id, patience) if wait else None
        found = found or survey(log, topics, persist_id)
    finally:
        log.close()
    if as_jsons:
        line(as_json(_fields(persist_id, seq, found)), at_once=True)
    else:
        for text in _lines(persist_id, seq, found, kafka=config.log.startswith("kafka:")):
            line(text)
    if wait and not found.cleaned:
        raise StillReadable(persist_id, timeout)


def _awaited(log: Log, topics: Topics, persist_id: str, patience: Patience) -> Survey:
    """What is left when the cleaner has passed, or patience has ended."""
    clean(log, (topics.journal, topics.snapshots, topics.dead_letters))
    while True:
        found = survey(log, topics, persist_id)
        if found.cleaned or not patience.left_s:
            return found
        time.sleep(min(LOOK_S, patience.left_s))


def _fields(persist_id: str, seq: int | None, found: Survey) -> dict[str, object]:
    return {
        "persist_id": persist_id,
        "erased_to": seq,
        "removed_to": found.removed,
        "events": found.living,
        "cleaned": found.cleaned,
        "remains": [{**asdict(each), "until": _until(each)} for each in found.remains],
    }


def _lines(persist_id: str, seq: int | None, found: Survey, *, kafka: bool) -> Iterator[str]:
    if seq is not None:
        yield f"{persist_id} is erased up to seq {seq}" if seq else f"{persist_id} had no events"
    else:
        living = f"{found.living} event{'' if found.living == 1 else 's'}"
        yield f"{persist_id} has {living}; tombstones reach to seq {found.removed}"
    if not found.remains:
        yield "nothing else of it can be read any more"
        return
    yield "still to be read:"
    for each in found.remains:
        until = _until(each)
        told = f"until {until}" if until else "until the cleaner has passed"
        yield f"  {each.topic}: {_counted(each)}, {told}"
    if kafka and not found.cleaned:
        yield BY_CLEANER
    if kafka and any(each.until_ms for each in found.remains):
        yield BY_AGE


def _counted(each: Remains) -> str:
    noun, _, rest = each.what.partition(" ")
    if each.records != 1:
        noun = "replies" if noun == "reply" else f"{noun}s"
    return f"{each.records} {noun} {rest}"


def _until(each: Remains) -> str | None:
    """When the last of these is old enough to go; None: that is the cleaner's matter."""
    if each.until_ms is None:
        return None
    if each.until_ms >= NEVER_MS:
        return "it is deleted by hand: the topic keeps records for ever"
    return moment(datetime.fromtimestamp(each.until_ms / 1000, UTC))
