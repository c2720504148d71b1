"""``kstate state``: the state of an entity, now or then."""

from __future__ import annotations

import click

from kstate.cli.options import code_of, common, connected, examples, json_flag, reference, timeout
from kstate.cli.output import show
from kstate.cli.waiting import Patience, client_for
from kstate.config import Config


@click.command(
    epilog=examples(
        "kstate state bank acct-1", "kstate state processors.bank:Bank acct-1 --at-seq 10"
    )
)
@common
@click.argument("target", metavar="TARGET")
@click.argument("persist_id", metavar="ID")
@click.option("--at-seq", type=click.IntRange(0), metavar="N", help="The state after this event.")
@timeout("the processor and the owner's answer")
@json_flag("JSON")
def state(
    config: Config,
    target: str,
    persist_id: str,
    at_seq: int | None,
    timeout: float,
    as_jsons: bool,
) -> None:
    """Print the state of an entity, now or then.

    For now, the worker that owns the entity answers, and TARGET may be the name of a processor.
    With --at-seq the events up to that one are folded here, which needs the processor's code:
    TARGET is then module:Class, or a name listed under processors in kstate.toml.
    """
    if at_seq is None:
        patience = Patience(timeout)
        processor = reference(target, config)
        with client_for(config, processor, patience) as client:
            found = client.state(processor, persist_id, timeout=patience.left_s)
    else:
        with connected(config) as client:
            found = client.state(code_of(target, config), persist_id, at_seq=at_seq)
    show(found, as_jsons)
