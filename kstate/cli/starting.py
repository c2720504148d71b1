"""The start of ``kstate run``: a log that is away is waited for, as it is while workers run."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kstate.config import Config
from kstate.errors import LogUnavailable
from kstate.runtime.telling import Teller

if TYPE_CHECKING:
    from kstate.log.port import Log
    from kstate.processor import Processor
    from kstate.runtime.worker import Worker

RETRY_S = 0.5
LOOK_S = 0.05
SILENCE_S = 1.5
"""How long a log may take to answer before it is told that it is waited for."""


class Started(NamedTuple):
    """Workers that are ready to be run, and the log they stand on."""

    log: Log
    workers: list[Worker]


class Starting:
    """Opens the log and builds workers, in a thread of its own.

    The main thread must stay free for signals: a client of a cluster that is away may keep a call
    for many seconds, in which no handler runs.
    """

    def __init__(self, config: Config, processors: Sequence[type[Processor[Any]]]) -> None:
        self._config = config
        self._processors = processors
        self._given_up = threading.Event()
        self._started: Started | None = None
        self._failure: BaseException | None = None
        self._teller = Teller(", ".join(processor.name for processor in processors))
        self._telling = threading.Lock()  # two threads tell
        self._thread = threading.Thread(target=self._run, name="kstate-start", daemon=True)

    def stop(self) -> None:
        """Gives the start up; safe in a signal handler."""
        self._given_up.set()

    def wait(self) -> Started | None:
        """What was started; None after `stop`, at once, whatever the log does.

        Raises what makes waiting useless: every error but `LogUnavailable`.
        """
        self._thread.start()
        began = time.monotonic()
        # not one wait on an event: its lock is no place for a signal handler that sets it
        while self._thread.is_alive() and not self._given_up.is_set():
            self._thread.join(LOOK_S)
            if time.monotonic() - began > SILENCE_S and self._thread.is_alive():
                where = self._config.log.partition("?")[0]  # options may be secrets
                self._tell_away(LogUnavailable(f"{where} has not answered yet"), reason=False)
        if self._thread.is_alive():
            return None  # it owns nothing yet that others wait for; it ends with the process
        if self._failure is not None:
            raise self._failure
        return self._started

    def _run(self) -> None:
        try:
            while not self._given_up.is_set():
                try:
                    self._started = self._start()
                except LogUnavailable as error:
                    self._tell_away(error)
                    self._given_up.wait(RETRY_S)
                else:
                    with self._telling:
                        self._teller.available()
                    return
        except BaseException as error:  # noqa: BLE001 - raised again by `wait`
            self._failure = error

    def _tell_away(self, error: LogUnavailable, reason: bool = True) -> None:
        with self._telling:
            self._teller.unavailable(error, reason)

    def _start(self) -> Started:
        from kstate.wiring import build_workers, open_log

        log = open_log(self._config.log, self._config.kafka)
        try:
            return Started(log, build_workers(self._config, log, self._processors))
        except BaseException:
            log.close()
            raise
