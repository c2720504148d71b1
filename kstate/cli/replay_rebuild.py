"""``kstate replay --rebuild``: new snapshots from the events."""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kstate.cli.options import opened
from kstate.cli.output import as_json, line
from kstate.config import Config
from kstate.processor import Processor


def rebuild_snapshots(
    config: Config, processor: type[Processor[Any]], timeout: float, as_jsons: bool
) -> None:
    """Has the owners write them, or does it here while no worker runs; prints how many.

    A seat taken for it leaves nothing on this machine.
    """
    from kstate.upkeep import rebuild

    with (
        tempfile.TemporaryDirectory(prefix="kstate-rebuild-") as data,
        closing(opened(config)) as log,
    ):
        settings = replace(config, data=Path(data))
        written = rebuild(settings, log, processor, timeout_s=timeout, watch=_told)
    plural = "" if written == 1 else "s"
    line(as_json({"snapshots": written}) if as_jsons else f"{written:,} snapshot{plural} written")


def _told(done: int, count: int) -> None:
    if sys.stderr.isatty() or done == count:
        click.echo(f"{done} of {count} partitions", err=True)
