"""``kstate state``: the state of an entity, now or then, and how it came about."""

from __future__ import annotations

from typing import Any

import click

from kstate.cli.options import code_of, common, connected, examples, json_flag, reference, timeout
from kstate.cli.output import line, show
from kstate.cli.progress import QUIET_S, progress
from kstate.cli.replay_forms import Steps
from kstate.cli.waiting import Patience, client_for
from kstate.config import Config
from kstate.errors import ConfigError
from kstate.query.points import Point


class PointType(click.ParamType):  # type: ignore[type-arg]
    """See `kstate.query.points.Point.parse`."""

    name = "point"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Point:
        if isinstance(value, Point):
            return value
        try:
            return Point.parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


@click.command(
    epilog=examples(
        "kstate state bank acct-1",
        "kstate state processors.bank:Bank acct-1 --at-seq 10",
        "kstate state processors.bank:Bank acct-1 --from 2026-03-01 --at before:cmd-17",
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.argument("persist_id", metavar="ID")
@click.option("--at-seq", type=click.IntRange(0), metavar="N", help="The state after this event.")
@click.option(
    "--at",
    type=PointType(),
    metavar="POINT",
    help="The state at a time, at seq:N, before:COMMAND-ID or after:COMMAND-ID.",
)
@click.option(
    "--from",
    "start",
    type=PointType(),
    metavar="POINT",
    help="Each event since this point, with the state after it.",
)
@timeout("the processor and the owner's answer")
@json_flag("JSON")
def state(
    config: Config,
    target: str,
    persist_id: str,
    at_seq: int | None,
    at: Point | None,
    start: Point | None,
    timeout: float,
    as_jsons: bool,
) -> None:
    """Print the state of an entity, now or then.

    For now, the worker that owns the entity answers, and TARGET may be the name of a processor.
    With --at-seq, --at or --from the events are folded here, which needs the processor's code:
    TARGET is then module:Class, or a name listed under processors in kstate.toml.
    """
    if at is not None and at_seq is not None:
        raise click.UsageError("give one of --at-seq and --at")
    end = at if at_seq is None else Point(seq=at_seq)
    if start is not None:
        _steps(config, target, persist_id, start, end, as_jsons)
    elif end is not None:
        _then(config, target, persist_id, end, as_jsons)
    else:
        patience = Patience(timeout)
        processor = reference(target, config)
        with client_for(config, processor, patience) as client:
            show(client.state(processor, persist_id, timeout=patience.left_s), as_jsons)


def _then(config: Config, target: str, persist_id: str, at: Point, as_jsons: bool) -> None:
    with connected(config) as client:
        processor = code_of(target, config)
        states = client.states(processor)
        size = client.journal(processor).size(persist_id)
        with progress("journal records", size, pauses=True, after_s=QUIET_S) as shown:
            states.tell(shown.advance)
            found = states.then(persist_id, at)
    show(found, as_jsons)


def _steps(
    config: Config, target: str, persist_id: str, start: Point, end: Point | None, as_jsons: bool
) -> None:
    with connected(config) as client:
        processor = code_of(target, config)
        states = client.states(processor)
        size = 3 * client.journal(processor).size(persist_id)  # it is read for each of three things
        with progress("journal records", size, pauses=True, after_s=QUIET_S) as shown:
            states.tell(shown.advance)
            seq, before = states.at(persist_id, start)
            steps = Steps(as_jsons, before)
            shown.clear()
            line(steps.beginning(persist_id, seq, before))
            for stored, after in states.steps(persist_id, start, end):
                shown.clear()
                line(steps.line(stored, after))
