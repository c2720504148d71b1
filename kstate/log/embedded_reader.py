"""Reading the embedded log outside any group."""

from __future__ import annotations

import time
from collections.abc import Mapping

from kstate.errors import LogError, TopicError
from kstate.log.embedded_file import Database, Topic
from kstate.log.embedded_records import ends_of, fetch, slot_of, topic_of
from kstate.log.embedded_wait import Pace
from kstate.log.port import Choice, Chunk

_NOTHING = Chunk((), {})


class EmbeddedReader:
    """See `kstate.log.port.Reader`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._topic: Topic | None = None
        self._positions: dict[int, int] = {}
        self._told: dict[int, int] = {}  # partition -> the end that was told last
        self._version = -1
        self._unread = True
        self._turn = 0
        self._only: Choice | None = None
        self._pace = Pace()

    def assign(self, topic: str, positions: Mapping[int, int], only: Choice | None = None) -> None:
        """See the port."""
        self._only = only
        with self._database.read() as connection:
            found = topic_of(self._database.topics, topic)
            for partition in positions:
                slot_of(self._database.topics, topic, partition)
            ends = ends_of(connection, found)
        self._topic = found
        self._positions = {p: max(offset, ends[p][0]) for p, offset in positions.items()}
        self._told = {}
        self._unread = True

    def poll(self, max_records: int, timeout_s: float) -> Chunk:
        """See the port."""
        if self._topic is None:
            raise LogError("the reader reads nothing yet; assign a topic first")
        deadline = time.monotonic() + timeout_s
        while True:
            chunk = self._look(self._topic, max_records)
            if chunk.records or chunk.ends or chunk.passed:
                self._pace.touch()
                return chunk
            if time.monotonic() >= deadline:
                return chunk
            self._pace.pause(deadline)

    def _look(self, topic: Topic, max_records: int) -> Chunk:
        version = self._database.version()  # before the read: what comes later is seen later
        if version == self._version and not self._unread:
            return _NOTHING
        with self._database.read() as connection:
            if self._database.topics.get(topic.name) != topic:
                raise TopicError(f"topic {topic.name} was deleted while it was read; assign anew")
            ends = ends_of(connection, topic)
            order = self._rotated()
            records = fetch(connection, topic, order, ends, max_records)
        self._positions.update(order)
        self._version = version
        reached = {p: position for p, position in order.items() if position == ends[p][1]}
        news = {p: end for p, end in reached.items() if self._told.get(p) != end}
        self._told.update(news)
        self._unread = any(position < ends[p][1] for p, position in order.items())
        if self._only is None:
            return Chunk(records, news)
        only = self._only
        return Chunk([each for each in records if only(each.headers)], news, order)

    def _rotated(self) -> dict[int, int]:
        """The positions, beginning with another partition each time: none starves the others."""
        items = list(self._positions.items())
        self._turn = (self._turn + 1) % max(1, len(items))
        return dict(items[self._turn :] + items[: self._turn])

    def close(self) -> None:
        """See the port."""
        self._database.close()
