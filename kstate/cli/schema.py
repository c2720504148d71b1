"""``kstate schema``: the schemas of a processor, frozen into files and checked against them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kstate.errors import SchemaError

DIRECTORY = "schemas"


@click.group(epilog="Example: kstate schema check processors.bank:Bank")
def schema() -> None:
    """Freeze today's schemas, or check that today's code reads all that was frozen."""


def _arguments(function: Any) -> Any:
    option = click.option(
        "--dir", "directory", default=DIRECTORY, show_default=True,
        type=click.Path(file_okay=False, path_type=Path), help="Where the schemas are.",
    )  # fmt: skip
    return click.argument("targets", nargs=-1, required=True, metavar="PROCESSOR...")(
        option(function)
    )


def _codec(target: str) -> Any:
    from kstate.codec.avro import AvroCodec
    from kstate.config import load_config
    from kstate.processor import definition_of
    from kstate.wiring import load_processor

    processor = load_processor(target, load_config({}).processors)
    return AvroCodec(definition_of(processor))


@schema.command(epilog="Example: kstate schema freeze processors.bank:Bank")
@_arguments
def freeze(targets: tuple[str, ...], directory: Path) -> None:
    """Write the schema of each type to DIR/<processor>/<Type>.avsc; older versions stay beside."""
    from kstate.codec.schemas import freeze as freeze_schemas

    for target in targets:
        for written in freeze_schemas(_codec(target), directory):
            click.echo(f"{written.outcome:10} {written.path}")


@schema.command(epilog="Example: kstate schema check processors.bank:Bank")
@_arguments
def check(targets: tuple[str, ...], directory: Path) -> None:
    """Say, per type, whether today's code reads everything ever frozen; fails when it does not."""
    from kstate.codec.schemas import check as check_schemas

    bad = 0
    for target in targets:
        for finding in check_schemas(_codec(target), directory):
            bad += finding.verdict in ("incompatible", "missing")
            click.echo(f"{finding.verdict:13} {finding.type_name}: {finding.sentence}".rstrip(": "))
    if bad:
        raise SchemaError(f"{bad} types cannot be read as they were frozen: see above")
