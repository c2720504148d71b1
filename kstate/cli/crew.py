"""``--workers``: the same command in several processes, each started again when it dies."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from kstate.cli.stopping import Stopping

GRACE_S = 3.0
"""What the parent of several workers gets beyond their timeout, to end those that hang."""

F = TypeVar("F", bound=Callable[..., Any])

logger = logging.getLogger("kstate.run")


def crew_options(function: F) -> F:
    """``--workers``: the command gets a number as ``workers``, and as ``crew`` whether it is itself
    one of several."""
    hidden = click.option("--crew", is_flag=True, hidden=True)
    shown = click.option(
        "--workers",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="How many processes; one that dies is started again.",
    )
    return shown(hidden(function))


def run_crew(
    context: click.Context, workers: int, stopping: Stopping, stop_timeout_s: float
) -> int:
    """Runs the command of this context in several processes; the exit code."""
    from kstate.runtime.workers import Workers

    names = context.command_path.split()[1:]  # behind the program's
    command = [sys.executable, "-m", "kstate.cli.main", *names, "--crew", *_given(context)]
    crew = Workers(command, workers, stop_timeout_s)
    stopping.serve(crew.stop, crew.kill)
    logger.info("starting %d workers", workers)
    code = crew.run()
    if not code:
        logger.info("all workers stopped")
    return code


def stop_with_the_parent(stopping: Stopping) -> None:
    """For one of several processes: it does not outlive the one that started it."""
    from kstate.runtime.workers import when_the_parent_is_gone

    when_the_parent_is_gone(stopping.ask)


def _given(context: click.Context) -> list[str]:
    """The arguments of this command as they were given, without ``--workers``."""
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        if isinstance(parameter, click.Argument):
            arguments += value if parameter.nargs != 1 else [value]
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            options.append(parameter.opts[0])
        elif name != "workers":
            options.append(f"{parameter.opts[0]}={value}")
    return [*options, "--", *arguments]
