"""A worker in a process of its own, with a command that kills it: URL, PREFIX, DATA."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from counter import Count, Counter

from kstate import Command, Context, command
from kstate.config import Config
from kstate.runtime.host import Host
from kstate.wiring import build_workers, open_log


@dataclass(frozen=True)
class Kill(Command[int]):
    """Kills its worker, each time."""


class Deadly(Counter):
    name = "deadly"

    @command
    def kill(self, ctx: Context[Count], cmd: Kill) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


def main(url: str, prefix: str, data: str) -> None:
    log = open_log(url)
    config = Config(log=url, prefix=prefix, data=Path(data), partitions=1)
    host = Host(build_workers(config, log, [Deadly]))
    signal.signal(signal.SIGTERM, lambda *_: host.stop())
    print("running", flush=True)
    try:
        host.run()
    finally:
        log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
