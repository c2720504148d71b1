"""``kstate state``: the state of an entity, now or then."""

from __future__ import annotations

import click

from kstate.cli.options import common, reference
from kstate.cli.output import show
from kstate.config import Config


@click.command(epilog="Example: kstate state bank acct-1")
@common
@click.argument("target", metavar="PROCESSOR")
@click.argument("persist_id", metavar="ID")
@click.option("--at-seq", type=click.IntRange(0), metavar="N", help="After this event.")
@click.option("--timeout", type=float, default=10.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def state(
    config: Config,
    target: str,
    persist_id: str,
    at_seq: int | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Print the state of an entity.

    The owner answers for the state now; a state of the past is folded from the journal, which
    needs the processor's code: PROCESSOR is then module:Class.
    """
    from kstate.wiring import connect

    with connect(config.log, prefix=config.prefix) as client:
        found = client.state(reference(target, config), persist_id, at_seq=at_seq, timeout=timeout)
        show(found, as_json)
