"""Side effects after the commit, in a thread of their own, in the order of the commands."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence

from kstate.core.batch import CommittedEvent
from kstate.core.context import Effect

MAX_WAITING = 100_000

logger = logging.getLogger("kstate.effects")


class Effects:
    """Runs ``after_commit`` functions, each at most once; a failure is logged and counted.

    When more than `MAX_WAITING` wait, further ones are dropped and counted as failures: effects
    are never the partition's problem.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self._waiting: queue.Queue[Effect | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None

    def submit(self, effects: Sequence[Effect]) -> None:
        """Queues the effects of a committed batch; never blocks."""
        if effects and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kstate-effects", daemon=True)
            self._thread.start()
        for index, effect in enumerate(effects):
            try:
                self._waiting.put_nowait(effect)
            except queue.Full:
                dropped = len(effects) - index
                self.failed += dropped
                logger.error("%d after-commit effects dropped: too many wait", dropped)
                return

    def close(self, timeout_s: float) -> None:
        """Lets what waits run for up to ``timeout_s``; the rest is dropped, and said."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)
        except queue.Full:
            pass  # told below, like a thread that is still running
        if self._thread.is_alive():
            logger.error(
                "after-commit effects are still running; about %d dropped", self._waiting.qsize()
            )

    def _run(self) -> None:
        while (effect := self._waiting.get()) is not None:
            try:
                effect()
            except (Exception, SystemExit):  # an effect cannot end the effects behind it
                self.failed += 1
                logger.exception("an after-commit effect failed")
            else:
                self.done += 1


Subscriber = Callable[[CommittedEvent], object]


class Subscribers:
    """Who hears of committed events in the same program, in order, in the worker's thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._each: list[Subscriber] = []

    def add(self, subscriber: Subscriber) -> None:
        """One more, for events from now on."""
        self._each.append(subscriber)

    def tell(self, events: Iterable[CommittedEvent]) -> None:
        """Tells everybody; the failure of one is logged, and the next ones still hear of it."""
        for event in events:
            for subscriber in self._each:
                try:
                    subscriber(event)
                except Exception:
                    logger.exception("%s: a subscriber failed", self._name)
