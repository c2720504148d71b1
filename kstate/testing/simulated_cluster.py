"""A Kafka that lives in memory, in one thread and by a clock of its own.

`SimulatedLog` (`kstate.testing.simulated_log`) is the port on it.  What the brokers do in their own
time, this cluster does when its clock is moved: markers are written, sessions end, transactions
time out.  What is left to chance is asked of functions, so that a seed may decide it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from kstate.core.messages import Write
from kstate.core.partition import partition_for
from kstate.errors import TopicError
from kstate.log.port import TopicSpec
from kstate.testing.simulated_group import Group
from kstate.testing.simulated_records import Partition, Topic
from kstate.testing.simulated_transactions import Coordinator

BEGINNING_S = 1_767_225_600.0
"""When the clock starts, since the epoch."""


def _at_once(where: str) -> float:
    return 0.0


def _yes() -> bool:
    return True


class Cluster:
    """Topics, groups and transactions.

    ``delay_s`` says how long a marker takes in a topic or group, ``hears`` whether a member has
    heard by now of what its group has done.  Where ``waiting_moves_the_clock``, whoever waits for
    records passes the time; else somebody has to call `advance`.
    """

    def __init__(
        self,
        *,
        session_s: float = 6.0,
        poll_interval_s: float = 7.0,
        transaction_timeout_s: float = 10.0,
        delay_s: Callable[[str], float] = _at_once,
        hears: Callable[[], bool] = _yes,
        waiting_moves_the_clock: bool = True,
    ) -> None:
        self.now_s = BEGINNING_S
        self.lock = threading.RLock()
        self.topics: dict[str, Topic] = {}
        self.groups: dict[str, Group] = {}
        self.transactions = Coordinator(self, transaction_timeout_s, delay_s)
        self.hears = hears
        self.sessions_ended = 0
        self._session_s = session_s
        self._poll_interval_s = poll_interval_s
        self._waiting_moves_the_clock = waiting_moves_the_clock
        self._topics_made = 0

    @property
    def now_ms(self) -> int:
        """The time since the epoch."""
        return int(self.now_s * 1000)

    def advance(self, seconds: float) -> None:
        """Moves the clock, and does what the brokers do meanwhile."""
        with self.lock:
            self.now_s += seconds
            self.transactions.tick()
            for group in self.groups.values():
                self.sessions_ended += group.expire(self.now_s)

    def wait(self, seconds: float) -> bool:
        """Somebody waits; whether the time has passed."""
        if seconds > 0 and self._waiting_moves_the_clock:
            self.advance(seconds)
            return True
        return False

    # -- topics ------------------------------------------------------------------------------

    def create(self, specs: Iterable[TopicSpec]) -> None:
        """Creates the topics that are not there."""
        with self.lock:
            for spec in specs:
                if spec.name not in self.topics:
                    self._topics_made += 1
                    self.topics[spec.name] = Topic(spec, f"topic-{self._topics_made}")

    def topic(self, name: str) -> Topic:
        """The topic; raises `TopicError`."""
        found = self.topics.get(name)
        if found is None:
            raise TopicError(f"there is no topic {name}")
        return found

    def partition(self, topic: str, number: int) -> Partition:
        """One partition; raises `TopicError`."""
        partitions = self.topic(topic).partitions
        if not 0 <= number < len(partitions):
            raise TopicError(f"{topic} has no partition {number}: it has {len(partitions)}")
        return partitions[number]

    def place_of(self, write: Write) -> tuple[Partition, int]:
        """Where a record goes, and the timestamp it gets there; raises `TopicError`."""
        topic = self.topic(write.topic)
        number = write.partition
        if number is None:
            number = 0 if write.key is None else partition_for(write.key, len(topic.partitions))
        timestamp = self.now_ms if topic.spec.log_append_time else write.timestamp
        return self.partition(write.topic, number), timestamp

    def compact(self, name: str) -> int:
        """Compacts a topic now, and lets go what is too old where it is also deleted; how many
        records and markers went."""
        with self.lock:
            spec, now_ms, gone = self.topic(name).spec, self.now_ms, 0
            for each in self.topic(name).partitions:
                gone += each.compact(now_ms, spec.delete_retention_ms)
                if "delete" in spec.cleanup and spec.retention_ms >= 0:
                    gone += each.delete_older(now_ms - spec.retention_ms)
            return gone

    def delete_topic(self, name: str) -> None:
        """Deletes a topic with all its records."""
        with self.lock:
            del self.topics[name]

    # -- groups ------------------------------------------------------------------------------

    def group(self, name: str, topic: str) -> Group:
        """The group, made when it is first asked for; a group reads one topic."""
        with self.lock:
            if name not in self.groups:
                count = len(self.topic(topic).partitions)
                self.groups[name] = Group(count, self._session_s, self._poll_interval_s)
            return self.groups[name]

    def forget_offsets(self, name: str) -> int:
        """The offsets of an idle group expire; how many there were."""
        with self.lock:
            group = self.groups.get(name)
            if group is None or any(group.pending.values()):
                return 0
            count = len(group.offsets)
            group.offsets.clear()
            return count
