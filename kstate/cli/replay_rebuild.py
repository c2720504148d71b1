"""``kstate replay --rebuild``: new snapshots from the events."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kstate.cli.options import opened
from kstate.cli.output import as_json, line
from kstate.cli.progress import PERIOD_S, Shown, progress
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
        _Partitions() as partitions,
    ):
        settings = replace(config, data=Path(data))
        written = rebuild(settings, log, processor, timeout_s=timeout, watch=partitions.told)
    plural = "" if written == 1 else "s"
    line(as_json({"snapshots": written}) if as_jsons else f"{written:,} snapshot{plural} written")


class _Partitions(ExitStack):
    """How many are done: a bar on a terminal, a line now and then elsewhere."""

    _shown: Shown | None = None
    _done = -1

    def told(self, done: int, count: int) -> None:
        """So many of ``count`` partitions are done."""
        if self._done < 0:
            self._began = self._at = time.monotonic()
            if sys.stderr.isatty():
                self._shown = self.enter_context(progress("partitions", count, pauses=True))
        if self._shown is not None:
            self._shown.advance(done - max(self._done, 0))
        elif time.monotonic() - self._at >= PERIOD_S or self._done < done == count:
            self._at = time.monotonic()
            spent = self._at - self._began
            click.echo(f"{done} of {count} partitions after {spent:,.0f} s", err=True)
        self._done = done
