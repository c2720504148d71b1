"""An export or an import that kills its process.

``killed.py (export|import) URL PREFIX DIR WHEN N``: an export dies at the N-th chunk that it has
read; an import before, within or after its N-th transaction.  Exits with 0 when it comes to its end
before that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kstate.core.messages import Write
from kstate.log.port import Committed, Member
from kstate.transfer import exporting, importing, reading
from kstate.wiring import open_log

importing.BATCH_RECORDS = 7
reading.CHUNK = 5
reading.WAIT_S = 0.02


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Count:
    """Dies at the N-th call."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, count: int = 0) -> bool:
        self._left -= 1
        return not self._left


class DyingMember:
    """A member whose process dies at a commit."""

    def __init__(self, member: Member, when: str, count: Count) -> None:
        self._member = member
        self._when = when
        self._count = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)

    def commit(
        self, writes: Sequence[Write], progress: Mapping[int, Committed]
    ) -> Mapping[tuple[str, int], int]:
        now = self._count()
        if now and self._when == "before":
            die()
        if now and self._when == "within":
            self._member.write_ahead(writes)  # on Kafka the transaction is open, and stays so
            die()
        found = self._member.commit(writes, progress)
        if now:
            die()
        return found


class DyingLog:
    """A log whose members die."""

    def __init__(self, log: Any, when: str, count: Count) -> None:
        self._log = log
        self._when = when
        self._count = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def join(self, group: str, topic: str, instance: str) -> Any:
        return DyingMember(self._log.join(group, topic, instance), self._when, self._count)


def main(task: str, url: str, prefix: str, directory: str, when: str, number: str) -> None:
    log: Any = open_log(url)
    count = Count(int(number))
    if task == "export":
        made = exporting.Export(log, "bank", prefix, Path(directory), file_bytes=1)
        made.watch = lambda _: die() if count() else None
        made.run()
    else:
        archive = importing.checked(Path(directory))
        dying: Any = DyingLog(log, when, count)
        importing.Import(dying, Path(directory), archive, prefix, 3).run()
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
