"""The schemas topic: read at start, and again when a record bears an unknown fingerprint."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kstate.codec.port import SchemaBook, SchemaRecord
from kstate.core.messages import Record, Write
from kstate.core.topics import Topics
from kstate.errors import LogError, TopicError
from kstate.log.port import Log, Reader

META_KEY = b"meta"
FORMAT = 1
PATIENCE_POLLS = 1_500
POLL_S = 0.02
FLUSH_S = 30.0


class SchemaTopic:
    """A processor's schemas topic, as one book's source.  May be used by many threads."""

    def __init__(self, log: Log, topics: Topics, book: SchemaBook) -> None:
        self.meta: Mapping[str, Any] | None = None
        self.register: Callable[[], object] | None = None
        """Registers today's schemas elsewhere, too, before they are published here: what it raises
        leaves the topic as it is."""
        self._log = log
        self._topic = topics.schemas
        self._book = book
        self._next = 0
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Reads what was added since the last time, to the end."""
        with self._lock:
            self._read()

    def _read(self) -> None:
        end = self._log.ends(self._topic)[0].end
        if end <= self._next:
            return
        reader = self._log.reader()  # not kept: schemas come rarely, and nobody would close it
        try:
            self._read_to(end, reader)
        finally:
            reader.close()

    def _read_to(self, end: int, reader: Reader) -> None:
        reader.assign(self._topic, {0: self._next})
        for _ in range(PATIENCE_POLLS):
            chunk = reader.poll(1_000, POLL_S)
            for record in chunk.records:
                self._learn(record)
            self._next = max(self._next, chunk.ends.get(0, 0))
            if self._next >= end:
                return
        raise LogError(f"{self._topic} cannot be read to its end: a transaction is open there")

    def _learn(self, record: Record) -> None:
        if record.key == META_KEY:
            self.meta = _parse_meta(self._topic, record.value)
        elif record.key is not None and record.value is not None:
            self._book.learn(SchemaRecord(record.key, record.value, record.headers))

    def publish(self, meta: Mapping[str, Any] | None, now: int) -> int:
        """Writes today's schemas that are missing, and ``meta`` if given; how many were written.

        Returns once they are stored: only then may a record use them.
        """
        if self.register is not None:
            self.register()
        missing = self._book.unpublished()
        records = [*missing]
        if meta is not None:
            records.append(SchemaRecord(META_KEY, json.dumps(meta).encode(), []))
        if not records:
            return 0
        producer = self._log.producer()
        try:
            for key, value, headers in records:
                producer.send(Write(self._topic, 0, key, value, headers, now))
            producer.flush(FLUSH_S)
        finally:
            producer.close()
        return len(missing)


def _parse_meta(topic: str, value: bytes | None) -> Mapping[str, Any]:
    try:
        meta = json.loads(value or b"")
    except (ValueError, RecursionError) as error:
        raise TopicError(f"{topic} has a meta record that is no JSON: {error}") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("format"), int):
        raise TopicError(f"{topic} has a meta record without a format version")
    if meta["format"] > FORMAT:
        raise TopicError(
            f"{topic} was written by a newer kstate (format {meta['format']}, this one knows "
            f"{FORMAT}): update kstate"
        )
    return meta
