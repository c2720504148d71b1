"""How a worker is, noted where a health check on the same machine finds it.

The loop itself notes it, and no thread beside it: a loop that hangs says so by its silence.  The
note is one memory-mapped word, so that a reader never sees half of it, and a full disk does not
matter.  It is gone after a clean stop.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FILE = "heartbeat"

_WORD = struct.Struct("<q")
_STATES = 4


class State(enum.IntEnum):
    """What the loop of a worker is doing."""

    WAITING = 1  # for the log
    RECOVERING = 2  # partitions that it was given
    READY = 3  # it runs commands, or stands by


class Beat(NamedTuple):
    """What a worker noted last."""

    slot: str
    at_ms: int  # since the epoch
    state: State


class Heartbeat:
    """The note of one worker slot."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, _WORD.size)
        self._note = mmap.mmap(self._file, _WORD.size)
        _WORD.pack_into(self._note, 0, 0)  # what the last life noted is over

    def beat(self, at_ms: int, state: State) -> None:
        """Notes that the loop has turned, at this time since the epoch."""
        _WORD.pack_into(self._note, 0, at_ms * _STATES + state)

    def close(self) -> None:
        """Removes the note; idempotent."""
        if not self._note.closed:
            self._note.close()
            os.close(self._file)
            self._path.unlink(missing_ok=True)


def beats(data: Path, group: str) -> Iterator[Beat]:
    """The notes of all workers of a group that did not stop cleanly, by slot."""
    for path in sorted((data / group).glob(f"[0-9]*/{FILE}")):
        try:
            word = path.read_bytes()
        except FileNotFoundError:
            continue  # its worker has just stopped
        if len(word) == _WORD.size:
            at_ms, state = divmod(_WORD.unpack(word)[0], _STATES)
            if state:  # a worker that has not turned yet noted nothing
                yield Beat(path.parent.name, at_ms, State(state))
