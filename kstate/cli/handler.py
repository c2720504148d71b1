"""``kstate handler``: runs event handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kstate.cli.crew import crew_options
from kstate.cli.options import common, data_directory, examples
from kstate.cli.serving import Work, loaded, log_level, serve
from kstate.config import Config

if TYPE_CHECKING:
    from kstate.log.port import Log


@click.group(epilog=examples("kstate handler run processors.notices:Notices"))
def handler() -> None:
    """Run event handlers, which tell the outside world of events.

    Each event is handled at least once; how far a handler is, its group on the log keeps.
    """


@handler.command(epilog=examples("kstate handler run processors.notices:Notices"))
@common
@click.argument("target", metavar="TARGET")
@data_directory("the names of processes")
@crew_options
@log_level
def run(config: Config, target: str, workers: int, log_level: str, crew: bool) -> None:
    """Run an event handler until SIGTERM or Ctrl-C.

    TARGET is module:Class. Start it several times, on one machine or on more: the processes share
    the partitions. A log that is away is waited for.
    """
    from kstate.event_handler import EventHandler
    from kstate.wiring import build_handler

    def make(log: Log) -> Work:
        return build_handler(config, log, loaded(target, EventHandler))

    serve(config, make, log_level, workers, crew)
