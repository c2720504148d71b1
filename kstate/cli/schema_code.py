"""What the commands below ``kstate schema`` share: the processors whose code they look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kstate.cli.options import code_of
from kstate.config import Config

if TYPE_CHECKING:
    from kstate.codec.avro import AvroCodec

DIRECTORY = "schemas"

targets_argument = click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
directory_option = click.option(
    "--dir",
    "directory",
    default=DIRECTORY,
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files are: DIR/<processor>/<Type>.avsc.",
)


def codecs(targets: tuple[str, ...], config: Config) -> list[AvroCodec]:
    """The codecs of the processors at these targets; raises as `code_of` does."""
    from kstate.codec.avro import AvroCodec
    from kstate.processor import definition_of

    return [AvroCodec(definition_of(code_of(target, config))) for target in targets]
