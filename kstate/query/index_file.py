"""The file of an index: a journal's records in SQLite, found by persist id, tag and type.

A record is known by its place, one number made of partition and offset.  The tables:

* ``event``: the records themselves, by place;
* ``entity``: persist id and seq → place, which queries by id and tombstones ask;
* ``mark``: tag or type → place; ``name`` numbers these, and counts what they mark;
* ``position``: per partition, how far the journal is in, and how many events are;
* ``stamp``: the journal that it is of, and the generation, another one whenever it is made anew.

Whoever writes does it in one transaction that begins with a look at generation and positions, so
that several processes may bring the same file up to date.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from kstate.core.messages import Record, new_record
from kstate.core.topics import parse_event_key
from kstate.errors import StoreCorrupt
from kstate.query.index_database import Database
from kstate.query.index_terms import (
    Terms,
    bounds,
    decode_headers,
    encode_headers,
    marks_of,
    place_of,
    where,
)

FORMAT = 1
KNOWN_NAMES = 100_000
"""Numbers of names kept in memory, at the most."""
_BIG = 1 << 63

_TABLES = (
    "CREATE TABLE stamp (generation INTEGER, identity TEXT, partitions INTEGER, fresh_ms INTEGER)",
    "CREATE TABLE position (partition INTEGER PRIMARY KEY, next INTEGER, events INTEGER)",
    """CREATE TABLE event
    (place INTEGER PRIMARY KEY, key BLOB, timestamp INTEGER, headers BLOB, value BLOB)""",
    # seq without a type: one beyond 64 bits is kept as a text
    """CREATE TABLE entity
    (key BLOB, seq, place INTEGER, PRIMARY KEY (key, seq, place)) WITHOUT ROWID""",
    """CREATE TABLE name
    (id INTEGER PRIMARY KEY, kind TEXT, value BLOB, count INTEGER, UNIQUE (kind, value))""",
    "CREATE TABLE mark (name INTEGER, place INTEGER, PRIMARY KEY (name, place)) WITHOUT ROWID",
)


class Stamp(NamedTuple):
    """Which journal a file is of, and how fresh it is."""

    generation: int  # another one each time the file is made anew
    identity: str  # the topic's
    partitions: int
    fresh_ms: int  # it had all that was there at this time, milliseconds since the epoch


class Held(NamedTuple):
    """What a file has of a partition."""

    position: int  # the next offset to read
    events: int


class IndexFile(Database):
    """The file of one journal; raises as `Database`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._names: dict[tuple[str, bytes], int] = {}
        self._version = -1  # of the content, as far as other connections change it

    # -- life --------------------------------------------------------------------------------

    def stamp(self) -> Stamp | None:
        """What the file is of; None for a new one, and for one of another format."""
        with self._transaction() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                return None
            return Stamp(*db.execute("SELECT * FROM stamp").fetchone())

    @property
    def blank(self) -> bool:
        """Whether nothing was ever written into it."""
        with self._transaction() as db:
            return bool(db.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()[0])

    def make(self, identity: str, partitions: int, now_ms: int, since: Stamp | None) -> None:
        """Makes the file anew, empty; does nothing when its stamp is not ``since`` any more."""
        with self._transaction("IMMEDIATE") as db:
            if self.stamp() != since:
                return
            tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for (table,) in tables:
                db.execute(f'DROP TABLE "{table}"')
            for statement in _TABLES:
                db.execute(statement)
            made = Stamp(secrets.randbits(62), identity, partitions, now_ms)
            db.execute("INSERT INTO stamp VALUES (?, ?, ?, ?)", made)
            rows = [(partition, 0, 0) for partition in range(partitions)]
            db.executemany("INSERT INTO position VALUES (?, ?, ?)", rows)
            db.execute(f"PRAGMA user_version = {FORMAT}")
        self._forget()

    def _forget(self) -> None:
        self._names.clear()

    # -- what goes in ------------------------------------------------------------------------

    def held(self) -> dict[int, Held]:
        """What it has, per partition; nothing before it was made."""
        with self._transaction() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                return {}
            rows = db.execute("SELECT partition, next, events FROM position").fetchall()
            return {partition: Held(position, events) for partition, position, events in rows}

    def add(
        self, generation: int, records: Sequence[Record], reached: Mapping[int, int]
    ) -> dict[int, int] | None:
        """Takes in what was read up to the positions ``reached``, all or nothing; the positions
        now, which others may have moved further.  None: the file was made anew meanwhile."""
        with self._transaction("IMMEDIATE") as db:
            if not self._is(db, generation):
                return None
            positions = dict(db.execute("SELECT partition, next FROM position").fetchall())
            self._refresh(db)
            self._insert(db, [each for each in records if each[1] >= positions[each[0]]])
            moved = {p: max(positions[p], position) for p, position in reached.items()}
            rows = [(position, partition) for partition, position in moved.items()]
            db.executemany("UPDATE position SET next = ? WHERE partition = ?", rows)
            return {**positions, **moved}

    def finish(self, generation: int, starts: Mapping[int, int], fresh_ms: int | None) -> None:
        """Drops what lies before the journal's starts and, with ``fresh_ms``, notes that the file
        had everything at that time; then nothing that was deleted is in it any more."""
        with self._transaction("IMMEDIATE") as db:
            if not self._is(db, generation):
                return
            self._refresh(db)
            for partition, start in starts.items():
                gone = (place_of(partition, 0), place_of(partition, start))
                query = "SELECT place FROM event WHERE place >= ? AND place < ?"
                self._drop(db, [place for (place,) in db.execute(query, gone).fetchall()])
            if fresh_ms is not None:
                db.execute("UPDATE stamp SET fresh_ms = ?", (fresh_ms,))

    def has_before(self, starts: Mapping[int, int]) -> bool:
        """Whether it has events before these offsets."""
        query = "SELECT 1 FROM event WHERE place >= ? AND place < ? LIMIT 1"
        with self._transaction() as db:
            return any(
                db.execute(query, (place_of(partition, 0), place_of(partition, start))).fetchone()
                for partition, start in starts.items()
            )

    def _insert(self, db: sqlite3.Connection, records: Iterable[Record]) -> None:
        events, marks, gone = [], [], []
        entities: list[tuple[bytes, int | str, int]] = []
        held: Counter[int] = Counter()
        for record in records:
            partition, offset, key, value, headers, timestamp = record
            parsed = parse_event_key(key)
            if parsed is None:
                continue
            place = place_of(partition, offset)
            persist_id, seq = parsed[0], parsed[1] if parsed[1] < _BIG else str(parsed[1])
            if value is None:
                gone.append((persist_id, seq, *bounds(partition, offset)))
                continue
            held[partition] += 1
            events.append((place, key, timestamp, encode_headers(headers), value))
            entities.append((persist_id, seq, place))
            marks += [(self._number(db, *mark), place) for mark in marks_of(headers)]
        db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", events)
        db.executemany("INSERT INTO entity VALUES (?, ?, ?)", sorted(entities, key=itemgetter(0)))
        db.executemany("INSERT INTO mark VALUES (?, ?)", sorted(marks))
        self._count(db, held, Counter(name for name, _ in marks))
        query = "SELECT place FROM entity WHERE key = ? AND seq = ? AND place >= ? AND place < ?"
        for each in gone:
            self._drop(db, [place for (place,) in db.execute(query, each).fetchall()])

    def _drop(self, db: sqlite3.Connection, places: Sequence[int]) -> None:
        held: Counter[int] = Counter()
        names: Counter[int] = Counter()
        for place in places:
            query = "SELECT key, headers FROM event WHERE place = ?"
            key, blob = db.execute(query, (place,)).fetchone()
            persist_id, seq = parse_event_key(key) or (b"", 0)
            entity = (persist_id, seq if seq < _BIG else str(seq), place)
            numbers = [self._number(db, *mark) for mark in marks_of(self._headers(blob))]
            db.execute("DELETE FROM entity WHERE key = ? AND seq = ? AND place = ?", entity)
            pairs = [(number, place) for number in numbers]
            db.executemany("DELETE FROM mark WHERE name = ? AND place = ?", pairs)
            db.execute("DELETE FROM event WHERE place = ?", (place,))
            held[where(place)[0]] -= 1
            names.subtract(numbers)
            self._erased = True
        self._count(db, held, names)

    def _count(self, db: sqlite3.Connection, held: Counter[int], names: Counter[int]) -> None:
        rows = [(count, partition) for partition, count in held.items()]
        db.executemany("UPDATE position SET events = events + ? WHERE partition = ?", rows)
        rows = [(count, name) for name, count in names.items()]
        db.executemany("UPDATE name SET count = count + ? WHERE id = ?", rows)
        fewer = [(name,) for name, count in names.items() if count < 0]
        if fewer:  # a tag may be a secret, too, and goes with the last event that bore it
            db.executemany("DELETE FROM name WHERE id = ? AND count = 0", fewer)
            self._names.clear()

    def _refresh(self, db: sqlite3.Connection) -> None:
        """Forgets the numbers of names when others have written: they may have deleted some."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._names.clear()

    def _number(self, db: sqlite3.Connection, kind: str, value: bytes) -> int:
        found = self._names.get((kind, value))
        if found is None:
            if len(self._names) >= KNOWN_NAMES:
                self._names.clear()
            query = "SELECT id FROM name WHERE kind = ? AND value = ?"
            row = db.execute(query, (kind, value)).fetchone()
            if row is None:
                query = "INSERT INTO name (kind, value, count) VALUES (?, ?, 0) RETURNING id"
                row = db.execute(query, (kind, value)).fetchone()
            found = self._names[kind, value] = int(row[0])
        return found

    # -- what comes out ----------------------------------------------------------------------

    def places(
        self, terms: Terms, low: int, high: int, limit: int, generation: int
    ) -> list[int] | None:
        """The places from ``low`` to below ``high`` of what matches, in order: the first ``limit``
        of them or, with a persist id, all.  None: the file was made anew meanwhile."""
        with self._transaction() as db:
            if not self._is(db, generation):
                return None
            found: set[int] = set()
            for query, given in terms.queries(self._ids(db, terms), low, high, limit):
                found.update(place for (place,) in db.execute(query, given))
            return sorted(found) if terms.wanted.key is not None else sorted(found)[:limit]

    def _ids(self, db: sqlite3.Connection, terms: Terms) -> dict[tuple[str, bytes], Sequence[int]]:
        query = "SELECT id, count FROM name WHERE kind = ? AND value = ?"
        rows = {name: db.execute(query, name).fetchone() for name in terms.names}
        return {name: row for name, row in rows.items() if row is not None}

    def records(self, places: Sequence[int], generation: int) -> list[Record] | None:
        """The records at these places, in order; None: the file was made anew meanwhile."""
        marks = ",".join("?" * len(places))
        query = f"SELECT * FROM event WHERE place IN ({marks}) ORDER BY place"
        with self._transaction() as db:
            if not self._is(db, generation):
                return None
            rows = db.execute(query, places).fetchall()
        headers = self._headers
        return [
            new_record((*where(place), key, value, headers(blob), timestamp))
            for place, key, timestamp, blob, value in rows
        ]

    def _headers(self, blob: bytes) -> list[tuple[str, bytes]]:
        try:
            return decode_headers(blob)
        except ValueError as error:
            raise StoreCorrupt(f"the index {self.path} is damaged") from error

    def _is(self, db: sqlite3.Connection, generation: int) -> bool:
        found = db.execute("PRAGMA user_version").fetchone()[0] == FORMAT
        return bool(
            found and db.execute("SELECT generation FROM stamp").fetchone()[0] == generation
        )
