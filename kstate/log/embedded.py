"""The embedded log: topics, groups and transactions in one SQLite file, without a server.

For a laptop, for tests, and for a small service on one machine.  Many processes may use the file at
once; one member of a group owns all partitions of its topic and the others stand by.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from kstate.errors import ConfigError, TopicError
from kstate.log.embedded_cleaner import Cleaner
from kstate.log.embedded_file import OFFSET_BITS, OFFSET_MASK, Database, Sync, Topic
from kstate.log.embedded_member import EmbeddedMember
from kstate.log.embedded_producer import EmbeddedProducer
from kstate.log.embedded_reader import EmbeddedReader
from kstate.log.embedded_records import ends_of, topic_of
from kstate.log.port import Cleanup, Committed, Ends, TopicInfo, TopicSpec

_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")  # as Kafka has it
_MAX_PARTITIONS = 10_000
_OPTIONS: Mapping[str, Callable[[str], object]] = {
    "sync": str,
    "max_record_bytes": int,
    "lease_s": float,
    "busy_timeout_s": float,
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class EmbeddedLog:
    """See `kstate.log.port.Log`.

    ``sync="full"``: a commit survives a power failure, for an fsync each; ``"normal"``: it survives
    the death of the process, and a power failure may take the last commits.  ``lease_s``: how long
    an owner may hang before a standby takes over; one that died is replaced at once.
    ``busy_timeout_s``: how long to wait for another process's transaction.  ``clock`` gives the
    milliseconds since the epoch; ``clean_every_s`` and ``clean_min_records`` say how often an owner
    looks for something to clean, and how many records make a compaction worthwhile.
    """

    multiple_owners = False

    def __init__(
        self,
        path: str | Path,
        *,
        sync: Sync = "full",
        max_record_bytes: int = 1_048_576,
        lease_s: float = 6.0,
        busy_timeout_s: float = 5.0,
        clock: Callable[[], int] = _now_ms,
        clean_every_s: float = 5.0,
        clean_min_records: int = 10_000,
    ) -> None:
        if sync not in ("full", "normal"):
            raise ConfigError(f"sync is full or normal, not {sync!r}")
        if max_record_bytes < 1 or lease_s <= 0 or busy_timeout_s < 0:
            raise ConfigError("max_record_bytes, lease_s and busy_timeout_s must be positive")
        self._path = Path(path).absolute()
        self.url = f"sqlite:{quote(str(self._path))}"
        self.max_record_bytes = max_record_bytes
        self._sync: Sync = sync
        self._lease_s = lease_s
        self._busy_timeout_s = busy_timeout_s
        self._clock = clock
        self._clean_every_s = clean_every_s
        self._clean_min_records = clean_min_records
        self._lock = threading.Lock()  # of the log's own connection
        self._database = self._open()

    @classmethod
    def from_url(cls, url: str) -> EmbeddedLog:
        """The log of ``sqlite:bank.db`` or ``sqlite:/var/lib/bank.db?sync=normal``.

        The path is percent-decoded.  The options are those of the class except its clock; raises
        `ConfigError` for others, and for a URL that names no file.
        """
        parts = urlsplit(url)
        path = unquote(parts.path)
        if parts.scheme != "sqlite" or parts.netloc or parts.fragment or path in ("", ":memory:"):
            raise ConfigError(
                f"{url} names no log file; write sqlite:bank.db or sqlite:/dir/bank.db"
            )
        options: dict[str, object] = {}
        for name, text in parse_qsl(parts.query, keep_blank_values=True):
            if name not in _OPTIONS:
                known = ", ".join(_OPTIONS)
                raise ConfigError(f"{url} has an unknown option {name}; there are {known}")
            try:
                options[name] = _OPTIONS[name](text)
            except ValueError as error:
                raise ConfigError(f"{url}: {name} cannot be {text!r}") from error
        return cls(path, **options)  # type: ignore[arg-type]  # their types are checked above

    def __repr__(self) -> str:
        return f"<EmbeddedLog {self.url}>"

    def _open(self) -> Database:
        return Database(self._path, self._sync, self._busy_timeout_s)

    def _cleaner(self, database: Database) -> Cleaner:
        return Cleaner(database, self._clock, self._clean_every_s, self._clean_min_records)

    # -- topics ------------------------------------------------------------------------------

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """See the port.  All are created or none; raises `TopicError` for an impossible one."""
        specs = list(specs)
        for spec in specs:
            _check(spec)
        with self._lock, self._database.write() as connection:
            known = set(self._database.topics)
            (slot,) = connection.execute("SELECT value FROM meta WHERE name='next_slot'").fetchone()
            for spec in specs:
                if spec.name in known:
                    continue
                known.add(spec.name)
                name, partitions, cleanup, *settings = spec
                connection.execute(
                    "INSERT INTO topics VALUES (?,?,?,?,?,?,?,?,?)",
                    (slot, name, partitions, cleanup, uuid.uuid4().hex, *settings),
                )
                connection.executemany(
                    "INSERT INTO partitions VALUES (?,0,0,0,0)",
                    [(slot + partition,) for partition in range(partitions)],
                )
                slot += partitions
            connection.execute("UPDATE meta SET value=? WHERE name='next_slot'", (slot,))
            connection.execute("UPDATE meta SET value=value+1 WHERE name='catalogue'")

    def delete_topic(self, name: str) -> None:
        """Deletes a topic, its records and all progress in it; its members are fenced."""
        with self._lock, self._database.write() as connection:
            topic = topic_of(self._database.topics, name)
            first, beyond = topic.slot, topic.slot + topic.partitions
            connection.execute(
                "DELETE FROM records WHERE id>=? AND id<?",
                (first << OFFSET_BITS, beyond << OFFSET_BITS),
            )
            connection.execute("DELETE FROM partitions WHERE slot>=? AND slot<?", (first, beyond))
            connection.execute("DELETE FROM progress WHERE slot>=? AND slot<?", (first, beyond))
            connection.execute("DELETE FROM leases WHERE topic=?", (first,))
            connection.execute("DELETE FROM topics WHERE slot=?", (first,))
            connection.execute("UPDATE meta SET value=value+1 WHERE name='catalogue'")

    def topics(self, names: Iterable[str] | None = None) -> Mapping[str, TopicInfo]:
        """See the port."""
        with self._lock, self._database.read():
            found = self._database.topics
        wanted = found if names is None else [name for name in names if name in found]
        return {name: _info(found[name], self.max_record_bytes) for name in wanted}

    def identity(self) -> str:
        """See the port."""
        return ""

    def weaknesses(self) -> Sequence[str]:
        """See the port."""
        if self._sync == "full":
            return ()
        return (
            "sync=normal: a power failure may take the last commits; leave it out to keep them",
        )

    def ends(self, topic: str) -> Mapping[int, Ends]:
        """See the port.  ``stable`` and ``end`` are the same here."""
        with self._lock, self._database.read() as connection:
            ends = ends_of(connection, topic_of(self._database.topics, topic))
        return {partition: Ends(start, end, end) for partition, (start, end) in ends.items()}

    def offsets_at(self, topic: str, timestamp_ms: int) -> Mapping[int, int]:
        """See the port."""
        offsets = {}
        with self._lock, self._database.read() as connection:
            found = topic_of(self._database.topics, topic)
            for partition, (_, end) in ends_of(connection, found).items():
                base = found.slot + partition << OFFSET_BITS
                first = connection.execute(
                    "SELECT id FROM records WHERE id>=? AND id<? AND timestamp>=?"
                    " ORDER BY id LIMIT 1",
                    (base, base + end, timestamp_ms),
                ).fetchone()
                offsets[partition] = end if first is None else first[0] & OFFSET_MASK
        return offsets

    def compact(self, topic: str) -> None:
        """Cleans a topic now: by compaction, by age or by both, as it was specified."""
        with self._lock:
            with self._database.read():
                found = topic_of(self._database.topics, topic)
            self._cleaner(self._database).run(found)

    # -- groups ------------------------------------------------------------------------------

    def progress(self, group: str, topic: str) -> Mapping[int, Committed]:
        """See the port."""
        with self._lock, self._database.read() as connection:
            found = topic_of(self._database.topics, topic)
            rows = connection.execute(
                "SELECT slot-?, next, metadata FROM progress WHERE grp=? AND slot>=? AND slot<?",
                (found.slot, group, found.slot, found.slot + found.partitions),
            )
            return {partition: Committed(*done) for partition, *done in rows}

    def end_orphan(self, group: str, instance: str) -> bool:
        """See the port.  A transaction ends with its process here: there is none to end.

        An owner that died counts as a member for the rest of its lease; one that stands by, which
        has nothing open, does not.
        """
        with self._lock, self._database.read() as connection:
            owner = connection.execute(
                "SELECT 1 FROM leases WHERE grp=? AND instance=? AND expires>?",
                (group, instance, self._clock()),
            ).fetchone()
        return owner is None

    def owners(self, group: str, topic: str) -> Mapping[int, str]:
        """See the port.  An owner that died is told for the rest of its lease."""
        with self._lock, self._database.read() as connection:
            found = topic_of(self._database.topics, topic)
            owner = connection.execute(
                "SELECT instance FROM leases"
                " WHERE grp=? AND topic=? AND instance IS NOT NULL AND expires>?",
                (group, found.slot, self._clock()),
            ).fetchone()
        return {} if owner is None else dict.fromkeys(range(found.partitions), owner[0])

    def join(self, group: str, topic: str, instance: str) -> EmbeddedMember:
        """See the port.  Raises `TopicError` when there is no such topic."""
        with self._lock, self._database.read():
            topic_of(self._database.topics, topic)
        database = self._open()
        return EmbeddedMember(
            database,
            (group, topic),
            instance,
            lease_s=self._lease_s,
            max_record_bytes=self.max_record_bytes,
            clock=self._clock,
            cleaner=self._cleaner(database),
        )

    # -- outside groups ----------------------------------------------------------------------

    def reader(self, *, follows: bool = False) -> EmbeddedReader:
        """See the port; it asks a file, which tells its ends at once."""
        return EmbeddedReader(self._open())

    def producer(self) -> EmbeddedProducer:
        """See the port."""
        return EmbeddedProducer(self._open(), self.max_record_bytes, self._clock)

    def close(self) -> None:
        """See the port."""
        with self._lock:
            self._database.close()


def _info(topic: Topic, max_record_bytes: int) -> TopicInfo:
    return TopicInfo(
        name=topic.name,
        partitions=topic.partitions,
        cleanup=topic.cleanup,
        identity=topic.identity,
        retention_ms=topic.retention_ms,
        delete_retention_ms=topic.delete_retention_ms,
        log_append_time=bool(topic.log_append_time),
        # the cleaner comes when as much is new as is live, else for tombstones alone
        dirty_ratio=0.5 if topic.short else 1.0,
        max_record_bytes=max_record_bytes,
    )


def _check(spec: TopicSpec) -> None:
    if not _TOPIC_NAME.fullmatch(spec.name):
        raise TopicError(
            f"{spec.name!r} cannot be a topic's name: it takes 1 to 249 of A-Z a-z 0-9 . _ -"
        )
    if not 1 <= spec.partitions <= _MAX_PARTITIONS:
        raise TopicError(
            f"{spec.name} cannot have {spec.partitions} partitions; 1 to {_MAX_PARTITIONS} it may"
        )
    if spec.cleanup not in get_args(Cleanup):
        known = ", ".join(get_args(Cleanup))
        raise TopicError(f"{spec.name}: cleanup is {spec.cleanup!r}, which is none of {known}")
