"""A worker in a process of its own, whose command kills it.

Usage: dying_worker.py URL PREFIX DATA.  Runs until it dies, or until it is told to stop.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from counter import Add, Count, Counter

from kstate import Context, command
from kstate.config import Config
from kstate.runtime.host import Host
from kstate.wiring import build_workers, open_log

DEADLY = 666


class Deadly(Counter):
    """Adding 666 kills the process from within the handler."""

    @command
    def add(self, ctx: Context[Count], cmd: Add) -> int:
        if cmd.amount == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().add(ctx, cmd)


def main(url: str, prefix: str, data: str) -> None:
    config = Config(log=url, prefix=prefix, data=Path(data))
    log = open_log(url)
    host = Host(build_workers(config, log, [Deadly]))
    signal.signal(signal.SIGTERM, lambda *_: host.stop())
    host.run()
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
