"""``kstate status``: partitions, owners, lag and entities of processors."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import click

from kstate.cli.options import common, examples, json_flag, opened, reference
from kstate.cli.output import as_json, line, moment
from kstate.config import Config
from kstate.core.letters import living
from kstate.core.messages import Progress, Record
from kstate.core.topics import Topics, check_name
from kstate.errors import ConfigError, TopicError
from kstate.log.port import Committed, Ends, Log
from kstate.processor import name_of
from kstate.query.processors import missing

SCHEMAS = ".schemas"
LOOK_BACK = 20
"""Offsets before the end of the snapshots among which the last snapshot is looked for."""
COUNTED = 10_000
"""Offsets up to which records are counted one by one."""
PATIENCE_S = 3.0
AT_WORK_S = 1.0
"""For how long a transaction may stay open before it is told: workers have some all the time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One partition of one processor; offsets are of the topic that the name says."""

    processor: str
    partition: int
    owner: str | None  # instance of the worker
    committed: int | None  # commands: the next one to run; None: none ever ran
    lag: int  # commands that wait
    entities: int  # persist ids with at least one event
    low_water: int | None  # journal: the oldest event that no snapshot covers
    journal_start: int
    journal_stable: int  # readers see nothing at or past it
    journal_end: int
    hanging: dict[str, int]  # topic on which a transaction stays open → where its readers wait
    last_snapshot: datetime | None  # None: none, or none among the last records
    dead_letters: int


@click.command(epilog=examples("kstate status", "kstate status bank --log sqlite:shop.db --json"))
@common
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@json_flag("JSON lines, one per partition")
def status(config: Config, targets: tuple[str, ...], as_jsons: bool) -> None:
    """Show partitions, owners, lag and entities.

    TARGET is the name of a processor or module:Class; without one, all processors are shown whose
    topics are on the log under the prefix.
    """
    names = [name_of(reference(target, config)) for target in targets]
    log = opened(config)
    try:
        rows = [
            row
            for name in names or _found(log, config.prefix)
            for row in rows_of(log, Topics.of(name, config.prefix), name)
        ]
    finally:
        log.close()
    if as_jsons:
        for row in rows:
            shown = moment(row.last_snapshot) if row.last_snapshot else None
            line(as_json({**asdict(row), "last_snapshot": shown}))
    elif rows:
        _show(rows)
    else:
        prefix = f" under the prefix {config.prefix!r}" if config.prefix else ""
        click.echo(f"no processor has topics on {config.log}{prefix}", err=True)


def _found(log: Log, prefix: str) -> list[str]:
    """The names of the processors whose topics are on the log."""
    there = log.topics()
    found = []
    for topic in there:
        if not (topic.startswith(prefix) and topic.endswith(SCHEMAS)):
            continue
        name = topic.removeprefix(prefix).removesuffix(SCHEMAS)
        try:
            check_name(name)
        except ConfigError:
            continue  # a processor under another prefix, or somebody else's topic
        topics = Topics.of(name, prefix)
        if {topics.commands, topics.journal, topics.snapshots, topics.dead_letters} <= set(there):
            found.append(name)
    return sorted(found)


def rows_of(log: Log, topics: Topics, name: str) -> list[Row]:
    """The partitions of one processor; raises `TopicError` when it is not on the log."""
    if topics.commands not in log.topics([topics.commands]):
        raise TopicError(missing(topics))
    owners = log.owners(topics.group, topics.commands)
    committed = log.progress(topics.group, topics.commands)
    kinds = ("commands", "journal", "snapshots")
    ends = {kind: log.ends(getattr(topics, kind)) for kind in kinds}
    commands, journal = ends["commands"], ends["journal"]
    hanging = _hanging(log, topics, ends)
    lags = _counts(
        log, topics.commands, {p: ends.start for p, ends in commands.items()} | _offsets(committed)
    )
    starts = {number: each.start for number, each in log.ends(topics.dead_letters).items()}
    dead_letters = _counts(log, topics.dead_letters, starts, living)
    snapshots = _last_times(log, topics.snapshots)
    rows = []
    for number in sorted(commands):
        done = committed.get(number)
        parsed = None if done is None else Progress.parse(done.offset, done.metadata)
        rows.append(
            Row(
                processor=name,
                partition=number,
                owner=owners.get(number),
                committed=None if done is None else done.offset,
                lag=lags[number] + commands[number].end - commands[number].stable,
                entities=parsed[0].entities if parsed else 0,
                low_water=parsed[0].low_water if parsed else None,
                journal_start=journal[number].start,
                journal_stable=journal[number].stable,
                journal_end=journal[number].end,
                hanging=hanging.get(number, {}),
                last_snapshot=snapshots.get(number),
                dead_letters=dead_letters[number],
            )
        )
    return rows


def _hanging(
    log: Log, topics: Topics, ends: Mapping[str, Mapping[int, Ends]]
) -> dict[int, dict[str, int]]:
    """Per partition, on which kinds of topics the same transaction is open at a second look."""
    waiting = {
        kind: {number: each.stable for number, each in found.items() if each.stable < each.end}
        for kind, found in ends.items()
    }
    if any(waiting.values()):
        time.sleep(AT_WORK_S)
    still: dict[int, dict[str, int]] = {}
    for kind, stable in waiting.items():
        again = log.ends(getattr(topics, kind)) if stable else {}
        for number, offset in stable.items():
            if again[number].stable == offset:
                still.setdefault(number, {})[kind] = offset
    return still


def _offsets(committed: Mapping[int, Committed]) -> dict[int, int]:
    return {partition: each.offset for partition, each in committed.items()}


def _last_times(log: Log, topic: str) -> dict[int, datetime]:
    """Per partition, the time of the newest snapshot among the last records."""
    starts = {
        partition: max(ends.start, ends.stable - LOOK_BACK)
        for partition, ends in log.ends(topic).items()
        if ends.stable > ends.start
    }
    times: dict[int, int] = {}
    for record in _tails(log, topic, starts):
        if record.value is not None and not (record.key or b"\0").startswith(b"\0"):
            times[record.partition] = record.timestamp
    return {number: datetime.fromtimestamp(at / 1000, UTC) for number, at in times.items()}


def _counts(
    log: Log,
    topic: str,
    starts: Mapping[int, int],
    chosen: Callable[[Iterable[Record]], Iterable[Record]] = iter,
) -> dict[int, int]:
    """Per partition, the records from an offset on that are chosen: counted as far as that is
    quick, since the ends of transactions take offsets, too."""
    spans = {number: ends.stable - starts[number] for number, ends in log.ends(topic).items()}
    counts = {number: max(0, span) for number, span in spans.items()}
    few = {number: starts[number] for number, span in spans.items() if 0 < span <= COUNTED}
    counts |= dict.fromkeys(few, 0)
    for record in chosen(_tails(log, topic, few)):
        counts[record.partition] += 1
    return counts


def _tails(log: Log, topic: str, starts: Mapping[int, int]) -> Iterator[Record]:
    """The records of partitions from an offset to the stable end, for a moment's patience."""
    if not starts:
        return
    waiting = set(starts)
    reader = log.reader()
    try:
        reader.assign(topic, starts)
        deadline = time.monotonic() + PATIENCE_S
        while waiting and time.monotonic() < deadline:
            chunk = reader.poll(COUNTED, 0.2)
            yield from chunk.records
            waiting -= set(chunk.ends)
    finally:
        reader.close()


# -- for people ----------------------------------------------------------------------------------

TITLES = (
    "processor", "partition", "owner", "committed", "lag", "entities", "low-water", "journal",
    "last-snapshot", "dead-letters",
)  # fmt: skip
LEFT = ("processor", "owner", "last-snapshot")


def _show(rows: Sequence[Row]) -> None:
    cells = [_cells(row) for row in rows]
    if sys.stdout.isatty():
        _table(cells)
    else:
        for text in _aligned([TITLES, *cells]):
            line(text)
    for remark in _remarks(rows):
        click.echo(remark, err=True)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.processor,
        str(row.partition),
        row.owner or "-",
        _or_dash(row.committed),
        str(row.lag),
        str(row.entities),
        _or_dash(row.low_water),
        f"{row.journal_start}..{row.journal_end}",
        "-" if row.last_snapshot is None else moment(row.last_snapshot)[:19] + "Z",
        str(row.dead_letters),
    )


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def _table(cells: Iterable[Sequence[str]]) -> None:
    """One table per processor; a narrow terminal wraps its lines, and nothing is cut."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    console = Console(highlight=False)
    for processor, rows in itertools.groupby(cells, key=lambda row: row[0]):
        table = Table(
            title=f"{processor}", title_justify="left", title_style="bold", box=None,
            pad_edge=False,
        )  # fmt: skip
        for title in TITLES[1:]:
            table.add_column(title, justify="left" if title in LEFT else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row[1:])
        wide = console.options.update(width=10_000)
        console.width = max(console.width, Measurement.get(console, wide, table).maximum)
        console.print(table)


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if title in LEFT else cell.rjust(width)
            for title, cell, width in zip(TITLES, row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def _remarks(rows: Iterable[Row]) -> list[str]:
    """What somebody should look after, in words."""
    remarks = []
    unowned: dict[str, int] = {}
    for row in rows:
        if row.owner is None:
            unowned[row.processor] = unowned.get(row.processor, 0) + 1
        remarks += [
            f"{row.processor}: a transaction is open on partition {row.partition} of the {kind}: "
            f"readers wait at offset {offset}"
            for kind, offset in row.hanging.items()
        ]
    return [*(_unowned(name, count) for name, count in unowned.items()), *remarks]


def _unowned(name: str, count: int) -> str:
    return f"{name}: nobody owns {count} of its partitions: is a worker running (kstate run)?"
