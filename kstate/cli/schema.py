"""``kstate schema``: the schemas of a processor, frozen into files and checked against them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kstate.cli.options import (
    common,
    config_file,
    examples,
    json_flag,
    opened,
    warn_of_unknown_variables,
)
from kstate.cli.output import as_json, line
from kstate.cli.schema_code import codecs, directory_option, targets_argument
from kstate.cli.schema_docs import docs
from kstate.cli.schema_list import diff, list_versions
from kstate.cli.schema_topic import published
from kstate.config import Config, load_config
from kstate.core.topics import Topics
from kstate.errors import SchemaError

if TYPE_CHECKING:
    from kstate.codec.book import Book

BAD = ("incompatible", "missing")


@click.group(epilog=examples("kstate schema check processors.bank:Bank"))
def schema() -> None:
    """Freeze the schemas of processors, or check them.

    A frozen schema is a file under version control. What was ever frozen may still be stored
    somewhere, so today's code must be able to read it.
    """


schema.add_command(list_versions)
schema.add_command(diff)
schema.add_command(docs)


@schema.command(epilog=examples("kstate schema freeze processors.bank:Bank"))
@targets_argument
@directory_option
@config_file
@json_flag("JSON lines")
def freeze(targets: tuple[str, ...], directory: Path, file: Path | None, as_jsons: bool) -> None:
    """Write today's schemas into files.

    A version that was frozen before and differs stays beside the new one. Nothing is written for
    a processor with an incompatible change. TARGET is module:Class, or a name listed under
    processors in kstate.toml.
    """
    from kstate.codec.schemas import freeze as freeze_schemas

    warn_of_unknown_variables()
    for codec in codecs(targets, load_config({}, file=file)):
        for written in freeze_schemas(codec, directory):
            found = {"type": written.type_name, "outcome": written.outcome}
            path = str(written.path)
            line(as_json({**found, "path": path}) if as_jsons else f"{written.outcome:10} {path}")


@schema.command(
    epilog=examples(
        "kstate schema check processors.bank:Bank",
        "kstate schema check processors.bank:Bank --published",
    )
)
@common
@targets_argument
@directory_option
@click.option("--published", "topic", is_flag=True, help="Also against the log's schemas topic.")
@json_flag("JSON lines")
def check(
    config: Config, targets: tuple[str, ...], directory: Path, topic: bool, as_jsons: bool
) -> None:
    """Say whether today's code reads all that was frozen.

    Prints one verdict per type: ok, new (not frozen yet), rebuild (a state whose older snapshots
    are passed over), retired (a command that was published and is taken no longer), incompatible,
    or missing (frozen, and no type of today's code); fails when one of the last two is among them.
    Adapters are tried with made-up data. TARGET is module:Class, or a name listed under processors
    in kstate.toml.
    """
    from kstate.codec.schemas import check as check_schemas

    verdicts: Counter[str] = Counter()
    for codec in codecs(targets, config):
        known = _published(config, codec.processor) if topic else None
        for finding in check_schemas(codec, directory, known):
            verdicts[finding.verdict] += 1
            text = f"{finding.verdict:13} {codec.processor}: {finding.sentence}"
            if as_jsons:
                text = as_json({"processor": codec.processor, **_fields(finding)})
            line(text, at_once=True)  # before the error that sums them up, on whatever it is told
    bad = sum(verdicts[verdict] for verdict in BAD)
    if bad:
        raise SchemaError(
            f"{bad} of {verdicts.total()} types cannot be read as they were frozen: mend them as "
            "said above"
        )


def _published(config: Config, processor: str) -> Book:
    log = opened(config)
    try:
        return published(log, Topics.of(processor, config.prefix)).book
    finally:
        log.close()


def _fields(finding: Any) -> dict[str, str]:
    return {
        "type": finding.type_name, "verdict": finding.verdict, "sentence": finding.sentence,
    }  # fmt: skip
