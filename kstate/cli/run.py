"""``kstate run``: workers in this process, or in several."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from kstate.cli.crew import GRACE_S, crew_options, run_crew, stop_with_the_parent
from kstate.cli.options import code_of, common, data_directory, examples, partitions
from kstate.cli.serving import log_level, tell
from kstate.cli.starting import Starting
from kstate.cli.stopping import Stopping
from kstate.config import Config

if TYPE_CHECKING:
    from kstate.processor import Processor


logger = logging.getLogger("kstate.run")


@click.command(
    epilog=examples(
        "kstate run processors.bank:Bank --log sqlite:bank.db",
        "kstate run bank flights --log sqlite:shop.db --workers 2 --store rocksdb",
    )
)
@common
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--store",
    metavar="NAME",
    help="Where snapshots are at hand: sqlitedict (the default), rocksdb or memory.",
)
@data_directory("the stores and the worker's name")
@partitions
@crew_options
@click.option(
    "--batch-records",
    type=click.IntRange(1),
    metavar="N",
    help="Commands of one transaction, at most; 5000 by default.",
)
@click.option(
    "--batch-ms",
    type=click.IntRange(1),
    metavar="MS",
    help="How long a batch may run before it is committed; 200 by default.",
)
@click.option(
    "--max-entities",
    type=click.IntRange(1),
    metavar="N",
    help="Entities in memory, per partition; 50000 by default.",
)
@click.option(
    "--stop-timeout",
    "stop_timeout_s",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="How many seconds a clean stop may take; 10 by default.",
)
@click.option(
    "--hang-timeout",
    "hang_timeout_s",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="After how many seconds a worker that hangs is ended; 300 by default.",
)
@click.option(
    "--skip-lost",
    is_flag=True,
    default=None,
    help="Go on without commands that retention deleted before they were processed.",
)
@log_level
@click.pass_context
def run(
    context: click.Context,
    config: Config,
    targets: tuple[str, ...],
    workers: int,
    log_level: str,
    crew: bool,
) -> None:
    """Run processors until SIGTERM or Ctrl-C.

    TARGET is module:Class, or a name listed under processors in kstate.toml. Topics that do not
    exist are created; a log that is away is waited for. The first signal lets the workers finish
    their batch and leave; a second one ends them at once, and so does --stop-timeout: then the exit
    code is 75.
    """
    tell(log_level, crew or workers > 1)
    stopping = Stopping(config.stop_timeout_s + (GRACE_S if workers > 1 else 0))
    processors = [code_of(target, config) for target in targets]
    for name, count in Counter(processor.name for processor in processors).items():
        if count > 1:
            raise click.UsageError(
                f"{count} of the targets are the processor {name}: a run has one worker of each; "
                "--workers starts more"
            )
    if workers > 1:
        context.exit(run_crew(context, workers, stopping, config.stop_timeout_s))
    if crew:
        stop_with_the_parent(stopping)
    _run_here(config, processors, stopping)


def _run_here(
    config: Config, processors: Sequence[type[Processor[Any]]], stopping: Stopping
) -> None:
    from kstate.runtime.collector import relax_collector
    from kstate.runtime.host import Host

    names = ", ".join(processor.name for processor in processors)
    starting = Starting(config, processors)
    stopping.serve(starting.stop)
    started = starting.wait()
    if started is None:
        logger.info("%s: stopped", names)
        return
    log, workers = started
    relax_collector()
    try:
        host = Host(workers, config.hang_timeout_s)
        stopping.serve(host.stop)
        logger.info("%s: running on %s; standing by until partitions are ready", names, log.url)
        host.run()
        logger.info("%s: stopped", names)
    finally:
        log.close()
