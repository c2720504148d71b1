"""A worker that is killed inside its first transaction with records, which stays open.

Usage: held_worker.py URL PREFIX DATA.  The group's progress and the records are with the brokers
by then, and the end of the transaction was not asked for.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counter import Counter

from kstate.config import Config
from kstate.core.messages import Write
from kstate.log.kafka_transaction import Transactions
from kstate.runtime.host import Host
from kstate.wiring import build_workers, open_log


def die_in_a_transaction() -> None:
    """Lets this process end where it would ask for the end of a transaction with records."""
    write, send_offsets = Transactions.write, Transactions._send_offsets
    written: list[Write] = []

    def writing(self: Transactions, writes: Sequence[Write], marked: set[int]) -> None:
        written.extend(writes)
        write(self, writes, marked)

    def sending(self: Transactions, offsets: Any, group: Any) -> None:
        send_offsets(self, offsets, group)
        if written:
            self._producer.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    Transactions.write = writing  # type: ignore[method-assign]
    Transactions._send_offsets = sending  # type: ignore[method-assign]


def main(url: str, prefix: str, data: str) -> None:
    die_in_a_transaction()
    log = open_log(url)
    Host(build_workers(Config(log=url, prefix=prefix, data=Path(data)), log, [Counter])).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
