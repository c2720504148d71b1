"""``kstate schema``: the schemas of a processor, frozen into files and checked against them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kstate.cli.options import (
    code_of,
    config_file,
    examples,
    json_flag,
    warn_of_unknown_variables,
)
from kstate.cli.output import as_json, line
from kstate.config import load_config
from kstate.errors import SchemaError

if TYPE_CHECKING:
    from kstate.codec.avro import AvroCodec

DIRECTORY = "schemas"
BAD = ("incompatible", "missing")


@click.group(epilog=examples("kstate schema check processors.bank:Bank"))
def schema() -> None:
    """Freeze the schemas of processors, or check them.

    A frozen schema is a file under version control. What was ever frozen may still be stored
    somewhere, so today's code must be able to read it.
    """


def _arguments(function: Any) -> Any:
    for decorate in (
        json_flag("JSON lines"),
        config_file,
        click.option("--dir", "directory", default=DIRECTORY, show_default=True, metavar="DIR",
                     type=click.Path(file_okay=False, path_type=Path),
                     help="Where the files are: DIR/<processor>/<Type>.avsc."),
        click.argument("targets", nargs=-1, required=True, metavar="TARGET..."),
    ):  # fmt: skip
        function = decorate(function)
    return function


def _codecs(targets: tuple[str, ...], file: Path | None) -> list[AvroCodec]:
    from kstate.codec.avro import AvroCodec
    from kstate.processor import definition_of

    warn_of_unknown_variables()
    config = load_config({}, file=file)
    return [AvroCodec(definition_of(code_of(target, config))) for target in targets]


@schema.command(epilog=examples("kstate schema freeze processors.bank:Bank"))
@_arguments
def freeze(targets: tuple[str, ...], directory: Path, file: Path | None, as_jsons: bool) -> None:
    """Write today's schemas into files.

    A version that was frozen before and differs stays beside the new one. Nothing is written for
    a processor with an incompatible change. TARGET is module:Class, or a name listed under
    processors in kstate.toml.
    """
    from kstate.codec.schemas import freeze as freeze_schemas

    for codec in _codecs(targets, file):
        for written in freeze_schemas(codec, directory):
            found = {"type": written.type_name, "outcome": written.outcome}
            path = str(written.path)
            line(as_json({**found, "path": path}) if as_jsons else f"{written.outcome:10} {path}")


@schema.command(epilog=examples("kstate schema check processors.bank:Bank"))
@_arguments
def check(targets: tuple[str, ...], directory: Path, file: Path | None, as_jsons: bool) -> None:
    """Say whether today's code reads all that was frozen.

    Prints one verdict per type: ok, new (not frozen yet), incompatible, or missing (frozen, and no
    type of today's code); fails when one of the last two is among them. TARGET is module:Class, or
    a name listed under processors in kstate.toml.
    """
    from kstate.codec.schemas import check as check_schemas

    verdicts: Counter[str] = Counter()
    for codec in _codecs(targets, file):
        for finding in check_schemas(codec, directory):
            verdicts[finding.verdict] += 1
            if as_jsons:
                line(as_json({"processor": codec.processor, **_fields(finding)}))
            else:
                line(f"{finding.verdict:13} {codec.processor}: {finding.sentence}")
    bad = sum(verdicts[verdict] for verdict in BAD)
    if bad:
        raise SchemaError(
            f"{bad} of {verdicts.total()} types cannot be read as they were frozen: mend them as "
            "said above"
        )


def _fields(finding: Any) -> dict[str, str]:
    return {
        "type": finding.type_name, "verdict": finding.verdict, "sentence": finding.sentence,
    }  # fmt: skip
