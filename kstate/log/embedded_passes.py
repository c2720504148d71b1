"""How partitions of the embedded log are cleaned: compaction, tombstones, retention by time.

Compaction is that of Kafka's log cleaner: remember the newest offset of each key in the part that
was not cleaned yet (the dirty one), then sweep the partition from its start and delete what is
older.  Offsets never change, and neither does the partition's end.

A pass is a generator: it yields after each slice, outside any transaction.  Whoever drops it, or
dies, loses only time: what it deleted was superseded, and the next pass begins anew.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from kstate.log.embedded_file import OFFSET_BITS, OFFSET_MASK, Database, Topic

Pass = Generator[None, None, None]

_SLICE = 2_000  # records looked at in one go: a few milliseconds
_KEYS = 1_000_000  # remembered in one round; a larger dirty part takes several

_DIRTY = "SELECT id, key FROM records WHERE id>=? AND id<? ORDER BY id LIMIT ?"
_DIRTY_TOMBSTONES = (
    "SELECT id, key FROM records INDEXED BY tombstones"
    " WHERE value IS NULL AND id>=? AND id<? ORDER BY id LIMIT ?"
)


class Part(NamedTuple):
    """A partition as its row tells it; offsets."""

    slot: int
    start: int
    next: int
    cleaned: int  # what lies below was compacted
    live: int  # records that were left of it

    @property
    def base(self) -> int:
        """The record id of offset 0."""
        return self.slot << OFFSET_BITS


def parts_of(database: Database, topic: Topic) -> list[Part]:
    """The partitions of a topic, as they are now."""
    with database.read() as connection:
        rows = connection.execute(
            "SELECT slot, start, next, cleaned, live FROM partitions WHERE slot>=? AND slot<?",
            (topic.slot, topic.slot + topic.partitions),
        )
        return [Part._make(row) for row in rows]


def compact(
    database: Database, part: Part, tombstones_before_ms: int, *, tombstones_only: bool = False
) -> Pass:
    """Keeps the newest record per key, and drops tombstones appended before a time.

    With ``tombstones_only`` no other keys are looked for: enough where keys never repeat.
    """
    query = _DIRTY_TOMBSTONES if tombstones_only else _DIRTY
    cleaned = part.cleaned
    while cleaned < part.next:
        newest: dict[bytes, int] = {}
        reached = yield from _remember(
            database, query, (part.base + cleaned, part.base + part.next), newest
        )
        live = yield from _sweep(database, (part.base + part.start, reached), newest)
        cleaned = reached - part.base
        with database.write() as connection:
            connection.execute(
                "UPDATE partitions SET cleaned=?, live=? WHERE slot=?", (cleaned, live, part.slot)
            )
        yield
    yield from forget_tombstones(database, part._replace(cleaned=cleaned), tombstones_before_ms)


def _remember(
    database: Database, query: str, span: tuple[int, int], newest: dict[bytes, int]
) -> Generator[None, None, int]:
    """Fills ``newest`` (key → record id) from the span; returns the id it got to."""
    at, end = span
    while len(newest) < _KEYS:
        with database.read() as connection:
            rows = connection.execute(query, (at, end, _SLICE)).fetchall()
        for id_, key in rows:
            if key is not None:
                newest[key] = id_
        if len(rows) < _SLICE:
            return end
        at = rows[-1][0] + 1
        yield
    return at


def _sweep(
    database: Database, span: tuple[int, int], newest: dict[bytes, int]
) -> Generator[None, None, int]:
    """Deletes what ``newest`` supersedes in the span; returns how many records are left there."""
    at, end = span
    live = 0
    rows: list[tuple[int, bytes | None]] = []
    while newest and at < end:
        with database.read() as connection:
            rows = connection.execute(_DIRTY, (at, end, _SLICE)).fetchall()
        dead = [(id_,) for id_, key in rows if key is not None and newest.get(key, -1) > id_]
        live += len(rows) - len(dead)
        if dead:
            with database.write() as connection:
                connection.executemany("DELETE FROM records WHERE id=?", dead)
        if len(rows) < _SLICE:
            break
        at = rows[-1][0] + 1
        yield
    return live


def forget_tombstones(database: Database, part: Part, before_ms: int) -> Pass:
    """Deletes tombstones appended before a time, where all they supersede is gone already."""
    while True:
        with database.write() as connection:
            deleted = connection.execute(
                "DELETE FROM records WHERE id IN (SELECT id FROM records INDEXED BY tombstones"
                " WHERE value IS NULL AND key IS NOT NULL AND id>=? AND id<? AND appended<?"
                " ORDER BY id LIMIT ?)",
                (part.base, part.base + part.cleaned, before_ms, _SLICE),
            ).rowcount
        if deleted < _SLICE:
            return
        yield


def retained_from(database: Database, topic: Topic, part: Part) -> int:
    """The offset from which on a group still needs the records; the end when there is no group.

    A group that has committed elsewhere in the topic, or has a member, but never committed in this
    partition has processed nothing of it.
    """
    with database.read() as connection:
        (needed,) = connection.execute(
            "SELECT min(ifnull(p.next, ?)) FROM ("
            "  SELECT grp FROM progress WHERE slot>=? AND slot<?"
            "  UNION SELECT grp FROM leases WHERE topic=?) g"
            " LEFT JOIN progress p ON p.grp=g.grp AND p.slot=?",
            (part.start, topic.slot, topic.slot + topic.partitions, topic.slot, part.slot),
        ).fetchone()
    return part.next if needed is None else min(part.next, int(needed))


def retain(database: Database, topic: Topic, part: Part, before_ms: int) -> Pass:
    """Deletes the oldest records that were appended before a time and that no group needs."""
    limit = part.base + retained_from(database, topic, part)
    at = part.base + part.start
    more = True
    while more and at < limit:
        with database.write() as connection:
            rows = connection.execute(
                "SELECT id, appended FROM records WHERE id>=? AND id<? ORDER BY id LIMIT ?",
                (at, limit, _SLICE),
            ).fetchall()
            old = next((i for i, row in enumerate(rows) if row[1] >= before_ms), len(rows))
            more = old == len(rows) == _SLICE
            at = rows[old][0] if old < len(rows) else rows[-1][0] + 1 if more else limit
            connection.execute("DELETE FROM records WHERE id>=? AND id<?", (part.base, at))
            connection.execute(
                "UPDATE partitions SET start=max(start, ?) WHERE slot=?",
                (at & OFFSET_MASK, part.slot),
            )
        yield


__all__ = [
    "Part",
    "Pass",
    "compact",
    "forget_tombstones",
    "parts_of",
    "retain",
    "retained_from",
]
