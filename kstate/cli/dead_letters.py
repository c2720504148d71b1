"""``kstate dead-letters``: the commands that failed; another try for one of them, or its end."""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import click

from kstate.cli.options import common, examples, json_flag, opened, reference, timeout
from kstate.cli.output import as_json, line, moment, plain
from kstate.cli.progress import QUIET_S, progress
from kstate.cli.reading import committed
from kstate.config import Config
from kstate.core.envelope import derived_command_id
from kstate.core.letters import DEAD_LETTER_HEADERS, failed_key
from kstate.core.messages import Headers, Record, Write
from kstate.core.topics import Topics, decode_persist_id
from kstate.errors import ConfigError, ProcessorAbsent
from kstate.log.port import Ends, Log
from kstate.processor import name_of
from kstate.query.processors import missing

NOT_SENT_AGAIN = DEAD_LETTER_HEADERS | {"command-id", "reply-to", "reply-partition"}
"""The new command has its own id, nobody waits for its reply, and what went wrong is over."""

Place = tuple[int, bytes | None]
"""What tells one dead letter from the others: its partition and its key."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A command that failed, as its dead letter tells of it."""

    position: str  # of the dead letter: partition and offset
    persist_id: str | None  # None: the record has no key
    at: str  # when it failed
    error_type: str
    error: str
    source: str  # where the command stood: partition and offset in the commands topic
    command_id: str


@click.command(
    name="dead-letters",
    epilog=examples(
        "kstate dead-letters bank --limit 10",
        "kstate dead-letters bank --json",
        "kstate dead-letters bank --retry 0:17",
        "kstate dead-letters bank --drop 0:17",
    ),
)
@common
@click.argument("target", metavar="TARGET")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The newest N alone.")
@click.option(
    "--retry",
    metavar="POSITION",
    help="Send the command again whose dead letter is at this position.",
)
@click.option("--drop", metavar="POSITION", help="Remove the dead letter at this position.")
@timeout("what --retry or --drop writes to be stored")
@json_flag("JSON lines")
def dead_letters(
    config: Config,
    target: str,
    limit: int | None,
    retry: str | None,
    drop: str | None,
    timeout: float,
    as_jsons: bool,
) -> None:
    """List the commands that failed, send one again, or remove one.

    TARGET is the name of a processor or module:Class. The oldest comes first. With --retry the
    command at a position is sent once more, and its new command id is printed; the same position
    gives the same id, so that a second retry does not run again what the first one did. With
    --drop the dead letter at a position is listed no more, and the log's cleaner removes it.
    """
    if sum(each is not None for each in (limit, retry, drop)) > 1:
        raise click.UsageError("--limit goes with the list, --retry and --drop with one position")
    name = name_of(reference(target, config))
    topics = Topics.of(name, config.prefix)
    log = opened(config)
    try:
        if retry is not None:
            line(sent_again(log, topics, retry, timeout), at_once=True)
            return
        if drop is not None:
            line(dropped(log, topics, drop, timeout), at_once=True)
            return
        size = sum(each.end - each.start for each in _ends(log, topics).values())
        with progress("dead letters", size, pauses=True, after_s=QUIET_S) as shown:
            letters = listed(log, topics, limit, shown.advance)
        for letter in letters:
            line(as_json(asdict(letter)) if as_jsons else _text(letter))
    finally:
        log.close()


def listed(
    log: Log,
    topics: Topics,
    limit: int | None = None,
    watch: Callable[[int], object] | None = None,
) -> list[Letter]:
    """The dead letters of a processor, the oldest first; with ``limit`` the newest so many."""
    found = (
        ((record.timestamp, record.partition, record.offset), _letter(record))
        for record in _all(log, topics, watch)
    )
    kept = sorted(found) if limit is None else sorted(heapq.nlargest(limit, found))
    return [letter for _, letter in kept]


def sent_again(log: Log, topics: Topics, position: str, timeout_s: float) -> str:
    """Sends the command whose dead letter is at ``position`` again; its new command id.

    Raises `ConfigError` when there is none, and `BadPersistId` for one that could never run.
    """
    record = _at(log, topics, position)
    persist_id = failed_key(record.key, record.headers)
    decode_persist_id(persist_id)
    # a processor's name has no dot: no command that a processor sends gets the same id
    command_id = derived_command_id(topics.dead_letters, _original_id(record), record.offset)
    kept = [header for header in record.headers if header[0] not in NOT_SENT_AGAIN]
    headers: Headers = [("command-id", command_id), *kept]
    _write(log, Write(topics.commands, None, persist_id, record.value, headers, _now()), timeout_s)
    return command_id.decode()


def dropped(log: Log, topics: Topics, position: str, timeout_s: float) -> str:
    """Writes the tombstone of the dead letter at ``position``; a sentence about it.

    Raises `ConfigError` when there is none.
    """
    record = _at(log, topics, position)
    tombstone = Write(topics.dead_letters, record.partition, record.key, None, [], _now())
    _write(log, tombstone, timeout_s)
    return f"the dead letter at {position} is removed, and can be read until the cleaner has passed"


def _write(log: Log, write: Write, timeout_s: float) -> None:
    producer = log.producer()
    try:
        producer.send(write)
        producer.flush(timeout_s)
    finally:
        producer.close()


def _now() -> int:
    return int(time.time() * 1000)


def _ends(log: Log, topics: Topics) -> Mapping[int, Ends]:
    if topics.dead_letters not in log.topics([topics.dead_letters]):
        raise ProcessorAbsent(missing(topics))
    return log.ends(topics.dead_letters)


def _all(log: Log, topics: Topics, watch: Callable[[int], object] | None) -> Iterator[Record]:
    _ends(log, topics)
    gone = _gone(log, topics)
    for record in committed(log, topics.dead_letters, watch=watch):
        if _lives(record, gone):
            yield record


def _gone(log: Log, topics: Topics, starts: Mapping[int, int] | None = None) -> dict[Place, int]:
    """Where the newest tombstone of each letter is that has one."""
    found = committed(log, topics.dead_letters, starts, only=lambda headers: not headers)
    return {(each.partition, each.key): each.offset for each in found if each.value is None}


def _lives(record: Record, gone: Mapping[Place, int]) -> bool:
    behind = gone.get((record.partition, record.key), -1) < record.offset
    return behind and record.value is not None


def _at(log: Log, topics: Topics, position: str) -> Record:
    ends = _ends(log, topics)
    found = re.fullmatch(r"(\d{1,18}):(\d{1,18})", position)
    if found is None:
        raise ConfigError(f"{position!r} is no position of a dead letter: it looks like 0:17")
    partition, offset = map(int, found.groups())
    places = {partition: offset} if partition in ends else {}
    for record in committed(log, topics.dead_letters, places):
        if record.offset >= offset:
            if record.offset == offset and _lives(record, _gone(log, topics, places)):
                return record
            break
    raise ConfigError(f"there is no dead letter at {partition}:{offset}")


def _letter(record: Record) -> Letter:
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    key = failed_key(record.key, record.headers)
    return Letter(
        position=f"{record.partition}:{record.offset}",
        persist_id=None if key is None else key.decode(errors="backslashreplace"),
        at=moment(datetime.fromtimestamp(record.timestamp / 1000, UTC)),
        error_type=headers.get("error-type", ""),
        error=headers.get("error", ""),
        source=headers.get("source", ""),
        command_id=_original_id(record).decode(errors="replace"),
    )


def _original_id(record: Record) -> bytes:
    """The id the command had: one that came without is known by where it stood."""
    headers = dict(record.headers)
    position = b"%d:%d" % (record.partition, record.offset)
    return headers.get("command-id") or headers.get("source") or position


def _text(letter: Letter) -> str:
    persist_id = "-" if letter.persist_id is None else plain(letter.persist_id)
    error = plain(f"{letter.error_type}: {letter.error}")
    return f"{letter.position}  {letter.at}  {persist_id}  {error}  (command at {letter.source})"
