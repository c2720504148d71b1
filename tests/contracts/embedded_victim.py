"""A worker on the embedded log that is killed between the writing of a transaction and its commit.

Usage: embedded_victim.py PATH GROUP TOPIC INSTANCE JOURNAL.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from kstate.core.messages import Write
from kstate.log.embedded import EmbeddedLog
from kstate.log.embedded_file import Database
from kstate.log.port import Committed


def main() -> None:
    path, group, topic, instance, journal = sys.argv[1:]
    member = EmbeddedLog(path, lease_s=2.0).join(group, topic, instance)
    while not member.poll(1, 1.0).assigned:
        pass
    real = Database.write

    @contextmanager
    def write(database: Database, *patience: float) -> Iterator[sqlite3.Connection]:
        with real(database, *patience) as connection:
            yield connection
            os.kill(os.getpid(), signal.SIGKILL)

    Database.write = write  # type: ignore[method-assign, assignment]
    member.commit([Write(journal, 0, b"k", b"open", [], 0)], {0: Committed(9, "open")})


if __name__ == "__main__":
    main()
