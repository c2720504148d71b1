"""Running one follower of a journal until SIGTERM or Ctrl-C, or until it fails."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from kstate.cli.crew import GRACE_S, run_crew, stop_with_the_parent
from kstate.cli.options import opened
from kstate.cli.stopping import Stopping
from kstate.config import Config
from kstate.errors import ConfigError, KStateError, LogUnavailable

if TYPE_CHECKING:
    from kstate.log.port import Log

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOOK_S = 0.1
RETRY_S = 0.5

logger = logging.getLogger("kstate.run")

log_level = click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    metavar="LEVEL",
    type=click.Choice(LEVELS, case_sensitive=False),
    help=f"What is told on standard error: {', '.join(LEVELS)}.",
)
"""``--log-level``: the command gets a text as ``log_level``."""


class Work(Protocol):
    """What runs until it is stopped."""

    def run(self) -> object:
        """Returns when it was stopped, or is done."""

    def stop(self) -> None:
        """Safe in a signal handler."""


def tell(level: str, of_several: bool = False) -> None:
    """Sends what is logged to standard error, with the process where there are several."""
    process = " [%(process)d]" if of_several else ""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s{process} %(message)s",
    )


def loaded(target: str, base: type[T]) -> type[T]:
    """The class at ``module:Class``; raises `ConfigError`, also for a module that raises."""
    from kstate.wiring import load_follower

    try:
        return load_follower(target, base)
    except KStateError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{target} cannot be imported: it raised {type(error).__name__}: {error} "
            "(kstate --debug … shows where)"
        ) from error


def serve(
    config: Config, make: Callable[[Log], Work], level: str, workers: int, crew: bool
) -> None:
    """Runs it until it is stopped, in so many processes; ``crew``: this is one of several."""
    tell(level, crew or workers > 1)
    if workers > 1:
        stopping = Stopping(config.stop_timeout_s + GRACE_S)
        context = click.get_current_context()
        context.exit(run_crew(context, workers, stopping, config.stop_timeout_s))
    Serving(config, make, crew).until_stopped()


class Serving:
    """Opens the log, makes the work and runs it, in a thread: the main one is for signals."""

    def __init__(self, config: Config, make: Callable[[Log], Work], crew: bool = False) -> None:
        self._config = config
        self._crew = crew  # this is one of several processes
        self._make = make
        self._given_up = threading.Event()
        self._work: Work | None = None
        self._result: object = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="kstate-serving", daemon=True)

    def until_stopped(self) -> object:
        """What the work's `run` returned, or None; raises what it failed with."""
        stopping = Stopping(self._config.stop_timeout_s)
        stopping.serve(self._stop)
        if self._crew:
            stop_with_the_parent(stopping)
        self._thread.start()
        while self._thread.is_alive():
            self._thread.join(LOOK_S)  # a signal is handled between two waits
            if self._given_up.is_set() and self._work is None:
                return None  # it waits for the log, and owns nothing
        if self._failure is not None:
            raise self._failure
        return self._result

    def _stop(self) -> None:
        self._given_up.set()
        if self._work is not None:
            self._work.stop()

    def _run(self) -> None:
        told = False
        while not self._given_up.is_set():
            try:
                self._once()
                return
            except LogUnavailable as error:
                if not told:
                    logger.warning("waiting for %s: %s", error.what, error)
                told, self._work = True, None
                self._given_up.wait(RETRY_S)
            except BaseException as error:  # noqa: BLE001 - raised again by `until_stopped`
                self._failure = error
                return

    def _once(self) -> None:
        log = opened(self._config)
        try:
            work = self._work = self._make(log)
            if self._given_up.is_set():
                work.stop()  # the signal came while it was made
            self._result = work.run()
        finally:
            log.close()
