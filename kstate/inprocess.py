"""Workers in a program of one's own, which may hear of the events they commit."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from kstate.config import Config, load_config
from kstate.core.batch import CommittedEvent
from kstate.errors import ConfigError
from kstate.log.port import Log
from kstate.processor import Processor
from kstate.runtime.effects import Subscriber
from kstate.runtime.host import Host
from kstate.wiring import build_workers, open_log

AnyProcessor = type[Processor[Any]]


class InProcess:
    """Workers that run in threads of this program while a ``with`` block does.

    They are the workers of ``kstate run``: others may run beside them, here or elsewhere.
    """

    def __init__(self, config: Config, processors: tuple[AnyProcessor, ...]) -> None:
        self._config = config
        self._processors = processors
        self._subscribers: list[Subscriber] = []
        self._log: Log | None = None
        self._host: Host | None = None
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None
        """What one of the workers failed with, which ended all of them."""

    def subscribe(self, subscriber: Subscriber) -> None:
        """Calls ``subscriber`` with each event that these workers commit (`CommittedEvent`), after
        the commit, in the order of its entity, in the worker's thread.

        Before the block begins only.  At most once: what must not be missed is an `EventHandler`.
        One that raises is logged; the next ones still hear of the event.
        """
        if self._host is not None:
            raise ConfigError("subscribe before the workers run: they have begun")
        self._subscribers.append(subscriber)

    def __enter__(self) -> InProcess:
        """Starts the workers; raises what keeps them from starting: `ConfigError`, `LogError`."""
        if self._host is not None:
            raise ConfigError("these workers have run already: make new ones")
        self._log = log = open_log(self._config.log, self._config.kafka)
        try:
            workers = build_workers(self._config, log, self._processors)
        except BaseException:
            log.close()
            raise
        for worker in workers:
            for subscriber in self._subscribers:
                worker.subscribe(subscriber)
        self._host = Host(workers, self._config.hang_timeout_s)
        self._thread = threading.Thread(target=self._run, name="kstate-workers", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Lets the workers finish their batch and leave; raises what one of them failed with."""
        assert self._host is not None
        assert self._thread is not None
        assert self._log is not None
        self._host.stop()
        self._thread.join()
        self._log.close()
        if self.failure is not None and error is None:
            raise self.failure

    def _run(self) -> None:
        assert self._host is not None
        try:
            self._host.run()
        except BaseException as error:  # noqa: BLE001 - raised again at the end of the block
            self.failure = error


def worker(url: str, *processors: AnyProcessor, **settings: Any) -> InProcess:
    """Workers of ``processors`` on the log at ``url``, one of each, in this program::

        workers = kstate.worker("sqlite:bank.db", Bank)
        workers.subscribe(lambda each: print(each.persist_id, each.event))
        with workers, kstate.connect("sqlite:bank.db") as k:
            k.call(Bank, "acct-1", Deposit(5))

    ``settings`` are those of ``kstate.toml``, by name (``prefix="test-"``, ``store="memory"``).  A
    handler that hangs for ``hang_timeout_s`` ends the program, as it ends ``kstate run``.  Raises
    `ConfigError`.
    """
    if not processors:
        raise ConfigError("a worker needs a processor to run")
    return InProcess(load_config({**settings, "log": url}), processors)


__all__ = ["CommittedEvent", "InProcess", "worker"]
