"""kstate's own tables beside a projection's rows: what it is, how far it is, what it skipped.

The fence: whoever takes a partition raises its epoch.  A batch locks the rows of its partitions
first and compares epoch and offset with what the process last knew; so a process that lost a
partition finds another number, and its transaction writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    select,
    update,
)

from kstate.errors import PartitionLost
from kstate.projection.rows import insert_into

METADATA = MetaData()

PROJECTIONS = Table(
    "kstate_projections",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("journal", Text, nullable=False),
    Column("identity", Text, nullable=False),  # of the journal: another one after it was recreated
    Column("version", Integer, nullable=False),  # that the tables are of
    Column("paused", Boolean, nullable=False),
    Column("rebuild", Text),  # the id of the rebuild under way
)
OFFSETS = Table(
    "kstate_offsets",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("source", BigInteger, nullable=False),  # the largest command offset seen, or -1
    Column("epoch", BigInteger, nullable=False),  # how often it was taken over
    Column("owner", Text, nullable=False),  # who took it last
    Column("error", Text),  # why the event at the offset failed
)
SKIPPED = Table(
    "kstate_skipped",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("record_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("persist_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)


@dataclass(slots=True)
class Hold:
    """A partition as the process that took it knows it."""

    partition: int
    epoch: int
    offset: int  # of the next record
    source: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A projection's row."""

    journal: str
    identity: str
    version: int
    paused: bool
    rebuild: str | None


def facts(connection: Connection, name: str, lock: bool = False) -> Facts | None:
    """What is known of a projection; with ``lock`` nobody changes it until the commit."""
    columns = (each for each in PROJECTIONS.c if each.name != "name")
    query = select(*columns).where(PROJECTIONS.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else Facts(*row)


def note(connection: Connection, name: str, **values: object) -> None:
    """Changes a projection's row, which is there."""
    connection.execute(update(PROJECTIONS).where(PROJECTIONS.c.name == name).values(**values))


def register(connection: Connection, name: str, found: Facts) -> None:
    """Writes the row of a projection that has none."""
    values = {each: getattr(found, each) for each in Facts.__slots__}
    row = insert_into(connection, PROJECTIONS).values(name=name, **values)
    connection.execute(row.on_conflict_do_nothing())


def claim(connection: Connection, name: str, partition: int, owner: str) -> Hold:
    """Takes a partition: whoever had it before writes nothing more.

    The projection's row is to be locked (`facts`): a reset or a swap is not to happen meanwhile.
    """
    fresh = insert_into(connection, OFFSETS).values(
        name=name, partition=partition, next_offset=0, source=-1, epoch=0, owner=owner
    )
    connection.execute(fresh.on_conflict_do_nothing())
    mine = (OFFSETS.c.name == name) & (OFFSETS.c.partition == partition)
    connection.execute(update(OFFSETS).where(mine).values(epoch=OFFSETS.c.epoch + 1, owner=owner))
    query = select(OFFSETS.c.epoch, OFFSETS.c.next_offset, OFFSETS.c.source).where(mine)
    return Hold(partition, *connection.execute(query).one())


def lock(connection: Connection, name: str, holds: Iterable[Hold]) -> None:
    """Locks the rows of these partitions until the commit; raises `PartitionLost` when one of them
    is not as this process last knew it."""
    wanted = {hold.partition: (hold.epoch, hold.offset) for hold in holds}
    found = dict(_locked(connection, name, wanted))
    lost = [each for each, known in wanted.items() if found.get(each) != known]
    if lost:
        raise PartitionLost(name, lost)


def lock_all(connection: Connection, name: str) -> dict[int, Hold]:
    """Locks every partition's row until the commit: no batch is under way meanwhile."""
    query = (
        select(OFFSETS.c.partition, OFFSETS.c.epoch, OFFSETS.c.next_offset, OFFSETS.c.source)
        .where(OFFSETS.c.name == name)
        .order_by(OFFSETS.c.partition)
        .with_for_update()
    )
    return {row[0]: Hold(*row) for row in connection.execute(query)}


def epochs(connection: Connection, name: str) -> dict[int, int]:
    """Per partition that was ever taken, how often."""
    query = select(OFFSETS.c.partition, OFFSETS.c.epoch).where(OFFSETS.c.name == name)
    return {row[0]: row[1] for row in connection.execute(query)}


def offsets(connection: Connection, name: str) -> dict[int, int]:
    """Per partition that was ever taken, the next offset."""
    query = select(OFFSETS.c.partition, OFFSETS.c.next_offset).where(OFFSETS.c.name == name)
    return {row[0]: row[1] for row in connection.execute(query)}


def _locked(
    connection: Connection, name: str, partitions: Iterable[int]
) -> Iterable[tuple[int, tuple[int, int]]]:
    query = (
        select(OFFSETS.c.partition, OFFSETS.c.epoch, OFFSETS.c.next_offset)
        .where(OFFSETS.c.name == name, OFFSETS.c.partition.in_(sorted(partitions)))
        .order_by(OFFSETS.c.partition)  # one order for all: none waits for another in a circle
        .with_for_update()
    )
    return ((row[0], (row[1], row[2])) for row in connection.execute(query))


_ADVANCE = (
    update(OFFSETS)
    .where(OFFSETS.c.name == bindparam("of"), OFFSETS.c.partition == bindparam("at"))
    .values(
        next_offset=bindparam("new_offset"), source=bindparam("new_source"), error=bindparam("why")
    )
)


def advance(
    connection: Connection, name: str, reached: Mapping[int, tuple[int, int, str | None]]
) -> None:
    """Per partition that is locked: next offset, source, and why the event there failed."""
    rows = [
        {"of": name, "at": each, "new_offset": offset, "new_source": source, "why": error}
        for each, (offset, source, error) in sorted(reached.items())
    ]
    if rows:
        connection.execute(_ADVANCE, rows)


def replace_offsets(
    connection: Connection, name: str, new: Mapping[int, Hold], old: Mapping[int, Hold]
) -> None:
    """Puts other offsets in place of the ``old``, which are locked, under epochs that nobody
    holds."""
    connection.execute(delete(OFFSETS).where(OFFSETS.c.name == name))
    rows = [
        {
            "name": name,
            "partition": each,
            "next_offset": hold.offset,
            "source": hold.source,
            "epoch": max(hold.epoch, old[each].epoch if each in old else 0) + 1,
            "owner": "",
        }
        for each, hold in new.items()
    ]
    if rows:
        connection.execute(insert_into(connection, OFFSETS), rows)


def skip(
    connection: Connection,
    name: str,
    place: tuple[int, int],
    event: tuple[str, int, str],
    error: str,
) -> None:
    """Notes a record whose event failed: partition and offset; persist id, seq and type."""
    row = insert_into(connection, SKIPPED).values(
        name=name, partition=place[0], record_offset=place[1], persist_id=event[0], seq=event[1],
        type=event[2], error=error, at=datetime.now(UTC),
    )  # fmt: skip
    connection.execute(row.on_conflict_do_nothing())


def skipped(connection: Connection, name: str) -> list[dict[str, object]]:
    """The rows of a projection's skipped events, without its name."""
    columns = [each for each in SKIPPED.c if each.name != "name"]
    query = select(*columns).where(SKIPPED.c.name == name)
    return [dict(row) for row in connection.execute(query).mappings()]


def begin_anew(connection: Connection, name: str) -> None:
    """Sets the offsets back, under epochs that nobody holds, and forgets the skipped events."""
    fresh = {"next_offset": 0, "source": -1, "epoch": OFFSETS.c.epoch + 1, "error": None}
    connection.execute(update(OFFSETS).where(OFFSETS.c.name == name).values(fresh))
    forget_skipped(connection, name)


def forget_skipped(connection: Connection, name: str) -> None:
    """Forgets the skipped events."""
    connection.execute(delete(SKIPPED).where(SKIPPED.c.name == name))
