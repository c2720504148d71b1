"""Several workers in one process, each in a thread: one stops, all stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from kstate.config import HANG_TIMEOUT_S
from kstate.runtime.watchdog import Watchdog
from kstate.runtime.worker import Worker

logger = logging.getLogger("kstate.worker")


class Host:
    """Runs workers until `stop`, or until one of them fails.

    A loop that does not turn for ``hang_timeout_s`` ends the process.
    """

    def __init__(self, workers: Sequence[Worker], hang_timeout_s: float = HANG_TIMEOUT_S) -> None:
        self.workers = tuple(workers)
        self._hang_timeout_s = hang_timeout_s
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Asks every worker to finish its batch and leave; safe in a signal handler."""
        for worker in self.workers:
            worker.stop()

    def run(self) -> None:
        """Returns when all workers have left; raises what the first failing one raised."""
        threads = {
            worker: threading.Thread(target=self._run, args=(worker,), name=f"kstate-{worker.name}")
            for worker in self.workers
        }
        watchdog = Watchdog(self.workers, self._hang_timeout_s)
        for thread in threads.values():
            thread.start()
        while working := [worker for worker, thread in threads.items() if thread.is_alive()]:
            threads[working[0]].join(0.2)  # a signal is handled between two waits
            watchdog.look(working)
        if self._failure is not None:
            raise self._failure

    def _run(self, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            with self._lock:
                if self._failure is None:
                    self._failure = error
                else:
                    logger.error("%s also stopped: %s", worker.name, error)
        finally:
            self.stop()
