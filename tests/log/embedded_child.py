"""A process of its own on an embedded log, for the tests that kill, stop and crowd processes.

Usage: embedded_child.py MODE PATH LEASE_S.  Tells what it did, a line each, on standard output.
"""

import resource
import sys

from kstate.core.messages import Write
from kstate.errors import KStateError
from kstate.log.embedded import EmbeddedLog
from kstate.log.port import Committed

PER_COMMIT = 5


def own(log: EmbeddedLog, pause_s: float = 0.0) -> None:
    """Owns the commands and commits for ever: five events and the progress, numbered."""
    member = log.join("g", "commands", "child")
    while not member.poll(1, 1.0).assigned:
        pass
    before = member.committed(0)
    n = before.offset if before is not None else 0
    while True:
        n += 1
        writes = [Write("journal", n % 2, b"%d" % n, b"child", [], 0) for _ in range(PER_COMMIT)]
        member.commit(writes, {0: Committed(n, "")})
        print(n, flush=True)
        if pause_s:
            member.poll(1, pause_s)


def work(log: EmbeddedLog) -> None:
    """The same, at leisure: most of the time it is outside of transactions."""
    own(log, 0.01)


def produce(log: EmbeddedLog) -> None:
    """Produces 300 records, flushing often."""
    producer = log.producer()
    for n in range(300):
        producer.send(Write("commands", 0, b"k", b"%d" % n, [], 0))
        if n % 3 == 0:
            producer.flush(30.0)
    producer.close()
    print("done", flush=True)


def fill(log: EmbeddedLog) -> None:
    """Commits until the disk, or what stands for it, is full."""
    member = log.join("g", "commands", "child")
    while not member.poll(1, 1.0).assigned:
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
    n = 0
    while True:
        n += 1
        writes = [Write("journal", 0, b"%d" % n, bytes(50_000), [], 0) for _ in range(PER_COMMIT)]
        member.commit(writes, {0: Committed(n, "")})
        print(n, flush=True)


def main() -> int:
    mode, path, lease_s = sys.argv[1:]
    log = EmbeddedLog(path, lease_s=float(lease_s))
    print("ready", flush=True)
    try:
        {"own": own, "work": work, "produce": produce, "fill": fill}[mode](log)
    except KStateError as error:
        print(type(error).__name__, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
