"""Notes of the progress, kept where they do not expire: one record per partition in its snapshots.

The group's offsets are forgotten when a group is idle for a week, or deleted by an operator; a
takeover then goes on from the newest note.  It is written with a batch at most once a second, and
before the worker idles or leaves.
"""

from __future__ import annotations

from collections.abc import Callable

from kstate.core.messages import Progress, Write
from kstate.core.topics import CHECKPOINT_KEY

PERIOD_S = 1.0


class Checkpoints:
    """What is noted of the partitions that a worker owns.

    ``topic`` is that of the snapshots; ``monotonic`` gives seconds.
    """

    def __init__(self, topic: str, monotonic: Callable[[], float]) -> None:
        self._topic = topic
        self._monotonic = monotonic
        self._noted: dict[int, int] = {}  # partition → the next command, as noted
        self._due: dict[int, float] = {}  # partition → when another note may be written

    def known(self, partition: int, processed: int) -> None:
        """What the log has noted when the partition is taken over."""
        self._noted[partition] = processed

    def lost(self, partition: int) -> None:
        """The partition, or a batch with its note, is gone."""
        self._noted.pop(partition, None)
        self._due.pop(partition, None)

    def due(self, partition: int) -> bool:
        """Whether the newest note is old enough for another one."""
        return self._monotonic() >= self._due.get(partition, 0.0)

    def owed(self, partition: int, processed: int) -> bool:
        """Whether the newest note is behind."""
        return self._noted.get(partition, 0) < processed

    def note(self, partition: int, progress: Progress, now: int) -> Write:
        """The record of a progress at time ``now`` (ms), taken for written: if not, say `lost`."""
        self._due[partition] = self._monotonic() + PERIOD_S
        self._noted[partition] = progress.offset
        return Write(self._topic, partition, CHECKPOINT_KEY, progress.note(), [], now)
