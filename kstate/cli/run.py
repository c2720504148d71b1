"""``kstate run``: workers in this process, or in several."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kstate.cli.options import code_of, common, data_directory, examples, partitions
from kstate.cli.starting import Starting
from kstate.cli.stopping import Stopping
from kstate.config import Config

if TYPE_CHECKING:
    from kstate.processor import Processor

CREW_GRACE_S = 3.0
"""What the parent of several workers gets beyond their timeout, to end those that hang."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

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
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many processes; one that dies is started again.",
)
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
@click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    metavar="LEVEL",
    type=click.Choice(LEVELS, case_sensitive=False),
    help=f"What is told on standard error: {', '.join(LEVELS)}.",
)
@click.option("--crew", is_flag=True, hidden=True)  # this is one of several workers
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
    process = " [%(process)d]" if crew or workers > 1 else ""
    logging.basicConfig(
        level=log_level.upper(),
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s{process} %(message)s",
    )
    stopping = Stopping(config.stop_timeout_s + (CREW_GRACE_S if workers > 1 else 0))
    processors = [code_of(target, config) for target in targets]
    for name, count in Counter(processor.name for processor in processors).items():
        if count > 1:
            raise click.UsageError(
                f"{count} of the targets are the processor {name}: a run has one worker of each; "
                "--workers starts more"
            )
    if workers > 1:
        code = _run_crew(context, config, workers, stopping)
        context.exit(code)
    if crew:
        from kstate.runtime.workers import when_the_parent_is_gone

        when_the_parent_is_gone(stopping.ask)
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


def _run_crew(context: click.Context, config: Config, workers: int, stopping: Stopping) -> int:
    """Runs the same command in several processes; the exit code."""
    from kstate.runtime.workers import Workers

    command = [sys.executable, "-m", "kstate.cli.main", "run", "--crew", *_given(context)]
    crew = Workers(command, workers, config.stop_timeout_s)
    stopping.serve(crew.stop, crew.kill)
    logger.info("starting %d workers", workers)
    code = crew.run()
    if not code:
        logger.info("all workers stopped")
    return code


def _given(context: click.Context) -> list[str]:
    """The arguments of this command as they were given, without ``--workers``."""
    options, arguments = [], []
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        if isinstance(parameter, click.Argument):
            arguments += value
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            options.append(parameter.opts[0])
        elif name != "workers":
            options.append(f"{parameter.opts[0]}={value}")
    return [*options, "--", *arguments]
