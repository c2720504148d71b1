"""Which command is running, noted where a dead worker's successor finds it.

A command that kills its worker (out of memory, a crash in native code) must not kill it for ever:
the command that was running at a death is counted, and after the third it is dead-lettered.  The
note is a memory-mapped word: writing it costs a fraction of a microsecond, and the kernel keeps it
when the process is gone.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kstate.errors import BadCommand

MAX_DEATHS = 3

_NOTE = struct.Struct("<qq")
_NONE = (-1, -1)


class Running:
    """The note of one worker slot."""

    def __init__(self, directory: Path) -> None:
        self._deaths_path = directory / "deaths.json"
        self._deaths = self._read_deaths()
        self._file = os.open(directory / "running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fresh = os.fstat(self._file).st_size < _NOTE.size
        if fresh:
            os.ftruncate(self._file, _NOTE.size)
        self._note = mmap.mmap(self._file, _NOTE.size)
        if not fresh:
            self._count_death()
        # a C function, with what never changes: it is called for every command
        self.enter: Callable[[int, int], None] = partial(_NOTE.pack_into, self._note, 0)
        """Notes that the command at this partition and offset starts."""
        self.leave()

    def _read_deaths(self) -> dict[str, int]:
        try:
            deaths = json.loads(self._deaths_path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return deaths if isinstance(deaths, dict) else {}

    def _count_death(self) -> None:
        partition, offset = _NOTE.unpack_from(self._note, 0)
        if partition < 0:
            return
        key = f"{partition}:{offset}"
        count = self._deaths.pop(key, 0) + 1
        # only the newest suspects matter: the list stays short
        self._deaths = dict([*self._deaths.items(), (key, count)][-100:])
        self._write_deaths()

    def _write_deaths(self) -> None:
        fresh = self._deaths_path.with_suffix(".new")
        fresh.write_text(json.dumps(self._deaths))
        fresh.replace(self._deaths_path)

    @property
    def suspects(self) -> bool:
        """Whether any command was running when a worker died."""
        return bool(self._deaths)

    def deaths(self, partition: int, offset: int) -> int:
        """How many workers died while this command was running."""
        return self._deaths.get(f"{partition}:{offset}", 0)

    def leave(self) -> None:
        """Notes that no command is running."""
        self.enter(*_NONE)

    def close(self) -> None:
        """Notes that all went well, and releases the note; idempotent."""
        if not self._note.closed:
            self.leave()
            del self.enter  # it holds the note
            self._note.close()
            os.close(self._file)


def deadly() -> BadCommand:
    """What is said of a command that workers died of."""
    return BadCommand(
        f"{MAX_DEATHS} workers died while they ran this command; it is not run again",
        code="deadly",
    )
