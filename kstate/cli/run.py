"""``kstate run``: workers in this process, or in several."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

from kstate.cli.options import common
from kstate.config import Config

EXIT_LATE = 75
"""The workers did not stop within ``--stop-timeout``."""

logger = logging.getLogger("kstate.run")


@click.command(
    epilog="Example: kstate run processors.bank:Bank --log sqlite:bank.db --store rocksdb"
)
@common
@click.argument("targets", nargs=-1, required=True, metavar="PROCESSOR...")
@click.option("--store", metavar="NAME", help="Snapshots at hand: sqlitedict, rocksdb or memory.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where stores and the worker's name are kept; .kstate by default.",
)
@click.option(
    "--partitions",
    type=click.IntRange(1),
    metavar="N",
    help="Partitions of a new processor; 8 by default.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many processes.",
)
@click.option(
    "--batch-records",
    type=click.IntRange(1),
    metavar="N",
    help="Commands of one transaction at the most.",
)
@click.option(
    "--batch-ms",
    type=click.IntRange(1),
    metavar="MS",
    help="How long a batch may run before it is committed.",
)
@click.option(
    "--max-entities", type=click.IntRange(1), metavar="N", help="Entities in memory, per partition."
)
@click.option(
    "--stop-timeout",
    "stop_timeout_s",
    type=float,
    metavar="S",
    help="How long a clean stop may take; 10 seconds by default.",
)
@click.option(
    "--skip-lost",
    is_flag=True,
    default=None,
    help="Go on without commands that retention deleted before they were processed.",
)
@click.option("--log-level", default="INFO", show_default=True,
              type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
              help="What is told on standard error.")  # fmt: skip
def run(config: Config, targets: tuple[str, ...], workers: int, log_level: str) -> None:
    """Run processors, each given as module:Class or by its name in kstate.toml.

    SIGTERM and Ctrl-C let the workers finish their batch; a second one ends them at once.
    """
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    if workers > 1:
        from kstate.runtime.workers import Workers

        command = [sys.executable, "-m", "kstate.cli.main", *_without_workers(sys.argv[1:])]
        crew = Workers(command, workers, config.stop_timeout_s)
        _on_signals(crew.stop, config.stop_timeout_s + 1)
        code = crew.run()
        if code:
            sys.exit(code)
        return
    _run_here(config, targets)


def _run_here(config: Config, targets: tuple[str, ...]) -> None:
    from kstate.runtime.host import Host
    from kstate.wiring import build_workers, load_processor, open_log

    processors = [load_processor(target, config.processors) for target in targets]
    log = open_log(config.log)
    try:
        host = Host(build_workers(config, log, processors))
        _on_signals(host.stop, config.stop_timeout_s)
        names = ", ".join(worker.name for worker in host.workers)
        logger.info("running %s on %s", names, log.url)
        host.run()
        logger.info("stopped %s", names)
    finally:
        log.close()


def _on_signals(stop: Callable[[], None], timeout_s: float) -> None:
    """The first signal stops, the second one or the end of patience ends the process."""
    stopping = threading.Event()

    def end() -> None:
        click.echo(f"kstate: not stopped within {timeout_s:g} s: ending the process", err=True)
        os._exit(EXIT_LATE)

    def handle(number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(EXIT_LATE)
        stopping.set()
        timer = threading.Timer(timeout_s, end)
        timer.daemon = True
        timer.start()
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _without_workers(arguments: list[str]) -> list[str]:
    """The command line of one of the processes."""
    kept = []
    skip = False
    for each in arguments:
        if skip:
            skip = False
        elif each == "--workers":
            skip = True
        elif not each.startswith("--workers="):
            kept.append(each)
    return kept
