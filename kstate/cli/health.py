"""``kstate health``: whether the workers on this machine are at work."""

from __future__ import annotations

import time

import click

from kstate.cli.options import common, data_directory, examples, reference
from kstate.cli.output import line
from kstate.config import Config
from kstate.core.topics import Topics
from kstate.errors import Unhealthy
from kstate.processor import name_of
from kstate.runtime.heartbeat import Beat, State, beats

MAX_AGE_S = 30.0
"""Longer than a turn of a healthy loop takes: it may wait for a transaction to time out (10 s)."""


@click.command(epilog=examples("kstate health bank", "kstate health bank --alive"))
@common
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@data_directory("the workers' notes")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many workers of each must be well.",
)
@click.option(
    "--alive",
    is_flag=True,
    help="Ask for the loop alone: a worker that waits for its log or recovers is alive.",
)
@click.option(
    "--max-age",
    "max_age_s",
    type=click.FloatRange(0, min_open=True),
    default=MAX_AGE_S,
    show_default=True,
    metavar="S",
    help="How many seconds ago a loop may have turned last.",
)
def health(
    config: Config, targets: tuple[str, ...], workers: int, alive: bool, max_age_s: float
) -> None:
    """Ask whether workers are at work on this machine.

    TARGET is the name of a processor or module:Class. What the workers noted in the data directory
    counts; neither they nor the log are asked. Ends with exit code 41 when too few are well.
    """
    now_ms = int(time.time() * 1000)
    for target in targets:
        name = name_of(reference(target, config))
        found = list(beats(config.data, Topics.of(name, config.prefix).group))
        # a time ahead of now is that of a clock that was set back since
        fresh = [each for each in found if abs(now_ms - each.at_ms) <= max_age_s * 1000]
        well = [each for each in fresh if alive or each.state is State.READY]
        if len(well) < workers:
            raise Unhealthy(f"{name}: {len(well)} of {workers} workers well{_why(found, fresh)}")
        line(f"{name}: {len(well)} well")


def _why(found: list[Beat], fresh: list[Beat]) -> str:
    if not found:
        return ": none runs on this data directory"
    told = [f"slot {each.slot} is {each.state.name.lower()}" for each in fresh]
    told += [f"slot {each.slot} is silent" for each in found if each not in fresh]
    return f": {', '.join(told)}"
