"""Workers that were killed in the middle of a transaction, which holds back who takes over."""

from __future__ import annotations

import logging

from kstate.core.messages import Progress
from kstate.core.topics import Topics
from kstate.log.port import Log

logger = logging.getLogger("kstate.recovery")


class Orphans:
    """Ends what dead workers may have left open, for who takes over a partition as ``instance``.

    ``writers`` are names that stood in the progress, shared by all partitions of a worker: what it
    takes over replaces them.
    """

    def __init__(
        self, log: Log, topics: Topics, partition: int, instance: str, writers: set[str]
    ) -> None:
        self._log = log
        self._topics = topics
        self._partition = partition
        self._writers = writers
        self._passed = {"", instance}  # to be left alone

    def end(self, writer: str) -> bool:
        """Ends the transaction of a worker that was killed in the middle of it; False when there is
        none to be tried any more.

        The progress names its writers, and is told although it is not stable: first whoever had
        this partition (``writer``, as far as it is known), then those of all others.  Whether they
        left anything open is not known.
        """
        group, commands = self._topics.group, self._topics.commands
        progress = self._log.progress(group, commands)
        found = {number: Progress.parse(*each) for number, each in progress.items()}
        names = {number: parsed[1] for number, parsed in found.items() if parsed}
        self._writers.update(names.values())
        first = writer or names.get(self._partition, "")
        if self._ended(first):
            return True
        others = self._writers - self._passed - {first}
        if others:
            others.difference_update(self._log.owners(group, commands).values())
        return any(map(self._ended, sorted(others)))

    def _ended(self, name: str) -> bool:
        group, commands = self._topics.group, self._topics.commands
        if name in self._passed or not self._log.end_orphan(group, name):
            return False
        self._passed.add(name)
        logger.info("%s:%d: ended what %s may have left open", commands, self._partition, name)
        return True
