"""``kstate schema docs``: a page per processor, for those who do not read its code."""

from __future__ import annotations

from pathlib import Path

import click

from kstate.cli.options import config_file, examples, json_flag, warn_of_unknown_variables
from kstate.cli.output import as_json, line
from kstate.cli.schema_code import codecs, directory_option, targets_argument
from kstate.config import load_config


@click.command(epilog=examples("kstate schema docs processors.bank:Bank"))
@targets_argument
@directory_option
@config_file
@json_flag("JSON lines")
def docs(targets: tuple[str, ...], directory: Path, file: Path | None, as_jsons: bool) -> None:
    """Write a page about each processor: its messages, their versions, its tags.

    The page is DIR/<processor>/README.md, beside the frozen schemas. What stands in the docstrings
    of the classes stands there, too. TARGET is module:Class, or a name listed under processors in
    kstate.toml.
    """
    from kstate.codec.pages import write_page

    warn_of_unknown_variables()
    for codec in codecs(targets, load_config({}, file=file)):
        path, changed = write_page(codec, directory)
        outcome = "written" if changed else "unchanged"
        if as_jsons:
            line(as_json({"processor": codec.processor, "outcome": outcome, "path": str(path)}))
        else:
            line(f"{outcome:10} {path}")
